"""``WorkQueue``: a queue that many threads wait at; it wakes one of them at a time, the last to come first.

A burst of items wakes one thread. That one takes an item and wakes the next, but often it has done its work and is back
for another item before the next one gets to run: a burst of short calls needs few switches between threads. The
standard's ``SimpleQueue`` does the same up to Python 3.12. From 3.13 on it hands each item to a thread that waits, and
wakes it: on 3.14, 1,000 short calls took eight times as long with it. On PyPy its ``put`` holds a lock, so a signal
handler that started a call in the middle of one would wait for itself for ever.

Whoever came last is woken first: its stack is still in the processor's caches, and those who are not needed are left
alone until their time has passed. With 1,000 threads waiting, of which a call at a time needs one, a call took half as
long as with the first to come woken first, on CPython 3.11 and 3.14. To be told from each other, threads wait at a
signal each. It also spreads them: Linux keeps all waiters of a process in few lists, 16 of them on two cores, as of
6.18, and goes through a list to wake one who is in it. When all but 100 threads shared a signal, its list could be that
of the global interpreter lock too: ``parallel_map`` made 10,000 calls that do nothing in 0.6 s in most processes, in 2
to 5 s in some, and in 2 of 56 did not end within two minutes. Now it takes 0.7 to 0.8 s in each, on CPython 3.11.

The invariant
    While there are items, a wake-up is under way, or somebody who does not wait is going to look for them.

    Whoever waits has its signal in ``_waiting``, the last to come in front. It puts it there, looks for items once
    more, waits, takes it out again, makes a new ``_look``, and then looks; it wakes another if there are more items
    than the one it takes. Whoever puts an item wakes the one in front, unless ``_announced`` says that this has been
    done since the last look was made: then the one who is being woken has not looked yet, and will find this item as
    well.

    Only those who wait take themselves out, so a wake-up that is broken off can be done again: nobody is lost. One that
    comes twice, too early or too late has somebody look for nothing, which does no harm. It comes before it is noted:
    noted first, it would not come at all while a signal handler, in between, waits for a call of its own.
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

    new_signal: Callable[[], Lock | QueueSignal] = QueueSignal
else:
    new_signal = _acquired_lock


class WorkQueue(Generic[T]):
    """An unbounded queue, first in, first out.

    ``put`` may be called at any time, also by a signal handler or a finalizer in the middle of any method.
    """

    def __init__(self) -> None:
        self._items: deque[T] = deque()
        self._waiting: deque[Lock | QueueSignal] = deque()
        self._look: object = object()
        self._announced: object = None

    def put(self, item: T) -> None:
        """Adds an item; never waits."""
        try:
            self._items.append(item)
            if self._announced is not self._look:  # Asked here too: mostly it saves a call, half a percent of one.
                self.wake_one()
        except BaseException:
            # Raised by a signal handler, perhaps before the wake-up.
            self._announced = None
            self.wake_one()
            raise

    def get(self, signal: Lock | QueueSignal, timeout: float = -1) -> T:
        """Takes the first item; waits for one if there is none.

        Args:
            signal: What ``new_signal`` made for the thread that calls this: it is woken by it.
            timeout: For how many seconds it waits at most, without limit if negative. They are counted anew when
                another thread was quicker to take what this one was woken for.

        Raises:
            TimeoutError: None came in time.
        """
        items = self._items
        if items:
            try:
                return items.popleft()
            except IndexError:
                pass  # Another thread was quicker.
        while True:
            self._waiting.appendleft(signal)
            in_time = bool(items) or signal.acquire(True, timeout)
            # Whoever was woken is in front; of 1,000, the last is found in 13 us.
            self._waiting.remove(signal)
            self._look = object()
            try:
                item = items.popleft()
            except IndexError:
                if not in_time:
                    raise TimeoutError from None
            else:
                if items:
                    self.wake_one()
                return item

    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def wake_one(self) -> None:
        """Wakes one of those who wait, unless that has been done since the last look; the item may be still to come."""
        look = self._look
        if self._announced is not look:
            try:
                signal = self._waiting[0]
            except IndexError:
                return  # Nobody waits: whoever is about to will look first.
            try:
                signal.release()
            except RuntimeError:
                pass  # It has been sent, and who waits there is going to look.
            self._announced = look
