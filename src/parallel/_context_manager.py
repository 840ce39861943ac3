"""``PinnedManager``: one context manager's life: enter, exit, the outcome of each, all on one thread.

What
    Runs ``__enter__`` and ``__exit__`` on a pinned thread, in one ``Context``, while the exception is being handled
    that an ordinary ``with`` would handle at that point. So ``sys.exc_info()``, a bare ``raise`` and the
    ``__context__`` of new exceptions are the same.

Guarantees
    The manager is exited if and only if its ``__enter__`` returned and an exit was ordered: once, with the first order.
    A signal handler may raise in the middle of an order; the order may then be repeated.

Invariant
    The thread that waits for an outcome takes it. If that thread has given up, the manager's thread reports an error
    through ``threading.excepthook``. ``Delivery`` decides which, once.
"""

from __future__ import annotations

from contextvars import Context
from functools import partial
from typing import Any

from parallel._cancellation import Cancellable, StopRequest, current_request, is_cancelled_error, set_all
from parallel._context_variables import ContextVariables
from parallel._exceptions import being_handled, remove_own_frames, traceback_of
from parallel._names import name_of
from parallel._pinned_thread import PinnedThread
from parallel._sync import Once
from parallel._thread import report
from parallel._unwinding import Delivery, EnterOutcome, Unwinding


class PinnedManager(Cancellable):
    """A context manager on a pinned thread."""

    def __init__(self, manager: Any, caller: Context, error: BaseException | None, requests: list[StopRequest]) -> None:
        """Prepares to enter ``manager`` when its thread starts.

        Args:
            manager: The context manager.
            caller: A copy of the caller's context.
            error: The exception that the caller is handling, if any.
            requests: Ask the enters of the block to stop. This one adds its own, and sets all if it fails.
        """
        self.name: str = name_of(manager)
        self.variables = ContextVariables(caller)
        self.entering: Delivery[EnterOutcome] = Delivery()
        self.exiting: Delivery[Unwinding] = Delivery()
        self._request = StopRequest(current_request())
        self._requests = requests
        requests.append(self._request)
        # ``None`` when there is nothing to exit any more: it has exited, or failed to enter.
        self._manager = manager
        self._error_around = error
        self._order: Once[tuple[Unwinding, Context]] = Once()
        self._exit: Any = None
        self.thread = PinnedThread(self.name, self._run_enter)

    def order_exit(self, unwinding: Unwinding, caller: Context) -> None:
        """Has the manager exit with ``unwinding`` once it has been entered. Only the first order counts."""
        if self._manager is not None:
            self._order.claim((unwinding, caller))
            self.thread.send(self._run_exit)

    def abandon_with(self, unwinding: Unwinding, caller: Context) -> None:
        """Orders an exit that no thread waits for: the manager's thread deals with the outcomes."""
        self.entering.give_up()
        self.exiting.give_up()
        self.order_exit(unwinding, caller)

    def _run_enter(self) -> None:
        # The context is entered twice, and not from here to the exit: a forked child must be able to enter it.
        outcome = EnterOutcome(None)
        order = None
        try:
            self.thread.cancellable = self
            try:
                outcome.value = self.variables.context.run(being_handled, self._error_around, self._enter)
            finally:
                self.thread.cancellable = None
                self.request.end()
        except BaseException as error:
            outcome.raised = remove_own_frames(error)
            outcome.is_cancelled = is_cancelled_error(error) and self.has_been_asked_to_stop()
            order = self._order.holder
            self._drop_references()
            set_all(self._requests)  # The block is going to fail.
        finally:
            if not self.entering.deliver(outcome) and not outcome.is_cancelled:
                _report(outcome.raised, order)
            # The traceback refers to this frame.
            del outcome, order

    def _enter(self) -> Any:
        enter = _special_method(self._manager, "__enter__")
        exit_ = _special_method(self._manager, "__exit__")
        value = enter()
        self._exit = exit_
        return value

    def _run_exit(self) -> None:
        order = self._order.holder
        if order is None or self._exit is None:
            return  # It has not been entered, or has exited.
        left = order[0]
        try:
            if self.variables.context.run(self._exit_in_context, *order):
                left = left.suppressed()
        except BaseException as error:
            left = left.with_raised(remove_own_frames(error))
        finally:
            self._drop_references()
            if not self.exiting.deliver(left):
                _report(left.error, order)
            # The traceback refers to this frame.
            del left, order

    def _exit_in_context(self, unwinding: Unwinding, caller: Context) -> bool:
        try:
            self.variables.copy_from_caller(caller)
            if unwinding.error is None:
                being_handled(unwinding.being_handled, lambda: self._exit(None, None, None))
                return False
            return being_handled(unwinding.error, partial(self._exit_with, unwinding.error))
        finally:
            # The traceback refers to this frame.
            del unwinding

    def _exit_with(self, error: BaseException) -> bool:
        try:
            # The truth of the answer is asked while the exception is being handled, as `with` does.
            return bool(self._exit(type(error), error, traceback_of(error)))
        finally:
            # The traceback refers to this frame.
            del error

    def _drop_references(self) -> None:
        """Drops what the frames of a traceback could otherwise keep alive through this object; ends the thread."""
        self._manager = self._error_around = self._exit = None
        self._order = Once()
        self.thread.dismiss()


def _report(raised: BaseException | None, order: tuple[Unwinding, Context] | None) -> None:
    """Reports what was raised, unless it is the very exception that the manager was told to exit with."""
    if raised is not None and (order is None or raised is not order[0].error):
        report(raised)


def _special_method(manager: object, name: str) -> Any:
    """Looks a method up as ``with`` does: on the type, and bound the way that the descriptor wants it."""
    cls = type(manager)
    for base in cls.__mro__:
        namespace = base.__dict__
        if name in namespace:
            method: object = namespace[name]
            bind = getattr(type(method), "__get__", None)
            return method if bind is None else bind(method, manager, cls)
    raise TypeError(f"{cls.__qualname__!r} object does not support the context manager protocol (no {name})")
