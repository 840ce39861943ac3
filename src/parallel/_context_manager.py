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
from typing import Any, Callable

from parallel._cancellation import Cancellable, StopRequest, current_request, is_cancelled_error, set_all
from parallel._context_variables import ContextVariables
from parallel._exceptions import being_handled, remove_own_frames, traceback_of
from parallel._names import name_of
from parallel._pinned_thread import PinnedThread
from parallel._sync import Once
from parallel._thread import report
from parallel._unwinding import Delivery, Outcome, Unwinding


class PinnedManager(Cancellable):
    """A context manager on a pinned thread."""

    def __init__(
        self,
        manager: Any,
        caller: Context,
        error: BaseException | None,
        requests: list[StopRequest],
        on_entered: Callable[[], object] | None = None,
    ) -> None:
        """Prepares to enter ``manager`` when its thread starts.

        Args:
            manager: The context manager.
            caller: A copy of the caller's context.
            error: The exception that the caller is handling, if any.
            requests: Ask the enters of the block to stop. This one adds its own, and sets all if it fails.
            on_entered: Called once the manager has been entered, or has failed to be.
        """
        self.name: str = name_of(manager)
        self.variables = ContextVariables(caller)
        self.entering: Delivery = Delivery(on_entered)
        self.exiting: Delivery = Delivery()
        request = StopRequest(current_request())
        self._request = request
        self._requests = requests
        requests.append(request)
        self._manager = manager
        self._error_around = error
        self._order: Once[tuple[Unwinding, Context]] = Once()
        self._exit: Any = None
        # Whether there is nothing to exit any more: it has exited, or failed to enter.
        self._is_over = False
        self.thread = PinnedThread(self.name, self._run_enter)

    def order_exit(self, unwinding: Unwinding, caller: Context) -> None:
        """Has the manager exit with ``unwinding`` once it has been entered. Only the first order counts."""
        if not self._is_over:
            self._order.claim((unwinding, caller))
            self.thread.send(self._run_exit)

    def abandon_with(self, unwinding: Unwinding, caller: Context) -> None:
        """Orders an exit that no thread waits for: the manager's thread deals with the outcomes."""
        self.entering.give_up()
        self.exiting.give_up()
        self.order_exit(unwinding, caller)

    def drop_references(self) -> None:
        """Drops what the frames of a traceback could otherwise keep alive through this object."""
        self._manager = self._error_around = self._exit = None
        self._is_over = True

    def _run_enter(self) -> None:
        # The context is entered twice, and not from here to the exit: a forked child must be able to enter it.
        outcome = Outcome(None)
        try:
            self.thread.cancellable = self
            try:
                outcome = Outcome(self.variables.context.run(being_handled, self._error_around, self._enter))
            finally:
                self.thread.cancellable = None
                self.request.end()
        except BaseException as error:
            is_cancelled = is_cancelled_error(error) and self.has_been_asked_to_stop()
            outcome = Outcome(None, remove_own_frames(error), is_cancelled=is_cancelled)
            self.drop_references()
            self.thread.dismiss()
            set_all(self._requests)  # The block is going to fail.
        finally:
            if not self.entering.deliver(outcome) and not outcome.is_cancelled:
                self._report(outcome.raised)
            # The traceback refers to this frame.
            del outcome

    def _enter(self) -> Any:
        enter = _special_method(self._manager, "__enter__")
        exit_ = _special_method(self._manager, "__exit__")
        value = enter()
        self._exit = exit_
        return value

    def _run_exit(self) -> None:
        if self._exit is None:
            return  # It has not been entered, or has exited.
        raised: BaseException | None = None
        is_suppressing = False
        try:
            is_suppressing = self.variables.context.run(self._exit_in_context)
        except BaseException as error:
            raised = remove_own_frames(error)
        finally:
            self.drop_references()
            self.thread.dismiss()
            if not self.exiting.deliver(Outcome(is_suppressing, raised)):
                self._report(raised)
            del raised

    def _exit_in_context(self) -> bool:
        order = self._order.holder
        assert order is not None  # noqa: S101  # It is sent after it was claimed.
        unwinding, caller = order
        self.variables.copy_from_caller(caller)
        if unwinding.error is None:
            return being_handled(unwinding.being_handled, self._exit_without_error)
        return being_handled(unwinding.error, lambda: self._exit_with(unwinding.error))

    def _exit_without_error(self) -> bool:
        self._exit(None, None, None)
        return False

    def _exit_with(self, error: BaseException | None) -> bool:
        try:
            # The truth of the answer is asked while the exception is being handled, as `with` does.
            return bool(self._exit(type(error), error, None if error is None else traceback_of(error)))
        finally:
            # The traceback refers to this frame.
            del error

    def _report(self, raised: BaseException | None) -> None:
        """Reports what was raised, unless it is the very exception that the manager was told to exit with."""
        order = self._order.holder
        if raised is not None and (order is None or raised is not order[0].error):
            report(raised)
        del raised, order


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
