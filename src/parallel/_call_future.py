"""``CallFuture``: a standard ``Future`` that is running from the beginning, and is cheap to make, set and wait for.

A standard future has a ``Condition``, with a queue of those who wait, and lists of callbacks and of waiters, and takes
its lock for every question. Nearly always one thread waits, or none, and nobody adds a callback. So here who waits does
so at a lock, ``_gate``, and the rest is made when it is asked for. Measured on CPython 3.11 and 3.14: a future made,
set and read takes a quarter of the time, and 0.3 KiB in place of 1.6; a call, on one core, three quarters of the time.

The invariant
    Whoever acquires ``_unset``, which can be done once, sets the future: first the outcome, then ``_state``. It never
    changes again, so it is read without a lock. Only then is the gate opened, and only then is ``_asked`` looked at.

    The gate is open for good when the future is done: who got through opens it for the next.

    What is made when it is asked for is used with the standard's lock held, ``_condition``, which is the first of it.
    Who asks notes that first, and looks at the state then. So whoever adds a callback sees that the future is done, or
    is seen.

    Nobody needs ``_condition`` to set the state: a signal handler that comes while its thread holds that lock can wait
    for the very future.

It replaces what ``Future.__init__`` sets, so it is used only where that is what is known here; otherwise ``CallFuture``
is a ``Future`` as it is made there, set to running.
"""

from __future__ import annotations

from concurrent.futures import Future, InvalidStateError
from concurrent.futures import TimeoutError as FutureTimeoutError
from threading import Lock, RLock
from typing import Any, Callable

_ATTRIBUTES = {"_condition", "_state", "_result", "_exception", "_waiters", "_done_callbacks"}

_FINISHED = "FINISHED"


class _MadeWhenAskedFor:
    """An attribute of a future that is made when it is first asked for, by whichever thread."""

    def __init__(self, make: Callable[[], object]) -> None:
        self._make = make

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, future: _FastFuture | None, owner: type) -> Any:
        if future is None:
            return self
        future._asked = True  # noqa: SLF001  # One class in two parts.
        return future.__dict__.setdefault(self._name, self._make())


class _FastFuture(Future):  # type: ignore[type-arg]  # Below 3.9 it cannot be subscribed.
    """A future that is running from the beginning."""

    _state = "RUNNING"
    _result = None
    _exception = None
    _asked = False
    _condition = _MadeWhenAskedFor(RLock)
    _waiters = _MadeWhenAskedFor(list)
    _done_callbacks = _MadeWhenAskedFor(list)

    def __init__(self) -> None:  # What the base class sets, so it is not called.
        self._unset = Lock()
        self._gate = gate = Lock()
        gate.acquire()

    def result(self, timeout: float | None = None) -> Any:
        if self._state is not _FINISHED:
            self._wait(timeout)
        if self._exception is None:
            return self._result
        try:
            raise self._exception
        finally:
            del self  # The traceback refers to this frame.

    def exception(self, timeout: float | None = None) -> BaseException | None:
        if self._state is not _FINISHED:
            self._wait(timeout)
        return self._exception

    def set_result(self, result: Any) -> None:
        self._begin_to_set()
        self._result = result
        self._finish()

    def set_exception(self, exception: BaseException | None) -> None:
        self._begin_to_set()
        self._exception = exception
        self._finish()

    def _wait(self, timeout: float | None) -> None:
        try:
            if self._gate.acquire(True, -1 if timeout is None else max(timeout, 0)):
                self._open()
        except BaseException:
            # A signal handler raised, perhaps when the gate had just been got through.
            if self._state is _FINISHED:
                self._open()
            raise
        if self._state is not _FINISHED:
            raise FutureTimeoutError

    def _open(self) -> None:
        try:
            self._gate.release()
        except RuntimeError:
            pass  # It is open.

    def _begin_to_set(self) -> None:
        if not self._unset.acquire(False):
            raise InvalidStateError(f"{self._state}: {self!r}")

    def _finish(self) -> None:
        self._state = _FINISHED
        self._open()
        if not self._asked:
            return
        with self._condition:
            for waiter in self._waiters:
                if self._exception is None:
                    waiter.add_result(self)
                else:
                    waiter.add_exception(self)
        self._invoke_callbacks()  # type: ignore[attr-defined]  # It is in no stub.


class _PlainFuture(Future):  # type: ignore[type-arg]  # As above.
    """A future that is running from the beginning."""

    def __init__(self) -> None:
        super().__init__()
        self.set_running_or_notify_cancel()


def _choose() -> type[Future[Any]]:
    return _FastFuture if set(vars(Future())) == _ATTRIBUTES else _PlainFuture


CallFuture = _choose()
CallFuture.__name__ = CallFuture.__qualname__ = "CallFuture"
