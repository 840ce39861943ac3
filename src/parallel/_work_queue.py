"""``WorkQueue``: a queue that many threads wait at, and that wakes one of them at a time.

A burst of items wakes one thread. That one takes an item and wakes the next, but often it has done its work and is back
for another item before the next one gets to run: a burst of short calls needs few switches between threads. The
standard's ``SimpleQueue`` does the same up to Python 3.12. From 3.13 on it hands each item to a thread that waits, and
wakes it: on 3.14, 1,000 short calls took eight times as long with it. On PyPy its ``put`` holds a lock, so a signal
handler that started a call in the middle of one would wait for itself for ever.

The invariant
    While there are items, a wake-up is under way or somebody who was woken is going to look for them.

    A wake-up ends the wait of one who waits, or of the next who would. Whoever is woken first makes a new ``_look``,
    then looks for an item, and wakes another if there are more. Whoever puts an item wakes one, unless ``_announced``
    says that this has been done since the last look was made: then the one who is being woken has not looked yet, and
    will find this item as well.

    So the wake-up comes before it is noted, and may come once too often, which does no harm. Noted first, it would not
    come at all while a signal handler, in between, waits for a call of its own.
"""

from __future__ import annotations

import sys
from collections import deque
from threading import Lock
from typing import Callable, Generic, TypeVar

T = TypeVar("T")


def _acquired_lock() -> Lock:
    lock = Lock()
    lock.acquire()
    return lock


if "t" in getattr(sys, "abiflags", ""):
    from parallel._queue_signal import QueueSignal

    _signal: Callable[[], Lock | QueueSignal] = QueueSignal
else:
    _signal = _acquired_lock


class WorkQueue(Generic[T]):
    """An unbounded first-in, first-out queue.

    ``put`` may be called at any time, also by a signal handler or a finalizer in the middle of any method.
    """

    def __init__(self) -> None:
        self._items: deque[T] = deque()
        # Waited at by threads that found no item, released to wake one up.
        self._signal = _signal()
        self._look: object = object()
        self._announced: object = None

    def put(self, item: T) -> None:
        """Adds an item; never waits."""
        try:
            self._items.append(item)
            self._wake_one()
        except BaseException:
            # Raised by a signal handler, perhaps before the wake-up.
            self._announced = None
            self._wake_one()
            raise

    def get(self, timeout: float = -1) -> T:
        """Takes the first item; waits for one if there is none.

        Args:
            timeout: For how many seconds it waits at most, without limit if negative. They are counted anew when
                another thread was quicker to take what this one was woken for.

        Raises:
            TimeoutError: None came in time.
        """
        items, woken = self._items, False
        while True:
            if woken or items:
                try:
                    item = items.popleft()
                except IndexError:
                    pass  # Another thread was quicker.
                else:
                    if woken and items:
                        self._wake_one()
                    return item
            woken = self._signal.acquire(True, timeout)
            if woken:
                self._look = object()
            elif not items:
                raise TimeoutError

    def _wake_one(self) -> None:
        look = self._look
        if self._announced is not look:
            try:
                self._signal.release()
            except RuntimeError:
                pass  # It is released: the next who would wait will not.
            self._announced = look
