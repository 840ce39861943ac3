"""Waiting for several futures at once: for all, or for the first failure, with one time limit.

Guarantees
    A thread waits once, however many futures there are. The time limit is the lock's own: no clock is read, so a test
    that replaces the clock changes nothing. Waiting for a ``CallFuture`` does not wait for its done-callbacks. A future
    that its executor cancels in its queue counts, of which ``concurrent.futures.wait`` does not hear.
"""

from __future__ import annotations

from concurrent.futures import CancelledError, Future
from typing import Any, Callable, Sequence

from parallel._call_future import OwnFuture
from parallel._exceptions import set_traceback
from parallel._sync import CountDownLatch


def failure_of(future: Future[Any]) -> BaseException | None:
    """Returns the exception of a future that is done; a cancelled one failed with ``CancelledError``."""
    try:
        return future.exception(0)
    except CancelledError as error:
        set_traceback(error, None)
        return error


class AllDone(CountDownLatch):
    """A latch that opens when all of ``futures`` are done."""

    def __init__(self, futures: Sequence[Future[Any]], on_open: Callable[[], object] | None = None) -> None:
        """Prepares to call ``on_open`` too, on the thread that ends the last call or on this one."""
        self._on_open = on_open
        different = {id(future): future for future in futures}.values()  # An executor may return one twice.
        super().__init__(len(different))
        for future in different:
            if isinstance(future, OwnFuture):
                future.add_waiter(self)
            elif future.done():
                # Not as a done-callback, which would log the exception of a signal handler.
                self.add_done(future)
            else:
                future.add_done_callback(self.add_done)

    def open(self) -> None:
        super().open()
        on_open, self._on_open = self._on_open, None
        if on_open is not None:
            on_open()

    def add_result(self, _: Future[Any], /) -> None:
        """Hears that a future has a result."""
        self.count_down()

    def add_exception(self, _: Future[Any], /) -> None:
        """Hears that a future has failed."""
        self.count_down()

    def add_done(self, future: Future[Any], /) -> None:
        """Hears that a future is done."""
        if failure_of(future) is None:
            self.add_result(future)
        else:
            self.add_exception(future)


class FirstFailure(AllDone):
    """A latch that opens when one of the futures has failed, or all are done."""

    def add_exception(self, _: Future[Any], /) -> None:
        """Hears that a future has failed."""
        self.open()
