"""``QueueSignal``, at which threads wait on free-threaded builds; others do not import it, nor ``queue``.

There, who waits for a lock spins at first. What another thread drops in that time it leaves to this one, which made it,
to be freed; but this one falls asleep without looking, and keeps it for as long as it has nothing to do.
"""

from __future__ import annotations

from queue import Empty, SimpleQueue


class QueueSignal:
    """What a ``Lock`` is that some acquire to wait and others release to end that; nobody else does either."""

    def __init__(self) -> None:
        self._released: SimpleQueue[None] = SimpleQueue()

    def acquire(self, _: bool, timeout: float) -> bool:  # noqa: FBT001  # As a lock's.
        """Waits for ``timeout`` seconds at most, without limit if negative; returns whether it was released."""
        try:
            self._released.get(True, None if timeout < 0 else timeout)
        except Empty:
            return False
        return True

    def release(self) -> None:
        """Ends the wait of one thread, or of the next that would."""
        self._released.put(None)
