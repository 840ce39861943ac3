"""``Limit``: at most so many calls of an executor run at a time; the others wait in a queue, in order.

What
    A *place* is the right to run one call. A ``Runner`` is a runnable that has a place: a thread of the pool performs
    it, and it runs queued calls one after the other, without a switch between threads. When a call in that place ends
    and has done-callbacks, or is abandoned, the place goes to another runner.

Guarantees
    As ``Threads``: any thread, signal handler or finalizer may call any method in the middle of any other, and no lock
    is held. If ``start`` raises, a call that has not begun does not run.

Invariant
    A place is in ``_free``, or in one of the two lists of a runner. It moves in one call of C code, which no exception
    of a signal handler interrupts. A thread that queues a call queues it, then looks for a free place; a thread that
    frees a place frees it, then looks for a call. A thread that abandons a call notes that, then looks for the call in
    ``unfinished``; a thread that submits a call adds it there, then a runner looks whether it is abandoned. So at least
    one of the two sees the other. The state of a call changes under its lock, and the place of an abandoned call is
    freed under that lock while the call runs, so it is not the place of the next call.

Relies on
    A single operation of a ``deque`` or a ``list`` is atomic, with the GIL and on free-threaded builds.
"""

from __future__ import annotations

import threading
from collections import deque
from functools import partial
from typing import Any, Callable, Sequence, TypeVar

from parallel import _process
from parallel._call import Call
from parallel._sync import is_from_handler
from parallel._thread import IDLE_NAME, ReusableThread, is_raised_by_threading, own_threads

T = TypeVar("T")

_MOST_PLACES = 1_000_000
"""No system has more threads."""

_pop: Any = deque.pop  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]  # It pops anything.
_pop_first: Any = deque.popleft  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]  # As above.
_pop_of_list: Any = list.pop  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]  # As above.


class Limit:
    """The places and the queue of one executor, in one process."""

    def __init__(self, number: int, pool: _process.Pool) -> None:
        """Prepares ``number`` places, for calls on the threads of ``pool``."""
        self.pool = pool
        self.queue: deque[LimitedCall] = deque()
        # That of the latest call: a runner with the name of its first call spares the thread a system call.
        self.name = IDLE_NAME
        self._number = min(number, _MOST_PLACES)
        self._free: deque[bool] = deque([True]) * self._number

    def start(self, calls: Sequence[LimitedCall], accept: Callable[[], object]) -> None:
        """Runs calls, those at once for which there is a place; all or none of them.

        Args:
            calls: The calls, which are pending.
            accept: Called when they are noted as unfinished; it may raise to refuse them.

        Raises:
            RuntimeError: Not enough threads could be started for the free places.
            BaseException: The exception that ``accept`` or a signal handler raises.
        """
        try:
            self.pool.add(calls)
            number = 0
            if self._free:
                self.name = calls[0].name
                number = self._start_runners(len(calls), partial(self._enqueue, calls, accept))
            else:
                self._enqueue(calls, accept)
            if self._free and number < len(calls):
                self.start_runners()
        except BaseException:
            for call in calls:
                call.try_to_cancel()
            self.bring_together()
            raise

    def start_runners(self) -> None:
        """Starts a runner for each queued call for which there is a free place; raises as ``start`` does."""
        if self.pool is _process.pool:  # Otherwise this is a forked child: the queue is the parent's.
            for _ in range(min(len(self.queue), len(self._free))):
                self._start_runners(1)

    def bring_together(self) -> None:
        """Starts runners, however a place came to be free. If no thread can be started, queued calls fail.

        Raises:
            BaseException: The exception that a signal handler raises. The runners have been started all the same.
        """
        try:
            self.start_runners()
        except BaseException as error:
            try:
                self.start_runners()
            except BaseException as second:
                self._fail_queued(second)
            if not is_raised_by_threading(error):
                raise

    def take_place(self, places: list[bool]) -> bool:
        """Moves a free place to ``places``; returns whether there was one."""
        return _move_one(_pop, self._free, places)

    def free_place(self, places: list[bool]) -> bool:
        """Frees the place in ``places``; returns whether there was one."""
        return _move_one(_pop_of_list, places, self._free)

    def cancel_queued(self) -> None:
        """Cancels all calls that are queued."""
        for call in self.queue.copy():
            call.try_to_cancel()

    def _enqueue(self, calls: Sequence[LimitedCall], accept: Callable[[], object]) -> None:
        accept()
        self.queue.extend(calls)

    def _start_runners(self, at_most: int, accept: Callable[[], object] | None = None) -> int:
        """Starts runners, as far as there are places, all or none of them; returns how many."""
        runners: list[Runner] = []
        try:
            for _ in range(min(at_most, len(self._free))):
                runners.append(Runner(self))
                self.take_place(runners[-1].granted)
            # Not here: from Python 3.14 on, no handler covers the jump at the end of a loop that ends with an `if`.
            with_place = _with_place(runners)
            self.pool.start_all(with_place, accept)
        except BaseException:
            for runner in runners:
                runner.withdraw()
            raise
        return len(with_place)

    def _fail_queued(self, error: BaseException) -> None:
        """Has the queued calls fail, unless a runner has a place and will take them."""
        while self.queue and len(self._free) >= self._number:
            taken: list[LimitedCall] = []
            _move_one(_pop_first, self.queue, taken)
            for call in taken:
                try:
                    call.try_to_set(None, error)
                finally:
                    call.drop()


class LimitedCall(Call):
    """A call that waits for a place."""

    def __init__(self, limit: Limit, executor: object, *call: Any) -> None:
        super().__init__(*call)
        self.set_pending()
        self.executor = executor
        # The list of the runner that has taken the call.
        self.places: list[bool] = []
        self._limit = limit

    def cancel(self) -> bool:
        """Cancels the call, if it is queued. If it is running, asks it to stop and returns ``False``."""
        return self.try_to_cancel() or super().cancel()

    def let_go(self) -> None:
        """Cancels a call that has been abandoned, if it is queued; frees the place of one that runs."""
        try:
            if not self.try_to_cancel():
                self.call_if_running(lambda: self._limit.free_place(self.places))
        finally:
            self._limit.bring_together()

    def run(self) -> None:
        try:
            super().run()
        finally:
            self._limit.pool.remove(self)
            # The frames of an error's traceback refer back to this one.
            del self

    def drop(self) -> None:
        """Frees what a call holds that has not begun and will not; nobody waits for it any more."""
        if self.withdraw():
            self._limit.pool.remove(self)

    def before_callbacks(self) -> None:
        """Frees the place. If another thread sets the future in the middle of the call, the call keeps the place."""
        self.drop()
        thread = own_threads.get(threading.get_ident())
        if thread is not None and thread.runnable is self:
            self._limit.free_place(self.places)
            try:
                self._limit.start_runners()
            except BaseException:  # noqa: S110  # There is no thread: this one looks again after the callbacks.
                pass


class Runner:
    """Runs queued calls one after the other, in one place."""

    cancellable = None
    """Its calls are performed, and have their own."""

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        self.name: str = limit.name
        # Its place, before it begins and after.
        self.granted: list[bool] = []
        self._places: list[bool] = []
        # At most one: the call that it runs next, or now.
        self._calls: list[LimitedCall] = []
        self._thread: ReusableThread | None = None

    @property
    def is_suspended(self) -> bool:
        """Whether it runs a call that has been abandoned."""
        call = None if self._thread is None else self._thread.runnable
        return call is not None and call is not self and call.is_suspended

    def run(self) -> None:
        """Runs calls until none is queued, or there is no place."""
        self._thread = own_threads[threading.get_ident()]
        is_over = not _move_one(_pop_of_list, self.granted, self._places)  # It has been withdrawn.
        while not is_over:
            try:
                self._run_calls(self._thread)
                is_over = True
            except BaseException:  # noqa: S110  # An asynchronous exception, meant for the call before.
                pass

    def withdraw(self) -> bool:
        """Frees its place and makes ``run`` do nothing, if it has not begun; returns whether that was in time."""
        return self.limit.free_place(self.granted)

    def dismiss(self) -> None:
        """Does nothing: it ends by itself."""

    def _run_calls(self, thread: ReusableThread) -> None:
        """Runs calls until there is none, or no place for it. May be called again after any exception."""
        limit, places, calls = self.limit, self._places, self._calls
        queue = limit.queue
        while limit.pool is _process.pool:  # Otherwise a call has forked, and this is the child.
            if calls:
                call = calls[0]
                call.places = places
                if call.is_abandoned():
                    call.try_to_cancel()
                if call.begin():
                    thread.perform(call)
                else:
                    call.drop()
                calls.clear()
            elif queue and (places or limit.take_place(places)):
                _move_one(_pop_first, queue, calls)
            elif not limit.free_place(places):
                return


def _with_place(runners: list[Runner]) -> list[Runner]:
    return [runner for runner in runners if runner.granted]


def let_go_abandoned() -> None:
    """Has abandoned calls give their places back, also those that other abandoned calls have submitted."""
    for runnable in list(_process.pool.unfinished):
        if isinstance(runnable, LimitedCall) and runnable.is_abandoned():
            runnable.let_go()
    _process.pool.note_suspended()


def _move_one(take: Callable[[Any], T], source: deque[T] | list[T], target: deque[T] | list[T]) -> bool:
    """Moves an item in one call of C code, so that no exception of a signal handler loses it.

    Returns whether there was one.
    """
    try:
        target.extend(map(take, (source,)))
    except IndexError as error:
        if is_from_handler(error):
            raise
        return False
    return True
