"""``PinnedThread``: a thread that runs the functions it is sent, in order, and holds nothing in between.

Guarantees
    While the thread waits, neither it nor its frames refer to anything of the user's. So a suspended generator that
    owns the object is closed like any other, also when the interpreter ends. The thread does not hold up the end of the
    program while it waits.

Invariant
    Each function that was sent runs once: the thread takes it out of ``_sent``, or, if the thread is over, the sender
    does. The sender adds the function, then looks at ``_is_over``. The thread reads ``_is_over``, then looks at
    ``_sent`` once more. So at least one of the two sees the other.
"""

from __future__ import annotations

import sys
from collections import deque
from typing import Callable, Sequence

from parallel import _process
from parallel._cancellation import Cancellable, current_request
from parallel._sync import Wakeup, is_from_handler

MOST_WOKEN = 4
"""How many threads of a block to wake at once; they wake the others.

On two cores, a block of three managers then takes 0.78 times as long (CPython 3.11; 0.90 on 3.14), and on one core 1.06
times. If 1,000 threads wake up at once, they compete for the GIL, and the block takes 1.6 times as long.
"""


class PinnedThread:
    """A thread for one object; the pool performs it like a call."""

    def __init__(self, name: str, first: Callable[[], object]) -> None:
        self.name = name
        self.cancellable: Cancellable | None = None
        self._first = {None: first}
        self._sent: deque[Callable[[], object]] = deque()
        self._wakeup = Wakeup()
        self._pool = _process.pool
        self._parent = current_request()
        self._is_waiting = False
        self._is_over = False

    @property
    def is_suspended(self) -> bool:
        """Whether the thread waits with nothing to run, or the call that started it has been abandoned."""
        return (self._is_waiting and not self._sent) or (self._parent is not None and self._parent.is_abandoned())

    @property
    def is_there(self) -> bool:
        """Whether the thread runs what it is sent."""
        return not self._is_over and self._pool is _process.pool and not sys.is_finalizing()

    def send(self, func: Callable[[], object]) -> None:
        """Has the thread call ``func``, after the functions that it was sent before.

        If the thread is over, in a forked child, and at the end of the interpreter, the sender calls ``func``.
        """
        self._sent.append(func)
        if self.is_there:
            self._wakeup.set()
        else:
            self._run_sent()

    def dismiss(self) -> None:
        """Ends the thread when it has run what it was sent; what is sent later runs on the sender's thread."""
        self._is_over = True
        self._wakeup.set()

    def run(self) -> None:
        """The thread's part."""
        first = self._first.pop(None, None)
        if first is None:
            return  # It has been withdrawn.
        first()
        del first
        self._run_sent()
        while not self._is_over and self._pool is _process.pool:  # A function may have forked.
            self._is_waiting = True
            self._pool.note_suspended()
            self._wakeup.wait()
            self._is_waiting = False
            self._run_sent()
        if self._pool is _process.pool:
            self._run_sent()  # Perhaps it was sent something, and then dismissed, since it looked last.

    def withdraw(self) -> bool:
        """Makes ``run`` do nothing, if it has not begun; returns whether that was in time."""
        if self._first.pop(None, None) is None:
            return False
        self._is_over = True
        return True

    def _run_sent(self) -> None:
        while self._sent:
            try:
                func = self._sent.popleft()
            except IndexError as error:
                if is_from_handler(error):
                    raise
                return  # The thread or another sender was quicker.
            func()
            del func


def start_all(threads: Sequence[PinnedThread]) -> None:
    """Starts threads, each with its first function; all or none of them.

    Raises:
        RuntimeError: Not enough threads could be started, or the interpreter is shutting down.
        BaseException: The exception that a signal handler raises.
    """
    if _process.pool.refuses_caller:
        raise RuntimeError("cannot enter context managers after interpreter shutdown")
    try:
        _process.pool.start_all(threads)
        if len(threads) > 1:
            _process.pool.wake_several(min(len(threads), MOST_WOKEN))
    except BaseException:
        for thread in threads:
            thread.withdraw()
        raise
