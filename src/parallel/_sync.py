"""Four small classes: three to wait at, one to be first.

Guarantees
    Any thread may call any method at any time. So may a signal handler or a finalizer in the middle of the same method:
    no method holds a lock while it runs Python code. A signal handler's exception in the middle of a method propagates,
    and the method may be called again.

Invariant
    The lock of an open latch is free, or a thread holds it that has just passed and is about to release it. The lock of
    a ``Wakeup`` is free if and only if it is set.

Relies on
    A single operation of a ``dict`` or a ``list`` is atomic, with the GIL and on free-threaded builds.
"""

from __future__ import annotations

import queue
import sys
import threading
from typing import Any, Generic, TypeVar

T = TypeVar("T")

_traceback: Any = BaseException.__traceback__
"""Reads the attribute past the class, which may refuse it."""


class Latch:
    """An event that is set once and stays set, like Java's ``CountDownLatch(1)``.

    A ``threading.Event`` holds a lock inside its methods, so a signal handler that sets it could deadlock.
    """

    def __init__(self) -> None:
        self.is_open = False
        self._lock = threading.Lock()
        self._lock.acquire()

    def open(self) -> None:
        """Lets all threads pass that wait or will wait."""
        self.is_open = True
        _release(self._lock)

    def wait(self, timeout: float | None = None) -> bool:
        """Blocks until the latch is open, for at most ``timeout`` seconds; returns whether it is open."""
        was_open = self.is_open
        if was_open:
            return True
        try:
            self._lock.acquire(True, -1 if timeout is None else max(timeout, 0))
            if self.is_open:
                _release(self._lock)  # This thread has passed: let the next one pass.
        except BaseException:
            if self.is_open:
                _release(self._lock)  # A signal handler raised, perhaps when this thread had passed.
            raise
        return self.is_open


class CountDownLatch(Latch):
    """A latch that opens after ``number`` calls of ``count_down``."""

    def __init__(self, number: int) -> None:
        super().__init__()
        # Each call takes one: an atomic counter.
        self._left: list[None] = [None] * number
        if not number:
            self.open()

    def count_down(self) -> None:
        """Counts one event; opens the latch at the last one, and does nothing after that."""
        try:
            self._left.pop()
        except IndexError as error:
            if is_from_handler(error):
                raise
            # All have been counted. A signal handler may have kept the last call from opening the latch.
        if not self._left:
            self.open()


class _LockWakeup:
    """An auto-reset event: ``set`` any number of times, then one ``wait`` returns."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def set(self) -> None:
        """Lets one ``wait`` return, the current one or the next."""
        _release(self._lock)

    def wait(self, timeout: float | None = None) -> bool:
        """Blocks until it is set, for at most ``timeout`` seconds, and resets it; returns whether it was set."""
        return self._lock.acquire(True, -1 if timeout is None else timeout)


class _QueueWakeup:
    """The same for free-threaded builds. Two threads that ``set`` it at the same moment may let two waits return.

    There a thread spins before it blocks on a lock. If another thread drops the last reference to an object during that
    time, the object is queued to be freed by the thread that created it. A spinning thread does not look at that queue
    before it blocks, so the object lives until the thread's next call. ``SimpleQueue.get`` does not spin.
    """

    def __init__(self) -> None:
        self._set: queue.SimpleQueue[None] = queue.SimpleQueue()

    def set(self) -> None:
        if self._set.empty():
            self._set.put(None)

    def wait(self, timeout: float | None = None) -> bool:
        try:
            self._set.get(True, timeout)
        except queue.Empty as error:
            if is_from_handler(error):
                raise
            return False
        return True


Wakeup: type[_LockWakeup | _QueueWakeup] = _QueueWakeup if "t" in getattr(sys, "abiflags", "") else _LockWakeup


class Once(Generic[T]):
    """Decides which claimant came first; the same claimant gets the same answer however often it asks.

    So code that a signal handler's exception interrupted can ask again.
    """

    __slots__ = ("_claims",)

    def __init__(self) -> None:
        self._claims: dict[None, T] = {}

    def claim(self, claimant: T) -> bool:
        """Whether ``claimant`` is the first to claim."""
        return self._claims.setdefault(None, claimant) is claimant

    @property
    def holder(self) -> T | None:
        """The first claimant, or ``None``."""
        return self._claims.get(None)


def _release(lock: Any) -> None:
    """Releases a lock that is free already, or that another thread may release at the same time."""
    if not lock.locked():
        return
    try:
        lock.release()
    except RuntimeError as error:
        # A RecursionError is one too, if the lock could not be asked.
        if type(error) is not RuntimeError or is_from_handler(error):
            raise


def is_from_handler(error: Exception) -> bool:
    """Whether a signal handler raised ``error``, and not the built-in that the ``try`` of the caller calls.

    The traceback of a handler's exception has an entry for the handler. A built-in adds none.
    """
    traceback = _traceback.__get__(error)
    return traceback is not None and traceback.tb_next is not None
