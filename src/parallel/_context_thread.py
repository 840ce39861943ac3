"""``ContextThread``: one context manager living on one thread: enter, wait to be told, exit.

The thread runs the manager's ``__enter__``, delivers the outcome, waits for the order to exit, runs ``__exit__`` and
delivers that outcome. It runs both in one ``Context``, and while the exception is being handled that would be handled
at that point of an ordinary ``with``, so that ``sys.exc_info()``, a bare ``raise`` and the implicit ``__context__`` of
new exceptions are what they would be there. What becomes of the outcomes is left to ``future_context_collection``.

The invariants
    - The manager is exited if and only if its enter returned and an exit was ordered: exactly once, since only the
      first order counts. An order may be repeated, as it must be after a signal handler raised in the middle of it.
    - It is exited on its thread, unless that does not exist (in a forked child) or will never run again (when the
      interpreter has ended): then whoever leaves it does so.
    - Each of the two outcomes is either taken by the one who waits for it, or, if that one has given up waiting by
      then, is the thread's own to deal with: it reports an error through ``threading.excepthook``. Which of the two
      happens is decided once, in ``_Delivery``.
    - A manager that nobody leaves is not exited, as in an ordinary ``with``: ``abandon`` ends its thread.

All methods but ``run`` are called by the one who enters and leaves, or by a finalizer; the order may come before the
enter has returned.
"""

from __future__ import annotations

import os
import sys
from contextvars import Context
from threading import Lock
from typing import Any, Callable, Generic, NamedTuple, TypeVar

from parallel import _outcomes, _threads
from parallel._checks import name_of
from parallel._context_variables import ContextVariables
from parallel._outcomes import call_handling, without_frames_of

T = TypeVar("T")


class _Delivery:
    """One outcome, which the thread delivers and somebody waits for, until they give up."""

    _on_delivered: Callable[[], object] | None = None

    def __init__(self) -> None:
        # Acquired by whoever comes first: the one who delivers or the one who gives up.
        self._decided = Lock()
        self._delivered = Lock()
        self._delivered.acquire()

    def deliver(self) -> bool:
        """Ends the wait; returns whether there still was one, so that the outcome will be taken."""
        waited_for = self._decided.acquire(False)
        self.interrupt()
        if self._on_delivered is not None:
            self._on_delivered()
        return waited_for

    def wait(self, timeout: float | None = None) -> bool:
        """Waits for the outcome, for ``timeout`` seconds at most; returns whether it has been delivered."""
        if not self._delivered.acquire(True, -1 if timeout is None else timeout):
            return False
        self.interrupt()  # It may be asked again.
        return True

    def interrupt(self) -> None:
        """Ends the wait, also when nothing has been delivered: who waits has been told why."""
        _release(self._delivered)

    def when_delivered(self, callback: Callable[[], object]) -> None:
        """Has ``callback`` called once there is an outcome, or twice, on the thread that delivers it or on this one."""
        self._on_delivered = callback
        if self.wait(0):
            callback()

    def give_up(self) -> bool:
        """Stops waiting; returns whether that was in time: if not, the outcome has been delivered."""
        return self._decided.acquire(False)


class _Order(NamedTuple):
    """What to exit with."""

    error: BaseException | None
    caller: Context
    handled: BaseException | None


class ContextThread(Generic[T]):
    """A context manager on a thread of its own."""

    started: bool = False
    suppressed: bool = False

    _exit: Callable[..., object]
    _value: T | None = None
    _raised: BaseException | None = None
    # Whether that is the very exception that it was left with, so that it is no news.
    _raised_again = False
    _exit_is_left_to_caller = False
    # Whether there is nothing to be exited any more: it has been, or the enter failed, or there was no thread.
    _over = False

    def __init__(self, manager: Any, caller: Context, handled: BaseException | None) -> None:
        """Prepares to enter ``manager``.

        Args:
            manager: The context manager.
            caller: A copy of the caller's context.
            handled: The exception that the caller is handling, if any.
        """
        self.name: str = name_of(manager)
        self.variables = ContextVariables(caller)
        self.entering = _Delivery()
        self.exiting = _Delivery()
        self._manager = manager
        self._handled = handled
        # Of the orders to exit, the first counts.
        self._orders: list[_Order] = []
        self._order_given = Lock()
        self._order_given.acquire()
        self._process = os.getpid()

    def start(self) -> None:
        """Starts to enter the manager.

        Raises:
            RuntimeError: No thread could be started.
        """
        try:
            _threads.start(self)
        except (RuntimeError, MemoryError):
            # There is no thread to be had, so nothing will be exited. After anything else, raised by a signal handler,
            # the thread may be running.
            self._forget()
            raise
        self.started = True

    def run(self) -> None:
        """The thread's part."""
        if not self._run_enter() or self._process != os.getpid():  # The enter may have forked.
            return
        _threads.park(self, self._order_given, self._orders)
        if not self._orders:
            # Woken without an order: who gives one later waits for nothing.
            self._exit_is_left_to_caller = True
            if self.exiting.deliver() or not self._orders:
                return
        self._run_exit()
        if not self.exiting.deliver():
            self._report_raised()

    def _run_enter(self) -> bool:
        try:
            # The context is entered twice, and not from here to the exit: a forked child must be able to enter it.
            self._value = self.variables.context.run(call_handling, self._handled, self._enter)
        except BaseException as error:
            self._note_raised(error)
            self._forget()
            if not self.entering.deliver():
                self._report_raised()
            return False
        if not self.entering.deliver():
            self._value = None
        return True

    def _enter(self) -> T:
        enter = _special_method(self._manager, "__enter__")
        self._exit = _special_method(self._manager, "__exit__")
        value: T = enter()
        return value

    def order_exit(self, error: BaseException | None, caller: Context, handled: BaseException | None) -> None:
        """Has the manager exited, as soon as it has been entered; only the first order counts.

        Args:
            error: The exception to exit with, if any.
            caller: A copy of the caller's context.
            handled: The exception that is being handled outside the block, if any.
        """
        self._orders.append(_Order(error, caller, handled))
        if self._over:
            # The thread does the two the other way round, so no order is kept.
            self._orders.clear()
        elif self._process != os.getpid() or sys.is_finalizing():
            # The thread exists in the parent process only, or will never run again.
            self._exit_is_left_to_caller = True
            self.exiting.deliver()
        else:
            _release(self._order_given)

    def leave_to_itself(self, error: BaseException | None, caller: Context, handled: BaseException | None) -> None:
        """Orders an exit that nobody waits for: the thread deals with the outcomes. See ``order_exit``."""
        self.entering.give_up()
        self.exiting.give_up()
        self.order_exit(error, caller, handled)

    def wait_until_exited(self) -> None:
        """Waits until the manager has been exited."""
        self.exiting.wait()
        if self._exit_is_left_to_caller:
            self._exit_is_left_to_caller = False
            self._run_exit()

    def abandon(self) -> None:
        """Ends the thread of a manager that nobody will leave any more."""
        if not self._orders and self._process == os.getpid():
            _release(self._order_given)

    def take_value(self) -> T:
        """Gives what the enter returned, and forgets it."""
        value, self._value = self._value, None
        return value  # type: ignore[return-value]  # It has been entered.

    def take_raised(self) -> BaseException | None:
        """Gives what the enter or the exit raised, and forgets it."""
        raised, self._raised = self._raised, None
        return raised

    def _run_exit(self) -> None:
        try:
            self.variables.context.run(self._exit_in_context)
        except BaseException as error:
            self._note_raised(error)
        self._forget()

    def _exit_in_context(self) -> None:
        error, caller, handled = self._orders[0]
        self.variables.receive(caller)
        try:
            if error is None:
                call_handling(handled, self._exit_without_error)
            else:
                call_handling(error, self._exit_with_error)
        finally:
            # The traceback refers to this frame.
            del error, caller, handled

    def _exit_without_error(self) -> None:
        self._exit(None, None, None)

    def _exit_with_error(self) -> None:
        error = self._orders[0].error
        assert error is not None  # noqa: S101  # For the checkers.
        try:
            # The truth of the answer is asked while the exception is being handled, as `with` does.
            self.suppressed = bool(self._exit(type(error), error, error.__traceback__))
        finally:
            del error

    def _forget(self) -> None:
        """Drops what the frames of a traceback could otherwise keep alive through this object."""
        self._manager = self._handled = None
        self._exit = _forgotten
        self._over = True
        self._orders.clear()

    def _note_raised(self, error: BaseException) -> None:
        self._raised = without_frames_of(error, __file__, _outcomes.__file__)
        self._raised_again = any(error is order.error for order in self._orders)

    def _report_raised(self) -> None:
        raised = self.take_raised()
        if raised is not None and not self._raised_again:
            _threads.report(raised)
        del raised


def _release(lock: Lock) -> None:
    """Releases a lock that may have been released already."""
    try:
        lock.release()
    except RuntimeError:
        pass


def _forgotten(*_: object) -> None:
    """Stands for the exit of a manager that has been exited."""


def _special_method(manager: object, name: str) -> Any:
    """Looks a method up as ``with`` does: on the type, and bound the way that the descriptor wants it."""
    cls = type(manager)
    for base in cls.__mro__:
        if name in vars(base):
            method: object = vars(base)[name]
            bind = getattr(type(method), "__get__", None)
            return method if bind is None else bind(method, manager, cls)
    raise TypeError(f"{cls.__qualname__!r} object does not support the context manager protocol (no {name})")
