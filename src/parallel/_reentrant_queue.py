"""``ReentrantQueue``: what ``queue.SimpleQueue`` is in CPython, for where it is written in Python (PyPy).

There its ``put`` holds a lock, so a signal handler or a finalizer that starts a call in the middle of one would wait
for itself for ever.

The invariant: an item that is in the queue while a thread waits has a waiting thread woken for it, or a thread that is
awake in ``get`` and will either take the item or wake another. It relies on one operation of a ``deque`` being atomic.
"""

from __future__ import annotations

from collections import deque
from queue import Empty
from threading import Lock
from time import monotonic
from typing import Generic, TypeVar

T = TypeVar("T")


class ReentrantQueue(Generic[T]):
    """An unbounded first-in, first-out queue whose methods may be called in the middle of each other."""

    def __init__(self) -> None:
        self._items: deque[T] = deque()
        self._waiting: deque[Lock] = deque()

    def put(self, item: T) -> None:
        """Adds an item; never waits."""
        self._items.append(item)
        self._wake_one()

    def get(self, block: bool = True, timeout: float | None = None) -> T:  # noqa: FBT001, FBT002  # As in the standard's.
        """Takes the first item; waits for one if there is none, for ``timeout`` seconds at most.

        Raises:
            queue.Empty: None came in time.
        """
        end = None if timeout is None else monotonic() + timeout
        while True:
            try:
                item = self._items.popleft()
            except IndexError:
                pass
            else:
                if self._items:
                    self._wake_one()
                return item
            remaining = -1 if end is None else max(end - monotonic(), 0.0)
            if not self._wait(remaining if block else 0.0) and not self._items:
                raise Empty

    def _wait(self, timeout: float) -> bool:
        """Waits to be woken; returns whether that happened, or need not happen."""
        lock = Lock()
        lock.acquire()
        self._waiting.append(lock)
        try:
            # An item may have come before the lock was there to be released.
            return bool(self._items) or lock.acquire(True, timeout)
        finally:
            try:
                self._waiting.remove(lock)
            except ValueError:
                # It has been woken: for an item that it will look for, unless an exception is on its way.
                if self._items:
                    self._wake_one()

    def _wake_one(self) -> None:
        try:
            self._waiting.popleft().release()
        except IndexError:
            pass  # Nobody waits.
