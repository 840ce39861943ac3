"""``FutureContextCollection``: context managers chained, entered, left.

The rule behind all of it: once everything is entered, ``with parallel(a).parallel(b)`` cannot be told from
``with a, b``, save that the managers do not run on the caller's thread. What that takes on each manager's thread is in
``_context_thread``, how context variables flow in ``_context_variables``. Here is who is told what, and when.
"""

from __future__ import annotations

import sys
from contextvars import copy_context
from threading import Lock
from types import TracebackType
from typing import Any, Callable, ContextManager, Dict, Generic, Sequence, TypeVar

from parallel._checks import check_context_manager, check_parallel_exit, check_timeout, listed, name_of
from parallel._compat import TypeVarTuple, Unpack
from parallel._context_thread import ContextThread, Unwinding, start_all
from parallel._gate import Countdown
from parallel._outcomes import append_context, combined, raise_unchanged, raised_here

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class FutureContextCollection(Generic[Unpack[Ts]]):
    """Context managers to be entered in parallel by ``with``: ``with parallel(a).parallel(b) as (x, y): ...``.

    Each manager is entered and exited on a thread of its own, in a context of its own. All enters run at once; the
    exits run from the last to the first, or, with ``parallel_exit``, all at once.

    A collection can be entered again after it was left, if its managers can. Chaining does not change a collection: it
    makes a new one. It may be used from any thread, and left on another one than it was entered on; of several threads
    that enter it at once, one does.
    """

    def __init__(self, managers: tuple[Any, ...], timeout: float | None, parallel_exit: bool) -> None:  # noqa: FBT001  # Not for users.
        """For the library itself: ``parallel`` and ``create`` make collections."""
        self._managers = managers
        self._timeout = timeout
        self._parallel_exit = parallel_exit
        # What is entered: claimed before any of it is, and given up when it has been left.
        self._entered: _Claim[_Block | _AsyncBlock] = _Claim()
        self._interruption: BaseException | None = None

    @staticmethod
    def create(
        context_manager: ContextManager[T], /, *, timeout: float | None = None, parallel_exit: bool = False
    ) -> FutureContextCollection[T]:
        """Makes a collection of one context manager, as ``parallel(context_manager)`` does.

        Args:
            context_manager: What to enter.
            timeout: For how many seconds to wait for all enters together at most; without, for as long as it takes.
            parallel_exit: Whether to exit all managers at once, each with the exception of the ``with`` body.

        Returns:
            The collection, of which nothing is entered yet.

        Raises:
            TypeError: ``context_manager`` is not a context manager, ``timeout`` is not a number, or ``parallel_exit``
                is not a ``bool``.
            ValueError: ``timeout`` is NaN.
        """
        check_context_manager(context_manager, "FutureContextCollection.create()")
        check_parallel_exit(parallel_exit)
        return FutureContextCollection((context_manager,), check_timeout(timeout), parallel_exit)

    def parallel(self, context_manager: ContextManager[T], /) -> FutureContextCollection[Unpack[Ts], T]:
        """Makes a collection with one more context manager, and the same ``timeout`` and ``parallel_exit``.

        Args:
            context_manager: What to enter with the others.

        Returns:
            The new collection. This one stays as it is.

        Raises:
            TypeError: ``context_manager`` is not a context manager.
            RuntimeError: The collection is entered.
        """
        check_context_manager(context_manager, "FutureContextCollection.parallel()")
        if self._entered:
            raise RuntimeError(
                "cannot chain onto a FutureContextCollection while it is entered: chain first, then enter"
            )
        return FutureContextCollection((*self._managers, context_manager), self._timeout, self._parallel_exit)

    def __enter__(self) -> tuple[Unpack[Ts]]:
        """Enters all managers at once, and returns what their ``__enter__`` returned, in the order of the chain.

        If an enter fails, the others finish; if the time limit passes, or a signal handler raises an exception
        (Ctrl-C), they are not waited for. Then all that were entered are exited with the failure, which is raised. A
        manager that is still entering is exited on its own thread as soon as its enter has returned.

        Raises:
            BaseException: What an enter raised, if one failed, or the signal handler.
            BaseExceptionGroup: If several enters failed; an ``ExceptionGroup`` if all are ``Exception``.
            TimeoutError: The time limit passed, and no enter had failed by then.
            RuntimeError: The collection is entered already, a thread could not be started, or the interpreter is
                shutting down.
        """
        block = _Block(self._managers, self._parallel_exit)
        try:
            self._claim(block)
            if self._interruption is not None:
                block.interrupt(self._interruption)
            return block.enter(self._timeout)
        except BaseException as error:
            block.leave(error)
            self._entered.give_up(block)
            # The traceback refers to this frame.
            del self, block
            raise

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        """Exits all managers, as ``with a, b`` would, from the last to the first, and waits for that.

        Leaving a collection that is not entered does nothing. When a signal handler raises an exception (Ctrl-C), the
        exit that is waited for goes on without being waited for, and the others are exited with that exception.

        Returns:
            Whether one of the managers suppressed the exception.

        Raises:
            BaseException: What an exit raised, or the signal handler; with ``parallel_exit``, a group if several exits
                did.
        """
        # A signal handler may raise wherever something is called: nothing is called before the try, and afterwards it
        # is asked again who leaves the block.
        leaver: list[None] = []
        block = error = None
        try:
            block = self._entered.holder()
            if not isinstance(block, _Block) or not block.leaver.claim(leaver):
                return None
            error = exc_type() if exc_value is None and exc_type is not None else exc_value
            return block.exit(error)
        except BaseException as raised:
            block = self._entered.holder()
            if isinstance(block, _Block) and block.leaver.claim(leaver):
                block.leave(raised)
            raise
        finally:
            if isinstance(block, _Block) and block.leaver.holder() is leaver:
                self._entered.give_up(block)
            # The traceback refers to this frame.
            del self, block, error, exc_value, traceback

    async def __aenter__(self) -> tuple[Unpack[Ts]]:
        """Enters all managers as ``__enter__`` does, without blocking the event loop (asyncio).

        A task that is cancelled meanwhile leaves the managers that still enter to their threads, as an interrupt does.

        Raises:
            CancelledError: The task was cancelled.
            BaseException: As ``__enter__`` does.
        """
        # Imported late: who does not use asyncio does not pay for it.
        from parallel._asynchronous import enter  # noqa: PLC0415

        # The thread holds another collection, so that this one can be dropped.
        inner: FutureContextCollection[Unpack[Ts]] = FutureContextCollection(
            self._managers, self._timeout, self._parallel_exit
        )
        block = _AsyncBlock(inner, inner._interrupt)
        try:
            self._claim(block)
            return await enter(block.thread, block.interrupt)
        except BaseException as error:
            block.leave(error)
            self._entered.give_up(block)
            # The traceback refers to this frame.
            del self, inner, block
            raise

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        """Exits all managers as ``__exit__`` does, without blocking the event loop (asyncio).

        A task that is cancelled meanwhile leaves the exits to their threads.

        Raises:
            CancelledError: The task was cancelled.
            BaseException: As ``__exit__`` does.
        """
        from parallel._asynchronous import leave  # noqa: PLC0415  # As above.

        # As in __exit__.
        leaver: list[None] = []
        block = None
        try:
            block = self._entered.holder()
            if not isinstance(block, _AsyncBlock) or not block.leaver.claim(leaver):
                return None
            return await leave(block.thread, exc_value)
        except BaseException as raised:
            block = self._entered.holder()
            if isinstance(block, _AsyncBlock) and block.leaver.claim(leaver):
                block.leave(raised)
            raise
        finally:
            if isinstance(block, _AsyncBlock) and block.leaver.holder() is leaver:
                self._entered.give_up(block)
            # The traceback refers to this frame.
            del self, block, exc_value, traceback

    def __repr__(self) -> str:
        names = listed([name_of(manager) for manager in self._managers])
        return f"<{type(self).__name__}: {names or 'empty'}{' (entered)' if self._entered else ''}>"

    def _claim(self, block: _Block | _AsyncBlock) -> None:
        if not self._entered.claim(block):
            # The traceback refers to this frame.
            del block
            raise RuntimeError("cannot enter a FutureContextCollection that is entered already")

    def _interrupt(self, error: BaseException) -> None:
        """Has the wait for the enters, which goes on on another thread, end with ``error``."""
        # First noted and then looked; __enter__ does the two the other way round.
        self._interruption = error
        block = self._entered.holder()
        if isinstance(block, _Block):
            block.interrupt(error)


class _Claim(Dict[None, T]):
    """Something that the first who claims it holds.

    Asked again it gives the same answer, so whoever was broken off by a signal handler can find out by asking.
    """

    def claim(self, claimant: T) -> bool:
        """Whether ``claimant`` holds it now."""
        return self.setdefault(None, claimant) is claimant

    def holder(self) -> T | None:
        """Who holds it."""
        return self.get(None)

    def give_up(self, holder: T) -> None:
        """Lets others claim it, if ``holder`` does hold it."""
        if self.holder() is holder:
            self.clear()


class _Entry:
    """What a ``with`` or ``async with`` statement has entered, or is about to."""

    def __init__(self) -> None:
        self.leaver: _Claim[object] = _Claim()

    def __del__(self) -> None:
        # As with an ordinary manager, nothing is exited; but no thread is left waiting.
        if not getattr(self, "leaver", True):  # It has none if a signal handler raised before it was complete.
            self.abandon()

    def abandon(self) -> None:
        """Ends the threads without exiting the managers."""


class _Block(_Entry):
    """Managers that are entered together, once, and left."""

    def __init__(self, managers: Sequence[Any], parallel_exit: bool) -> None:  # noqa: FBT001  # As above.
        self._exits = _ParallelExits if parallel_exit else _Exits
        # What is handled outside the block: the enters see it, and the exits when there is no exception (any more).
        self._handled = sys.exc_info()[1]
        caller = copy_context()
        self._entering = Countdown(len(managers))
        count = self._entering.count
        self._threads: list[ContextThread[Any]] = [
            ContextThread(each, caller, self._handled, count) for each in managers
        ]
        self._entered: list[ContextThread[Any]] = []
        self._interruption: BaseException | None = None
        super().__init__()

    def enter(self, timeout: float | None) -> tuple[Any, ...]:
        """Enters all managers, or raises and leaves none entered."""
        failure = self._enter_all(timeout)
        if failure is None:
            return tuple([thread.take_value() for thread in self._threads])
        # No exit can suppress the failure: there is no body to be skipped.
        exits = self._exits(Unwinding(failure, self._handled, suppressible=False))
        try:
            exits.run(self._entered)
            failure = exits.take_outcome().error
            assert failure is not None  # noqa: S101  # For the checkers.
            raise_unchanged(failure)
        finally:
            # The traceback refers to this frame.
            del self, failure

    def _enter_all(self, timeout: float | None) -> BaseException | None:
        """Enters all managers; gives what went wrong, if anything, having left those to themselves that still enter."""
        no_thread = timed_out = interruption = failure = thread = None
        failures: list[BaseException] = []
        stragglers: list[ContextThread[Any]] = []
        try:
            try:
                no_thread = self._start()
                if no_thread is None:
                    timed_out = self._wait(timeout)
            except BaseException as error:  # Raised by a signal handler.
                interruption = error
            for thread in self._threads:
                if thread.entering.give_up():
                    stragglers.append(thread)
                    continue
                thread.variables.publish_enter()
                failure = thread.take_raised()
                if failure is None:
                    self._entered.append(thread)
                else:
                    failures.append(failure)
            if no_thread is not None:
                failures.append(no_thread)
            if self._interruption is not None:
                interruption, self._interruption = self._interruption, None
            failure = _failure_to_enter(failures, len(self._threads), timed_out, interruption)
            if failure is not None:
                _leave_to_themselves(stragglers, failure, self._handled)
            return failure
        finally:
            # The tracebacks refer to this frame.
            del self, no_thread, timed_out, interruption, failure, failures, thread, stragglers

    def _start(self) -> Exception | None:
        try:
            start_all(self._threads)
        except (RuntimeError, MemoryError) as error:  # There is no thread to be had.
            # Its traceback holds this thread's frames, which would hold what the threads are told of it.
            return error.with_traceback(None)
        return None

    def interrupt(self, error: BaseException) -> None:
        """Has the wait for the enters end with ``error``, as if a signal handler had raised it."""
        self._interruption = error
        self._entering.open()

    def _wait(self, timeout: float | None) -> BaseException | None:
        """Waits until all have been entered or have failed."""
        if self._entering.wait(timeout):
            return None
        names = [thread.name for thread in self._threads if not thread.entering.delivered]
        message = f"{len(names)} of {len(self._threads)} context managers still entering after {timeout} seconds"
        return raised_here(TimeoutError(f"{message}: {listed(names)}"))

    def exit(self, error: BaseException | None) -> bool | None:
        """Exits all managers; returns whether ``error`` was suppressed."""
        exits = self._exits(Unwinding(error, sys.exc_info()[1] if error is None else self._handled))
        left = None
        try:
            exits.run(self._entered)
            left = exits.take_outcome()
            if left.raised and left.error is not None:
                raise_unchanged(left.error)
            return None if error is None else left.error is None
        finally:
            # The traceback refers to this frame.
            del self, error, left

    def leave(self, error: BaseException) -> None:
        """Has all that were entered and not exited exit with ``error``, without waiting for them."""
        _leave_to_themselves(self._threads, error, self._handled)

    def abandon(self) -> None:
        for thread in self._threads:
            thread.abandon()


class _AsyncBlock(_Entry):
    """A chain that is entered on a thread of its own, once, and left."""

    def __init__(self, chain: ContextManager[Any], interrupt_enter: Callable[[BaseException], object]) -> None:
        self._interrupt_enter = interrupt_enter
        self._handled = sys.exc_info()[1]
        self.thread: ContextThread[Any] = ContextThread(chain, copy_context(), self._handled)
        super().__init__()

    def interrupt(self, error: BaseException) -> None:
        """Has the wait for the enters end with ``error``, and what has been entered left with it."""
        # In this order: the thread is to know that ``error`` is no news.
        self.leave(error)
        self._interrupt_enter(error)

    def leave(self, error: BaseException) -> None:
        """Has the chain left with ``error``, unless it has been, without waiting for it."""
        self.thread.leave_to_itself(Unwinding(error, self._handled), copy_context())

    def abandon(self) -> None:
        self.thread.abandon()


class _Exits:
    """Exits managers last to first, each with what a nested ``with`` would give it.

    Each thread gives the next its order. Whoever calls ``run`` is told when all have exited, or when there is something
    for it to do in between.
    """

    def __init__(self, unwinding: Unwinding) -> None:
        """Prepares for exits, of which the first is given ``unwinding``."""
        self._unwinding = unwinding
        self._handled = unwinding.handled
        # Released to tell whoever waits.
        self._told = Lock()
        self._told.acquire()

    def run(self, threads: Sequence[ContextThread[Any]]) -> None:
        """Exits all, and waits for that, whatever signal handlers may raise."""
        pending = list(threads)
        try:
            self._begin(pending)
            while pending:
                try:
                    self._order(pending[-1])
                    self._wait()
                except BaseException as error:  # Raised by a signal handler.
                    self._interrupt(pending, error)
                while pending and pending[-1].exiting.delivered:
                    self._take(pending[-1])
                    pending.pop()
        finally:
            # There are some only if a signal handler raised while nothing was waited for.
            interruption = sys.exc_info()[1]
            if interruption is not None and pending:
                self._append_what_was_taken(interruption)
            for thread in pending:
                if interruption is not None and not thread.exiting.give_up():
                    append_context(interruption, thread.take_raised())
            _leave_to_themselves(pending, interruption, self._handled)
            # The traceback refers to this frame.
            del self, interruption

    def take_outcome(self) -> Unwinding:
        """Gives what is left in the end, and forgets it."""
        outcome, self._unwinding = self._unwinding, Unwinding(None, None)
        return outcome

    def _begin(self, threads: Sequence[ContextThread[Any]]) -> None:
        self._unwinding.in_turn = True
        for following, thread in zip(threads, threads[1:]):
            thread.exit_before(following)
        for thread in threads:
            thread.exiting.when_delivered(self._tell)

    def _tell(self) -> None:
        try:
            self._told.release()
        except RuntimeError:
            pass  # It has been told already.

    def _wait(self) -> None:
        self._told.acquire()

    def _order(self, thread: ContextThread[Any]) -> None:
        thread.order_exit(self._unwinding, copy_context())

    def _take(self, thread: ContextThread[Any]) -> None:
        """Takes the outcome of an exit into account."""
        thread.exit_if_left_to_caller()
        self._unwinding = thread.take_after()
        thread.variables.publish_exit()

    def _interrupt(self, pending: list[ContextThread[Any]], interruption: BaseException) -> None:
        """Goes on with ``interruption``, as if the exit that was waited for had raised it."""
        waited_for = None
        while pending and waited_for is None:
            if pending[-1].exiting.give_up():
                waited_for = pending[-1]
                continue
            # It has exited before the interruption came.
            kept = pending[-1].keep_from_ordering()
            self._take(pending[-1])
            pending.pop()
            if kept:
                break
        self._go_on_with(interruption)
        if waited_for is not None:
            self._leave(waited_for)
            pending.pop()

    def _leave(self, thread: ContextThread[Any]) -> None:
        """Makes sure that a manager that is not waited for any more is exited."""
        self._order(thread)

    def _append_what_was_taken(self, interruption: BaseException) -> None:
        append_context(interruption, self._unwinding.error)

    def _go_on_with(self, interruption: BaseException) -> None:
        self._append_what_was_taken(interruption)
        self._unwinding = self._unwinding.with_raised(interruption)


class _ParallelExits(_Exits):
    """Exits managers all at once, all with the same exception."""

    def __init__(self, unwinding: Unwinding) -> None:
        super().__init__(unwinding)
        self._failures: list[BaseException] = []
        self._suppressed = False
        self._interruption: BaseException | None = None
        self._exiting = Countdown(0)
        self._total = 0

    def take_outcome(self) -> Unwinding:
        unwinding = super().take_outcome()
        failures, self._failures = self._failures, []
        interruption, self._interruption = self._interruption, None
        error = outcome = unwinding.error
        others = [failure for failure in failures if failure is not error]
        if others:
            outcome = combined(others, f"{len(others)} of {self._total} context managers failed to exit")
            append_context(outcome, error)
        elif not failures:
            outcome = unwinding.after(None, self._suppressed).error
        if interruption is not None:
            append_context(interruption, outcome)
            outcome = interruption
        try:
            return Unwinding(outcome, unwinding.handled, raised=bool(failures) or interruption is not None)
        finally:
            # The traceback of a group refers to this frame.
            del outcome, interruption, error, unwinding

    def _begin(self, threads: Sequence[ContextThread[Any]]) -> None:
        self._total = len(threads)
        self._exiting = Countdown(len(threads))
        for thread in reversed(threads):
            thread.exiting.when_delivered(self._exiting.count)
            self._order(thread)

    def _wait(self) -> None:
        self._exiting.wait()

    def _take(self, thread: ContextThread[Any]) -> None:
        thread.exit_if_left_to_caller()
        raised = thread.take_raised()
        if raised is not None:
            # In the order of the chain, while they are taken last to first.
            self._failures.insert(0, raised)
        else:
            self._suppressed |= thread.suppressed
        thread.variables.publish_exit()

    def _leave(self, thread: ContextThread[Any]) -> None:
        super()._leave(thread)
        self._exiting.count()  # It does not do that itself any more.

    def _append_what_was_taken(self, interruption: BaseException) -> None:
        for failure in [self._interruption, *self._failures, self._unwinding.error]:
            append_context(interruption, failure)

    def _go_on_with(self, interruption: BaseException) -> None:
        append_context(interruption, self._interruption)
        self._interruption = interruption


def _failure_to_enter(
    failures: Sequence[BaseException],
    total: int,
    timed_out: BaseException | None,
    interruption: BaseException | None,
) -> BaseException | None:
    """Makes one of all that went wrong: an interruption goes before failures, and these before the time limit."""
    outcome = timed_out
    if failures:
        outcome = combined(failures, f"{len(failures)} of {total} context managers failed to enter")
        append_context(outcome, timed_out)
    if interruption is not None:
        append_context(interruption, outcome)
        outcome = interruption
    try:
        return outcome
    finally:
        # The traceback of a group refers to this frame.
        del outcome


def _leave_to_themselves(
    threads: Sequence[ContextThread[Any]], error: BaseException | None, handled: BaseException | None
) -> None:
    """Has the managers of ``threads`` exited as soon as they are entered; they report their own errors."""
    for thread in reversed(threads):
        thread.leave_to_itself(Unwinding(error, handled), copy_context())
