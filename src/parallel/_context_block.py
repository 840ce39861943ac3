"""``Block``: all managers of one ``with`` statement: entered together, once, and exited.

Guarantees
    Either all managers are entered, or those that were entered exit and an exception is raised. A manager that is still
    entering by then exits on its own thread as soon as it has been entered. A block that is dropped without an exit
    leaves no thread waiting.

Invariant
    ``exiter`` holds who exits the block, once. A block that no one exits is not exited, as with an ordinary manager.
"""

from __future__ import annotations

import sys
from contextvars import copy_context
from typing import Any, Sequence

from parallel._cancellation import StopRequest, set_all
from parallel._context_exits import Exits, exit_all, exit_at_once, exit_in_turn, failure_to
from parallel._context_manager import PinnedManager
from parallel._exceptions import append_context, with_traceback_from_here
from parallel._names import joined
from parallel._pinned_thread import start_all
from parallel._sync import CountDownLatch, Once
from parallel._unwinding import Unwinding

_ABANDONED = "abandoned"


class AnyBlock:
    """The managers that a ``with`` or ``async with`` statement enters."""

    managers: Sequence[PinnedManager] = ()

    def __init__(self) -> None:
        self.exiter: Once[object] = Once()

    def __del__(self) -> None:
        for manager in self.managers:
            manager.thread.dismiss()

    def abandon_with(self, error: BaseException) -> None:
        """Has managers exit with ``error``, unless they have been told to, without waiting for that."""
        self.exiter.claim(_ABANDONED)
        abandon(self.managers, error)


class Block(AnyBlock):
    """Managers that are entered together, once, and exited."""

    def __init__(self, managers: Sequence[Any], parallel_exit: bool) -> None:  # noqa: FBT001  # Not for users.
        super().__init__()
        self._exits: Exits = exit_at_once if parallel_exit else exit_in_turn
        # Each ``__enter__`` sees the exception that is being handled around the block; each exit sees it if the body
        # raised none.
        self._error_around = sys.exc_info()[1]
        # If an enter fails, these requests ask the managers that are still entering to stop.
        self._requests: list[StopRequest] = []
        caller = copy_context()
        self.managers = [PinnedManager(each, caller, self._error_around, self._requests) for each in managers]
        self._entering = CountDownLatch(len(managers))
        for manager in self.managers:
            manager.entering.when_delivered(self._entering.count_down)
        self._entered: list[PinnedManager] = []
        self._interruption: BaseException | None = None

    def enter(self, timeout: float | None) -> tuple[tuple[Any, ...], BaseException | None]:
        """Enters all managers; returns their values, or an exception. With an exception, no manager stays entered."""
        values: list[Any] = []
        failure = self._enter_all(timeout, values)
        if failure is None:
            return tuple(values), None
        # No exit can suppress the failure: there is no body to skip.
        unwinding = Unwinding(failure, self._error_around, is_suppressible=False)
        try:
            return (), exit_all(self._exits, self._entered, unwinding).error
        finally:
            # The traceback refers to this frame.
            del self, failure, unwinding

    def exit(self, error: BaseException | None) -> Unwinding:
        """Exits all managers with ``error``; returns what is left."""
        around = sys.exc_info()[1] if error is None else self._error_around
        try:
            return exit_all(self._exits, self._entered, Unwinding(error, around))
        finally:
            # The traceback refers to this frame.
            del self, error, around

    def abandon_with(self, error: BaseException) -> None:
        super().abandon_with(error)
        set_all(self._requests)

    def interrupt(self, error: BaseException) -> None:
        """Has the wait for the managers end with ``error``, as if a signal handler had raised it."""
        self._interruption = error
        self._entering.open()

    def _enter_all(self, timeout: float | None, values: list[Any]) -> BaseException | None:
        """Enters all managers; returns what went wrong, if anything, and abandons managers that are still entering."""
        timed_out = interruption = failed = cancelled = failure = error = None
        stragglers: list[PinnedManager] = []
        try:
            try:
                start_all([manager.thread for manager in self.managers])
                timed_out = self._wait(timeout)
            except BaseException as raised:  # A signal handler raised it, or no thread could be started.
                interruption = raised
            stragglers += [manager for manager in self.managers if manager.entering.give_up()]
            names, failures, cancelled = self._collect(values)
            failed = failure_to("enter", names, failures, len(self.managers)) if failures else None
            if self._interruption is not None:
                interruption, self._interruption = self._interruption, None
            # An interruption goes before failures, and these go before the timeout. Each has the next as its context.
            for error in (timed_out, failed, interruption):
                if error is not None:
                    append_context(error, failure)
                    failure = error
            if failure is None:
                failure = cancelled
            if failure is not None:
                # In this order: the functions that the requests call may block.
                abandon(stragglers, failure)
                set_all(self._requests)
            return failure
        finally:
            # The tracebacks refer to this frame.
            del self, timed_out, interruption, failed, cancelled, failure, error, stragglers

    def _collect(self, values: list[Any]) -> tuple[list[str], list[BaseException], BaseException | None]:
        """Takes the outcomes; returns which managers failed, with what, and the first error of a cancelled enter."""
        names: list[str] = []
        failures: list[BaseException] = []
        cancelled: BaseException | None = None
        for manager in self.managers:
            if not manager.entering.is_delivered:
                continue
            manager.variables.copy_enter_changes_to_caller()
            outcome = manager.entering.get()
            manager.entering.drop()
            if outcome.raised is None:
                self._entered.append(manager)
                values.append(outcome.value)
            elif not outcome.is_cancelled:
                names.append(manager.name)
                failures.append(outcome.raised)
            elif cancelled is None:
                cancelled = outcome.raised
        return names, failures, cancelled

    def _wait(self, timeout: float | None) -> BaseException | None:
        """Waits until all have been entered or have failed; returns a ``TimeoutError`` if not."""
        if self._entering.wait(timeout):
            return None
        names = [manager.name for manager in self.managers if not manager.entering.is_delivered]
        message = f"{len(names)} of {len(self.managers)} context managers still entering after {timeout} seconds"
        return with_traceback_from_here(TimeoutError(f"{message}: {joined(names)}"))


def abandon(managers: Sequence[PinnedManager], error: BaseException) -> None:
    """Has managers exit with ``error`` as soon as they are entered, without waiting; they report their own errors."""
    unwinding, caller = Unwinding(error, None), copy_context()
    for manager in reversed(managers):
        manager.abandon_with(unwinding, caller)
