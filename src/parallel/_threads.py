"""``Threads``: the accounting. It starts threads, has them take runnables from one queue, and ends them.

Guarantees
    A runnable is performed at once, on a thread that performs nothing else: no runnable waits for another one to end.
    Any thread may call any method at any time; so may a signal handler or a finalizer in the middle of any method: no
    lock is held. If ``start`` raises, the runnable does not run; if a signal handler raised, it may run: ``withdraw``
    decides. A finalizer on an idle thread must not wait for its own call: that very thread may be the one free for it.

Invariant
    Let A be the threads that perform nothing (waiting, or just started) and Q the runnables in the queue. ``_tokens``
    holds T = A - Q tokens:

    =========================================  =====  =====  =====
    event                                      A      Q      T
    =========================================  =====  =====  =====
    a token is taken                                         -1
    or else a thread is started                +1            +1 -1
    then the runnable is put                          +1
    or a thread is started with the runnable
    a thread takes a runnable                  -1     -1
    a thread has performed its runnable        +1            +1
    a thread ends                              -1            -1
    =========================================  =====  =====  =====

    A runnable is put only for a token, and a thread ends only for a token, so T >= 0 and every runnable has a thread
    that is free for it. A token is taken and the runnable put in one call of C code, which no exception of a signal
    handler interrupts.

Relies on
    A single operation of a ``deque`` or a ``set`` is atomic, with the GIL and on free-threaded builds.

Numbers
    Waking a thread before the runnable is made, and not after, makes a call 1.2 times as fast (CPython 3.11 to 3.14):
    the thread that wakes another may have to make way at once, for a thread that finds the GIL taken.
"""

from __future__ import annotations

from collections import deque
from itertools import islice, repeat
from typing import Any, Callable, Iterator, Sequence, TypeVar

from parallel._sync import CountDownLatch, Latch, Wakeup, is_from_handler
from parallel._thread import IDLE_NAME, ReusableThread, Runnable
from parallel._work_queue import WorkQueue

R = TypeVar("R", bound=Runnable)

IDLE_SECONDS = 10.0
"""For how many seconds a thread waits for a runnable before it ends."""

MOST_IDLE = 1_000
"""How many threads may be idle.

The system takes longer to wake one of many waiting threads: of 10, 100, 1,000, 3,000 and 10,000 idle threads, one makes
a call and returns its result in 7.5, 7.7, 9, 13 and 50 us (CPython 3.11, 3.13 and 3.14).
"""

SECONDS_APART = 0.0005
"""By how many seconds the ends of threads are apart that became idle together.

Threads that wake up at one moment all wait for the GIL, and each asks for it again every 5 ms. Ending one takes 0.1 ms.
"""


_pop: Any = deque.pop  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]  # It pops anything.


class EndOrder(CountDownLatch):
    """In the queue, it ends the thread that takes it."""


class Threads:
    """Threads of one stack size, in one process and interpreter."""

    def __init__(
        self,
        unfinished: set[Runnable],
        awaited: dict[Runnable, Latch],
        on_added: Sequence[Callable[[], object]] = (),
        *,
        daemon: bool,
    ) -> None:
        """Prepares to start threads.

        Args:
            unfinished: Runnables that have been started and have not ended.
            awaited: Latches to open when a runnable has ended.
            on_added: Functions to call when a runnable has been added; they may raise to refuse it.
            daemon: Whether the threads are daemons.
        """
        self._unfinished = unfinished
        self._awaited = awaited
        self._on_added = on_added
        self._daemon = daemon
        self._most_idle = MOST_IDLE
        self._queue: WorkQueue[Runnable | EndOrder] = WorkQueue()
        self._tokens: deque[bool] = deque()
        # Each ``next()`` takes a token; an ``IndexError`` says that there is none. Unlike ``iter(pop, ...)``, ``map``
        # has not come to its end after that (PyPy).
        self._taken: Iterator[bool] = map(_pop, repeat(self._tokens))
        self._is_ending_surplus = False

    def start(self, make: Callable[..., R], args: Sequence[Any], accept: Callable[[], object] | None = None) -> R:
        """Makes a runnable and performs it on a thread of its own.

        Args:
            make: Makes the runnable; a thread is woken before.
            args: Arguments for ``make``.
            accept: Called when the runnable has been added; it may raise to refuse it.

        Raises:
            RuntimeError: No thread could be started.
            BaseException: The exception that ``make``, ``on_added``, ``accept`` or a signal handler raises.
        """
        if self._tokens:
            self._queue.wake_one()
        runnable = make(*args)
        try:
            self._unfinished.add(runnable)
            for function in self._on_added:
                function()
            if accept is not None:
                accept()
            if not self._queue.put((runnable,), self._taken):
                self._start_thread([runnable], [])
        except BaseException:
            self._take_back((runnable,))
            raise
        return runnable

    def start_all(self, runnables: Sequence[Runnable], accept: Callable[[], object] | None = None) -> None:
        """Performs each of ``runnables`` on a thread of its own; all or none of them.

        Args:
            runnables: The runnables.
            accept: As for ``start``; there is a thread for each runnable by then.

        Raises:
            RuntimeError: Not enough threads could be started.
            BaseException: The exception that ``on_added``, ``accept`` or a signal handler raises.
        """
        _check_stack(8)  # start() needs no such check: make() calls as deep.
        try:
            self._unfinished.update(runnables)
            for function in self._on_added:
                function()
            self._put_all(runnables, accept)
        except BaseException:
            self._take_back(runnables)
            raise

    def wake_several(self, number: int) -> None:
        """Wakes up to ``number`` idle threads at once."""
        self._queue.wake_several(number)

    def end_idle(self) -> EndOrder:
        """Has all threads end that are idle; returns what to wait for until each knows it."""
        tokens: list[bool] = []
        try:
            self._take_tokens(tokens)
            order = EndOrder(len(tokens))
            self._queue.put([order] * len(tokens), iter(tokens.pop, False))
        except BaseException:
            self._tokens.extend(tokens)
            raise
        return order

    def keep_none_idle(self) -> None:
        """Has all threads end that are idle, or will be."""
        self._most_idle = 0
        self._end_surplus()

    def _put_all(self, runnables: Sequence[Runnable], accept: Callable[[], object] | None = None) -> None:
        """Puts runnables when there is a thread for each, and ``accept`` has returned."""
        tokens: list[bool] = []
        try:
            self._take_tokens(tokens, len(runnables))
            for _ in range(len(runnables) - len(tokens)):
                self._start_thread([], tokens)
            if accept is not None:
                accept()
            self._queue.put(runnables, iter(tokens.pop, False))
        except BaseException:
            self._tokens.extend(tokens)
            self._end_surplus()
            raise

    def _start_thread(self, first: list[Runnable], tokens: list[bool]) -> None:
        """Starts a thread, which performs what is in ``first`` before it takes anything from the queue.

        Adds a token to ``tokens``, also if the thread begins in spite of an exception.
        """
        name = first[0].name if first else IDLE_NAME
        thread = ReusableThread(name, lambda thread: self._serve(thread, first), daemon=self._daemon)
        before = len(tokens)
        try:
            thread.start_or_withdraw()
            tokens.append(True)
        except BaseException:
            # A thread that has its token begins. Another one may be about to begin.
            if len(tokens) == before and not thread.withdraw():
                tokens.append(True)
            raise

    def _take_tokens(self, tokens: list[bool], at_most: int | None = None) -> None:
        """Moves tokens to ``tokens``, in one call of C code, so that a signal handler's exception loses none."""
        try:
            tokens.extend(islice(self._taken, at_most))
        except IndexError as error:
            if is_from_handler(error):
                raise
            # There are no more.

    def _take_back(self, runnables: Sequence[Runnable]) -> None:
        """Withdraws the runnables that have not begun, after an exception."""
        for runnable in runnables:
            if runnable.withdraw():
                if self._queue.take_back(runnable):
                    self._tokens.append(True)
                self._unfinished.discard(runnable)
                latch = self._awaited.get(runnable)
                if latch is not None:
                    latch.open()

    def _serve(self, thread: ReusableThread, first: list[Runnable]) -> None:
        """Performs runnables until the thread is to end."""
        wakeup = Wakeup()
        while not thread.is_ending:
            item: Runnable | EndOrder | None = None
            try:
                if first:
                    item = first.pop()
                else:
                    # There is no token yet for a thread of `start_all`.
                    idle = len(self._tokens) or self._queue.count_waiting()
                    item = self._queue.get(wakeup, IDLE_SECONDS + SECONDS_APART * idle)
                if isinstance(item, EndOrder):
                    thread.is_ending = True
                    item.count_down()
                    self._end_surplus()
                elif item is not None:
                    try:
                        thread.perform(item)
                    finally:
                        self._tokens.append(True)
                        self._unfinished.discard(item)
                        latch = self._awaited.get(item) if self._awaited else None
                        # In this order: when the latch of the exit is open, the interpreter may stop this thread for
                        # ever, with all that it still refers to.
                        item = None
                        if latch is not None:
                            latch.open()
                    if len(self._tokens) > self._most_idle and not self._is_ending_surplus:
                        self._end_surplus()
                else:
                    # If the last token is gone, a runnable is about to come.
                    tokens: list[bool] = []
                    self._take_tokens(tokens, 1)
                    thread.is_ending = bool(tokens)
            except BaseException:  # noqa: S110  # An asynchronous exception, meant for the runnable before.
                pass

    def _end_surplus(self) -> None:
        """Orders one thread to end if too many are idle. That thread calls this again, so they end one by one.

        A thread that becomes idle adds its token, then reads ``_is_ending_surplus``. This method clears it, then counts
        the tokens. So at least one of the two sees a surplus.
        """
        self._is_ending_surplus = False
        if len(self._tokens) > self._most_idle:
            self._is_ending_surplus = True
            if not self._queue.put((EndOrder(1),), self._taken):
                self._is_ending_surplus = False


def _check_stack(frames: int) -> None:
    """Raises a ``RecursionError`` if there is no room for so many calls inside each other.

    The caller, and its cleanup after an exception, then does not run into the recursion limit half-way.
    """
    if frames:
        _check_stack(frames - 1)
