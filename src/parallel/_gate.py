"""``Gate``, which threads wait at until it is opened, for good; ``Countdown``, which opens when something has happened.

What an event is for, but that a signal handler or a finalizer may open it, or wait at it, in the middle of its own
methods: an event holds a lock in them.

The invariant: once ``is_open`` is true, the lock is free, or held by somebody who has just got through and is about to
free it. So one who gets through lets the next through.
"""

from __future__ import annotations

from threading import Lock


class Gate:
    """Closed until it is opened, and open from then on. Its methods may be called from any thread at any time."""

    def __init__(self) -> None:
        self.is_open: bool = False
        self._lock = Lock()
        self._lock.acquire()

    def open(self) -> None:
        """Lets all through who wait, or will."""
        self.is_open = True
        self._free()

    def wait(self, timeout: float | None = None) -> bool:
        """Waits until it is open, for ``timeout`` seconds at most; returns whether it is."""
        if self.is_open:
            # Also for a signal handler that comes when its own thread has just got through, and holds the lock.
            return True
        try:
            self._lock.acquire(True, -1 if timeout is None else timeout)
            self._free()
        except BaseException:
            # A signal handler raised, perhaps when this thread had just got through.
            self._free()
            raise
        return self.is_open

    def _free(self) -> None:
        if self.is_open:
            try:
                self._lock.release()
            except RuntimeError:
                pass  # It is free.


class Countdown(Gate):
    """A gate that opens once something has happened a number of times."""

    def __init__(self, number: int) -> None:
        super().__init__()
        # One is taken each time: an atomic count.
        self._left: list[None] = [None] * number
        if not number:
            self.open()

    def count(self) -> None:
        """Notes that it has happened once more."""
        try:
            self._left.pop()
        except IndexError:
            pass  # It is open.
        if not self._left:
            self.open()
