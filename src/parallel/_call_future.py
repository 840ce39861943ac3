"""``CallFuture``: a standard ``Future`` that is cheap to make, set and wait for.

What
    A standard future has a ``Condition``, with a queue of waiting threads. Here a thread in ``result()`` waits at a
    latch, and ``_condition`` is a plain ``RLock``, which ``wait`` and ``as_completed`` acquire. The future is running
    from the beginning, unless ``set_pending`` is called before anyone else has it.

Guarantees
    All that ``concurrent.futures`` promises of a future. A signal handler may wait for a future in the middle of a
    method of that future, which releases the lock meanwhile.

Invariant
    The state changes under ``_condition``: from pending to running or cancelled, and from pending or running to
    finished, after the outcome was stored. Then the latch opens, then the done-callbacks run. A future that is done
    never changes, so threads read it without the lock. ``wait`` hears of a cancelled future at once.

Relies on
    The attributes that ``Future.__init__`` sets, and the two methods of ``RLock`` that ``Condition`` uses. The module
    tries them when it is imported. If that fails, ``CallFuture`` is a standard future that is set to running.

Numbers
    With the standard future, a round trip takes 1.24 times as long, 1,000 calls at once 2.5 times (CPython 3.11).
"""

from __future__ import annotations

import threading
from concurrent.futures import CancelledError, Future, InvalidStateError, wait
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Callable, Generic, Protocol, TypeVar, cast

from parallel._compat import make_subscriptable
from parallel._sync import Latch

T_co = TypeVar("T_co", covariant=True)

_PENDING, _RUNNING, _CANCELLED, _FINISHED = "PENDING", "RUNNING", "CANCELLED_AND_NOTIFIED", "FINISHED"
_DONE = frozenset((_CANCELLED, _FINISHED))


class Waiter(Protocol):
    """A listener for the outcome of futures, with the method names that ``concurrent.futures.wait`` uses."""

    def add_result(self, future: Future[Any], /) -> None:
        """Hears that ``future`` has a result."""

    def add_exception(self, future: Future[Any], /) -> None:
        """Hears that ``future`` has failed, or has been cancelled."""

    def add_done(self, future: Future[Any], /) -> None:
        """Hears that ``future`` is done, as its done-callback."""


class _LatchFuture(Future):  # type: ignore[type-arg]  # Below 3.9 it cannot be subscribed.
    """A future that is running from the beginning, or is pending at first."""

    def __init__(self) -> None:  # All that the base class sets, so it is not called.
        self._condition: Any = threading.RLock()
        self._latch = Latch()
        self._state = _RUNNING
        self._result: Any = None
        self._exception: BaseException | None = None
        self._waiters: list[Any] = []
        self._own_waiters: dict[Waiter, bool] = {}
        self._done_callbacks: list[Callable[..., object]] = []

    def set_pending(self) -> None:
        """Makes the future pending, before anyone else has it."""
        self._state = _PENDING

    def begin(self) -> bool:
        """Sets a pending future to running; returns whether it is running."""
        with self._condition:
            if self._state == _PENDING:
                self._state = _RUNNING
            return self._state == _RUNNING

    def call_if_running(self, func: Callable[[], object]) -> None:
        """Calls ``func`` if the future is running; it stays so meanwhile."""
        with self._condition:
            if self._state == _RUNNING:
                func()

    def result(self, timeout: float | None = None) -> Any:
        __tracebackhide__ = True
        if self._state != _FINISHED:
            self._wait(timeout)
        if self._exception is None:
            return self._result
        try:
            raise self._exception
        finally:
            del self  # The traceback refers to this frame.

    def exception(self, timeout: float | None = None) -> BaseException | None:
        if self._state != _FINISHED:
            self._wait(timeout)
        return self._exception

    def set_result(self, result: Any) -> None:
        if not self.try_to_set(result, None):
            raise InvalidStateError(f"{self._state}: {self!r}")

    def set_exception(self, exception: BaseException | None) -> None:
        if not self.try_to_set(None, exception):
            raise InvalidStateError(f"{self._state}: {self!r}")

    def try_to_set(self, result: Any, exception: BaseException | None) -> bool:
        """Sets the outcome and runs the done-callbacks; returns whether the future was not done."""
        try:
            with self._condition:
                if self._state != _RUNNING and self._state != _PENDING:  # noqa: PLR1714  # The quickest for a running one.
                    return False
                self._result = result
                self._exception = exception
                self._state = _FINISHED
                for waiter in self._waiters:
                    self._tell(waiter)
        finally:
            if self._state == _FINISHED:
                self._latch.open()
        if self._own_waiters:
            self._tell_own_waiters()
        if self._done_callbacks:
            self.before_callbacks()
            self._invoke_callbacks()  # type: ignore[attr-defined]  # It is in no stub.
        return True

    def try_to_cancel(self) -> bool:
        """Cancels a pending future and runs the done-callbacks; returns whether the future is cancelled."""
        try:
            with self._condition:
                if self._state != _PENDING:
                    return self._state == _CANCELLED
                self._state = _CANCELLED
                for waiter in self._waiters:
                    waiter.add_cancelled(self)
        finally:
            if self._state == _CANCELLED:
                self._latch.open()
        if self._own_waiters:
            self._tell_own_waiters()
        self.before_callbacks()
        if self._done_callbacks:
            self._invoke_callbacks()  # type: ignore[attr-defined]  # As above.
        return True

    def before_callbacks(self) -> None:
        """Is called before done-callbacks run, and whenever the future was cancelled."""

    def done(self) -> bool:
        return self._state in _DONE

    def running(self) -> bool:
        return self._state == _RUNNING

    def add_waiter(self, waiter: Waiter) -> None:
        """Has ``waiter`` told of the outcome, at once if there is one, and before any done-callback runs.

        Takes no lock: from Python 3.14 on, a signal handler's exception can keep ``with lock`` from releasing it.
        """
        # Add the waiter, then look at the state. try_to_set() changes the state, then looks at the waiters. So at least
        # one of the two tells the waiter, and it is the one that takes it out.
        self._own_waiters[waiter] = True
        if self._state in _DONE:
            self._tell_own_waiters()

    def _tell_own_waiters(self) -> None:
        for waiter in list(self._own_waiters):
            if self._own_waiters.pop(waiter, False):
                self._tell(waiter)

    def _tell(self, waiter: Waiter) -> None:
        if self._exception is None and self._state != _CANCELLED:
            waiter.add_result(self)
        else:
            waiter.add_exception(self)

    def _wait(self, timeout: float | None) -> None:
        __tracebackhide__ = True
        lock = self._condition
        # A signal handler in the middle of another method holds the lock, which is needed to set the state.
        saved = lock._release_save() if lock._is_owned() else None  # noqa: SLF001  # As threading.Condition.wait does.
        try:
            self._latch.wait(timeout)
        finally:
            if saved is not None:
                lock._acquire_restore(saved)  # noqa: SLF001  # As above.
        if self._state != _FINISHED:
            raise CancelledError if self._state == _CANCELLED else FutureTimeoutError


class _PlainFuture(Future):  # type: ignore[type-arg]  # As above.
    """The same on public ground only. When a pending future is cancelled, ``begin`` tells ``wait``, as in the pools."""

    def __init__(self) -> None:
        super().__init__()
        self._has_been_begun = False
        self.set_running_or_notify_cancel()

    def set_pending(self) -> None:
        super().__init__()

    def begin(self) -> bool:
        future = cast(Any, self)
        if not self._has_been_begun:
            self._has_been_begun = True
            if future.cancelled() or not future.done():
                return bool(future.set_running_or_notify_cancel())
        return bool(future.running())

    def call_if_running(self, func: Callable[[], object]) -> None:
        if cast(Any, self).running():
            func()

    def try_to_set(self, result: Any, exception: BaseException | None) -> bool:
        future = cast(Any, self)
        self.before_callbacks()
        try:
            if exception is None:
                future.set_result(result)
            else:
                future.set_exception(exception)
        except InvalidStateError:
            return False
        return True

    def try_to_cancel(self) -> bool:
        is_cancelled = bool(super().cancel())
        if is_cancelled:
            self.before_callbacks()
        return is_cancelled

    def before_callbacks(self) -> None:
        """Is called before done-callbacks may run, and after the future was cancelled."""

    def add_waiter(self, waiter: Waiter) -> None:
        cast(Any, self).add_done_callback(waiter.add_done)


def _works(cls: Any) -> bool:
    """Whether futures of ``cls`` get on with the standard's own functions, as of this interpreter."""
    future, queued = cls(), cls()
    if _attributes_of(cast(Any, Future())) != _attributes_of(future) - {"_latch", "_own_waiters"}:
        return False
    called: list[Future[Any]] = []
    try:
        future.add_done_callback(called.append)
        with future._condition:  # As a signal handler may find it.
            if wait([future], 0).done:
                return False
            with suppress(FutureTimeoutError):
                future.exception(0)
                return False
        future.set_result(1)
        is_set = called == [future] and wait([future], 0).done == {future} and future.result(0) == 1
        queued.set_pending()
        is_cancelled = queued.try_to_cancel() and wait([queued], 0).done == {queued} and queued.cancelled()
        return bool(is_set and is_cancelled)
    except Exception:
        return False


def _attributes_of(future: object) -> set[str]:
    return set(vars(future))


if TYPE_CHECKING:

    class _AnyFuture(Future[Any], Generic[T_co]):
        """The class that works here, as checkers see it."""

        def result(self, timeout: float | None = None) -> T_co:
            """Waits for the call, for at most ``timeout`` seconds, and returns what it returned.

            Raises:
                BaseException: The exception that the call raised.
                TimeoutError: The time limit passed; below Python 3.11, ``concurrent.futures.TimeoutError``.
                CancelledError: The call was cancelled before it began.
            """
            ...

else:
    _AnyFuture = make_subscriptable(_LatchFuture if _works(_LatchFuture) else _PlainFuture)


class CallFuture(_AnyFuture[T_co]):
    """The future of a call, whose ``result()`` has the type of what the call returns: ``CallFuture[int]``.

    It is a ``concurrent.futures.Future`` that is running from the beginning. ``FutureCollection.futures`` holds one for
    each call. To checkers, the futures of other executors (``executor=``) are of this class too; at run time, they are
    of whatever class the executor makes.
    """


if TYPE_CHECKING:

    class OwnFuture(CallFuture[Any]):
        """The same class, with what only the library uses."""

        def set_pending(self) -> None: ...
        def begin(self) -> bool: ...
        def call_if_running(self, func: Callable[[], object]) -> None: ...
        def try_to_set(self, result: Any, exception: BaseException | None) -> bool: ...
        def try_to_cancel(self) -> bool: ...
        def before_callbacks(self) -> None: ...
        def add_waiter(self, waiter: Waiter) -> None: ...

else:
    OwnFuture = CallFuture
