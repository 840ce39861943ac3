"""``ContextThread``: one context manager living on one thread: enter, wait to be told, exit.

The thread runs the manager's ``__enter__``, delivers the outcome, waits for the order to exit, runs ``__exit__`` and
delivers that outcome. It runs both in one ``Context``, and while the exception is being handled that would be handled
at that point of an ordinary ``with``, so that ``sys.exc_info()``, a bare ``raise`` and the implicit ``__context__`` of
new exceptions are what they would be there. What becomes of the outcomes is left to ``future_context_collection``.

When managers are exited one after the other, each thread gives the next its order, and whoever waits for them is told
when the last has exited: that saves two switches between threads for each manager.

The invariants
    - The manager is exited if and only if its enter returned and an exit was ordered: exactly once, since only the
      first order counts. An order may be repeated, as it must be after a signal handler raised in the middle of it.
    - It is exited on its thread, unless that does not exist (in a forked child) or will never run again (when the
      interpreter has ended): then whoever leaves it does so.
    - Each of the two outcomes is either taken by the one who waits for it, or, if that one has given up waiting by
      then, is the thread's own to deal with: it reports an error through ``threading.excepthook``. Which of the two
      happens is decided once, in ``_Delivery``.
    - A thread gives the next its order only if its outcome is going to be taken, and only if its exit left all context
      variables as they were: the others are changed for the caller first, by the caller. Whether it does, or the caller
      has kept it from that, is decided once, by whoever takes ``_next``.
    - A manager that nobody leaves is not exited, as in an ordinary ``with``: ``abandon`` ends its thread.

All methods but ``run`` are called by the one who enters and leaves, or by a finalizer; the order may come before the
enter has returned, or from the thread of another manager.
"""

from __future__ import annotations

import sys
from contextvars import Context
from threading import Lock
from types import FunctionType, MethodType
from typing import Any, Callable, Generic, Sequence, TypeVar

from parallel import _outcomes, _threads
from parallel._checks import name_of
from parallel._compat import WITH_RESTORES_TRACEBACK
from parallel._context_variables import ContextVariables
from parallel._outcomes import call_handling, without_frames_of

T = TypeVar("T")


class _Delivery:
    """One outcome, which the thread delivers and somebody waits for, until they give up."""

    def __init__(self, on_delivered: Callable[[], object] | None = None) -> None:
        self.delivered: bool = False
        self._on_delivered = on_delivered
        # Deleted, which can be done once, by whoever comes first: the one who delivers or the one who gives up.
        self._undecided = None

    def deliver(self) -> bool:
        """Delivers the outcome; returns whether it is still waited for, so that it will be taken."""
        try:
            del self._undecided
        except AttributeError:
            return False
        self.delivered = True
        return True

    def tell(self) -> None:
        """Tells who waits that the outcome has been delivered."""
        if self._on_delivered is not None:
            self._on_delivered()

    def when_delivered(self, callback: Callable[[], object]) -> None:
        """Has ``callback`` called once they are told, or at once, or both, if it has been delivered."""
        # First noted and then looked; deliver() and tell() do the two the other way round.
        self._on_delivered = callback
        if self.delivered:
            callback()

    def give_up(self) -> bool:
        """Stops waiting; returns whether that was in time: if not, the outcome has been delivered."""
        if self.delivered:
            return False  # As below, without raising an error.
        try:
            del self._undecided
        except AttributeError:
            return False
        return True


class Unwinding:
    """What one exit leaves to the next: the exception that it is to exit with, if any."""

    __slots__ = ("_suppressible", "_traceback", "error", "handled", "in_turn", "raised")

    def __init__(
        self,
        error: BaseException | None,
        handled: BaseException | None,
        *,
        suppressible: bool = True,
        raised: bool = False,
    ) -> None:
        """Begins with an exception, or none.

        Args:
            error: The exception to exit with, if any.
            handled: The exception that is being handled outside the block, if any.
            suppressible: Whether the true return value of an exit suppresses the exception.
            raised: Whether an exit raised it.
        """
        self.error = error
        self.handled = handled
        self.raised = raised
        # Whether the exits that it passes through come one after the other, and are waited for.
        self.in_turn = False
        self._suppressible = suppressible
        self._traceback = None if error is None else error.__traceback__

    def after(self, raised: BaseException | None, suppressed: bool) -> Unwinding:  # noqa: FBT001  # Both outcomes.
        """What an exit that was given this leaves to the next."""
        if raised is not None:
            return self.with_raised(raised)
        if suppressed and self._suppressible:
            return self._next(Unwinding(None, self.handled))
        return self

    def with_raised(self, error: BaseException) -> Unwinding:
        """The same after an exit raised ``error``."""
        return self._next(Unwinding(error, self.handled, suppressible=self._suppressible, raised=True))

    def _next(self, unwinding: Unwinding) -> Unwinding:
        unwinding.in_turn = self.in_turn
        return unwinding

    def restore_traceback(self) -> None:
        """Gives the exception the traceback that it had, as ``with`` does before the next exit, on some versions."""
        if WITH_RESTORES_TRACEBACK and self.in_turn and self.error is not None:
            self.error.__traceback__ = self._traceback


class ContextThread(Generic[T]):
    """A context manager on a thread of its own."""

    def __init__(
        self,
        manager: Any,
        caller: Context,
        handled: BaseException | None,
        on_entered: Callable[[], object] | None = None,
    ) -> None:
        """Prepares to enter ``manager``.

        Args:
            manager: The context manager.
            caller: A copy of the caller's context.
            handled: The exception that the caller is handling, if any.
            on_entered: What is called once it has been entered, or has failed to be.
        """
        self.name: str = name_of(manager)
        self.variables = ContextVariables(caller)
        self.entering = _Delivery(on_entered)
        self.exiting = _Delivery()
        self._manager = manager
        self._handled = handled
        # Of the orders to exit, the first counts: what to exit with, and a copy of the caller's context.
        self._orders: list[tuple[Unwinding, Context]] = []
        # The one that is exited next, if it is this thread that gives it the order.
        self._next: list[ContextThread[Any]] = []
        self._order_given = Lock()
        self._order_given.acquire()
        self._process = _threads.process
        self.suppressed: bool = False
        self._exit: Callable[..., object] = _forgotten
        self._value: T | None = None
        self._after: Unwinding | None = None
        self._raised: BaseException | None = None
        # Whether that is the very exception that it was left with, so that it is no news.
        self._raised_again = False
        self._exit_is_left_to_caller = False
        # Whether there is nothing to be exited any more: it has been, or the enter failed, or there was no thread.
        self._over = False

    def run(self) -> None:
        """The thread's part."""
        if not self._run_enter() or self._process is not _threads.process:  # The enter may have forked.
            return
        _threads.current.park(self, self._order_given, self._orders)
        if not self._orders:
            # Woken without an order: who gives one later waits for nothing.
            self._exit_is_left_to_caller = True
            if self.exiting.deliver():
                self.exiting.tell()
                return
            if not self._orders:
                return
        caller = self._orders[0][1]
        self._run_exit()
        if self.exiting.deliver():
            if not self._order_next(caller):
                self.exiting.tell()
        else:
            self._report_raised()

    def _order_next(self, caller: Context) -> bool:
        after = self._after
        if after is None:
            return False
        after.restore_traceback()
        if not self._next or self.variables.has_exit_changes():
            return False
        try:
            following = self._next.pop()
        except IndexError:
            return False
        following.order_exit(after, caller)
        return True

    def _run_enter(self) -> bool:
        try:
            # The context is entered twice, and not from here to the exit: a forked child must be able to enter it.
            if self._handled is None:
                self._value = self.variables.context.run(self._enter)
            else:
                self._value = self.variables.context.run(call_handling, self._handled, self._enter)
        except BaseException as error:
            self._note_raised(error)
            self.forget()
            if self.entering.deliver():
                self.entering.tell()
            else:
                self._report_raised()
            return False
        if self.entering.deliver():
            self.entering.tell()
        else:
            self._value = None
        return True

    def _enter(self) -> T:
        enter, self._exit = _special_methods(self._manager)
        value: T = enter()
        return value

    def order_exit(self, unwinding: Unwinding, caller: Context) -> None:
        """Has the manager exited, as soon as it has been entered; only the first order counts.

        Args:
            unwinding: What to exit with.
            caller: A copy of the caller's context.
        """
        self._orders.append((unwinding, caller))
        if self._over:
            # The thread does the two the other way round, so no order is kept.
            self._orders.clear()
        elif self._process is not _threads.process or sys.is_finalizing():
            # The thread exists in the parent process only, or will never run again.
            self._exit_is_left_to_caller = True
            if self.exiting.deliver():
                self.exiting.tell()
        else:
            _release(self._order_given)

    def leave_to_itself(self, unwinding: Unwinding, caller: Context) -> None:
        """Orders an exit that nobody waits for: the thread deals with the outcomes. See ``order_exit``."""
        self.entering.give_up()
        self.exiting.give_up()
        self.order_exit(unwinding, caller)

    def exit_before(self, following: ContextThread[Any]) -> None:
        """Has this thread order the exit of ``following`` after its own, if it can."""
        self._next.append(following)

    def keep_from_ordering(self) -> bool:
        """Keeps this thread, whose outcome has been delivered, from ordering the next exit; says whether in time."""
        try:
            self._next.pop()
        except IndexError:
            return False
        return True

    def exit_if_left_to_caller(self) -> None:
        """Exits the manager on this thread, if its own is not there."""
        if self._exit_is_left_to_caller:
            self._exit_is_left_to_caller = False
            self._run_exit()
            if self._after is not None:
                self._after.restore_traceback()

    def abandon(self) -> None:
        """Ends the thread of a manager that nobody will leave any more."""
        if not self._orders and self._process is _threads.process:
            _release(self._order_given)

    def take_value(self) -> T:
        """Gives what the enter returned, and forgets it."""
        value, self._value = self._value, None
        return value  # type: ignore[return-value]  # It has been entered.

    def take_raised(self) -> BaseException | None:
        """Gives what the enter or the exit raised, and forgets it."""
        raised, self._raised, self._after = self._raised, None, None
        return raised

    def take_after(self) -> Unwinding:
        """Gives what the exit left to the next, and forgets it."""
        after, self._after, self._raised = self._after, None, None
        return after  # type: ignore[return-value]  # It has been exited.

    def _run_exit(self) -> None:
        try:
            self.variables.context.run(self._exit_in_context)
        except BaseException as error:
            self._note_raised(error)
        self._after = self._orders[0][0].after(self._raised, self.suppressed)
        self.forget()

    def _exit_in_context(self) -> None:
        unwinding, caller = self._orders[0]
        self.variables.receive(caller)
        try:
            if unwinding.error is None:
                if unwinding.handled is None:
                    self._exit(None, None, None)
                else:
                    call_handling(unwinding.handled, self._exit_without_error)
            else:
                call_handling(unwinding.error, self._exit_with_error)
        finally:
            # The traceback refers to this frame.
            del unwinding, caller

    def _exit_without_error(self) -> None:
        self._exit(None, None, None)

    def _exit_with_error(self) -> None:
        error = self._orders[0][0].error
        assert error is not None  # noqa: S101  # For the checkers.
        try:
            # The truth of the answer is asked while the exception is being handled, as `with` does.
            self.suppressed = bool(self._exit(type(error), error, error.__traceback__))
        finally:
            del error

    def forget(self) -> None:
        """Drops what the frames of a traceback could otherwise keep alive through this object."""
        self._manager = self._handled = None
        self._exit = _forgotten
        self._over = True
        self._orders.clear()

    def _note_raised(self, error: BaseException) -> None:
        self._raised = without_frames_of(error, __file__, _outcomes.__file__)
        self._raised_again = any(error is unwinding.error for unwinding, _ in self._orders)

    def _report_raised(self) -> None:
        raised = self.take_raised()
        if raised is not None and not self._raised_again:
            _threads.report(raised)
        del raised


def start_all(threads: Sequence[ContextThread[Any]]) -> None:
    """Starts to enter all managers, or none of them.

    Raises:
        RuntimeError: Not enough threads could be started.
        MemoryError: There is no memory for so many threads.
    """
    try:
        _threads.current.start_all(threads)
    except (RuntimeError, MemoryError):
        # After anything else, raised by a signal handler, threads may be running.
        for thread in threads:
            thread.forget()
        raise


def _release(lock: Lock) -> None:
    """Releases a lock that may have been released already."""
    try:
        lock.release()
    except RuntimeError:
        pass


def _forgotten(*_: object) -> None:
    """Stands for the exit of a manager that has been exited."""


def _special_methods(manager: object) -> tuple[Any, Any]:
    """Looks up ``__enter__`` and ``__exit__`` as ``with`` does."""
    namespace = type(manager).__dict__
    enter, exit_ = namespace.get("__enter__"), namespace.get("__exit__")
    if type(enter) is FunctionType and type(exit_) is FunctionType:
        # What the rest comes to, for what nearly all are.
        return MethodType(enter, manager), MethodType(exit_, manager)
    return _special_method(manager, "__enter__"), _special_method(manager, "__exit__")


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
