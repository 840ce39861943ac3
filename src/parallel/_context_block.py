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
from typing import Any, Callable, ContextManager, Sequence

from parallel._cancellation import StopRequest, set_all
from parallel._context_exits import ExitsAtOnce, ExitsInTurn, abandon
from parallel._context_manager import PinnedManager
from parallel._exceptions import append_context, one_or_group, with_traceback_from_here
from parallel._names import joined
from parallel._pinned_thread import start_all
from parallel._sync import CountDownLatch, Once
from parallel._unwinding import Unwinding

_ABANDONED = "abandoned"


class AnyBlock:
    """The managers that a ``with`` or ``async with`` statement enters."""

    managers: Sequence[PinnedManager] = ()
    error_around: BaseException | None = None

    def __init__(self) -> None:
        self.exiter: Once[object] = Once()

    def __del__(self) -> None:
        exiter = getattr(self, "exiter", None)  # A signal handler may have raised before there was one.
        if exiter is not None and exiter.holder is None:
            for manager in self.managers:
                manager.thread.dismiss()

    def abandon_with(self, error: BaseException) -> None:
        """Has what was entered exit with ``error``, unless it has been told to, without waiting for it."""
        self.exiter.claim(_ABANDONED)
        abandon(self.managers, error, self.error_around)


class Block(AnyBlock):
    """Managers that are entered together, once, and exited."""

    def __init__(self, managers: Sequence[Any], parallel_exit: bool) -> None:  # noqa: FBT001  # Not for users.
        super().__init__()
        self._exits: type[ExitsAtOnce | ExitsInTurn] = ExitsAtOnce if parallel_exit else ExitsInTurn
        # Each ``__enter__`` sees the exception that is being handled around the block; each exit sees it if the body
        # raised none.
        self.error_around = sys.exc_info()[1]
        caller = copy_context()
        self._entering = CountDownLatch(len(managers))
        # They ask those to stop that are still entering when the block has failed.
        self._requests: list[StopRequest] = []
        options = caller, self.error_around, self._requests, self._entering.count_down
        self.managers = [PinnedManager(each, *options) for each in managers]
        self._entered: list[PinnedManager] = []
        self._interruption: BaseException | None = None

    def enter(self, timeout: float | None) -> tuple[tuple[Any, ...], BaseException | None]:
        """Enters all managers; returns what they returned, or what went wrong. Then none is entered any more."""
        values: list[Any] = []
        failure = self._enter_all(timeout, values)
        if failure is None:
            return tuple(values), None
        # No exit can suppress the failure: there is no body to skip.
        unwinding = Unwinding(failure, self.error_around, is_suppressible=False)
        try:
            return (), self._exits().run(self._entered, unwinding).error
        finally:
            # The traceback refers to this frame.
            del self, failure, unwinding

    def abandon_with(self, error: BaseException) -> None:
        super().abandon_with(error)
        set_all(self._requests)

    def interrupt(self, error: BaseException) -> None:
        """Has the wait for the managers end with ``error``, as if a signal handler had raised it."""
        self._interruption = error
        self._entering.open()

    def exit(self, error: BaseException | None) -> Unwinding:
        """Exits all managers with ``error``; returns what is left."""
        around = sys.exc_info()[1] if error is None else self.error_around
        try:
            return self._exits().run(self._entered, Unwinding(error, around))
        finally:
            # The traceback refers to this frame.
            del self, error, around

    def _enter_all(self, timeout: float | None, values: list[Any]) -> BaseException | None:
        """Enters all managers; returns what went wrong, if anything, and abandons managers that are still entering."""
        timed_out = interruption = failure = manager = outcome = None
        failures: list[BaseException] = []
        names: list[str] = []
        cancelled: list[BaseException] = []
        stragglers: list[PinnedManager] = []
        try:
            try:
                start_all([manager.thread for manager in self.managers])
                timed_out = self._wait(timeout)
            except BaseException as error:  # A signal handler raised it, or no thread could be started.
                interruption = error
            for manager in self.managers:
                if manager.entering.give_up():
                    stragglers.append(manager)
                    continue
                manager.variables.copy_enter_changes_to_caller()
                outcome = manager.entering.take()
                if outcome.raised is None:
                    self._entered.append(manager)
                    values.append(outcome.value)
                elif outcome.is_cancelled:
                    cancelled.append(outcome.raised)
                else:
                    failures.append(outcome.raised)
                    names.append(manager.name)
            if self._interruption is not None:
                interruption, self._interruption = self._interruption, None
            if timed_out is None and interruption is None and not failures:
                failures = cancelled[:1]
            failure = _failure_to_enter(failures, names, len(self.managers), timed_out, interruption)
            if failure is not None:
                # In this order: the functions that the requests call may block.
                abandon(stragglers, failure, self.error_around)
                set_all(self._requests)
            return failure
        finally:
            # The tracebacks refer to this frame.
            del self, timed_out, interruption, failure, failures, cancelled, stragglers, manager, outcome

    def _wait(self, timeout: float | None) -> BaseException | None:
        """Waits until all have been entered or have failed; returns a ``TimeoutError`` if not."""
        if self._entering.wait(timeout):
            return None
        names = [manager.name for manager in self.managers if not manager.entering.is_delivered]
        message = f"{len(names)} of {len(self.managers)} context managers still entering after {timeout} seconds"
        return with_traceback_from_here(TimeoutError(f"{message}: {joined(names)}"))


class AsyncBlock(AnyBlock):
    """A chain that is entered on a thread of its own, once, and exited."""

    def __init__(self, chain: ContextManager[Any], interrupt_enter: Callable[[BaseException], object]) -> None:
        super().__init__()
        self._interrupt_enter = interrupt_enter
        self.error_around = sys.exc_info()[1]
        self.manager: PinnedManager = PinnedManager(chain, copy_context(), self.error_around, [])
        self.managers = [self.manager]

    def interrupt(self, error: BaseException) -> None:
        """Has the wait for the managers end with ``error``, and has what was entered exit with it."""
        # In this order: the chain's thread has to know that ``error`` is no news, so it does not report it.
        self.abandon_with(error)
        self._interrupt_enter(error)


def _failure_to_enter(
    failures: Sequence[BaseException],
    names: Sequence[str],
    total: int,
    timed_out: BaseException | None,
    interruption: BaseException | None,
) -> BaseException | None:
    """Makes one of all that went wrong: an interruption goes before failures, and these before the time limit."""
    outcome = timed_out
    try:
        if failures:
            message = f"{len(failures)} of {total} context managers failed to enter: {joined(names)}"
            outcome = one_or_group(failures, message)
            append_context(outcome, timed_out)
        if interruption is not None:
            append_context(interruption, outcome)
            outcome = interruption
        return outcome
    finally:
        # The traceback of a group refers to this frame.
        del outcome, failures, timed_out, interruption
