"""Waiting on an event loop: ``await`` for calls, ``async with`` for context managers. The only importer of asyncio."""

from __future__ import annotations

import asyncio
import functools
import sys
from concurrent.futures import Future
from contextvars import copy_context
from typing import Any, Callable, ContextManager, Sequence, TypeVar

from parallel._context_block import AnyBlock
from parallel._context_manager import PinnedManager
from parallel._exceptions import append_context, raise_unchanged
from parallel._pinned_thread import start_all
from parallel._unwinding import Delivery, EnterOutcome, Unwinding
from parallel._waiting import AllDone

T = TypeVar("T", EnterOutcome, Unwinding)


async def wait_for_all(futures: Sequence[Future[Any]]) -> None:
    """Waits until all are done; asks all calls to stop, the last one first, when the task is cancelled."""
    __tracebackhide__ = True
    _check_running_loop("elsewhere, wait on a thread, as in `await trio.to_thread.run_sync(calls.results)`")
    try:
        await _wait(lambda callback: AllDone(futures, callback))
    except asyncio.CancelledError:
        for future in reversed(futures):
            future.cancel()
        raise


class AsyncBlock(AnyBlock):
    """A chain that is entered and exited on a thread of its own, which waits for the threads of its managers.

    So the chain behaves as a manager does on its thread, context variables included. If the task is cancelled, the
    thread's wait ends. If a method raises, the caller has to abandon the block.
    """

    def __init__(self, chain: ContextManager[Any], interrupt_enter: Callable[[BaseException], object]) -> None:
        super().__init__()
        self._interrupt_enter = interrupt_enter
        self._manager: PinnedManager = PinnedManager(chain, copy_context(), sys.exc_info()[1], [])
        self.managers = [self._manager]

    async def enter(self) -> Any:
        """Enters the chain; returns what it returned."""
        __tracebackhide__ = True
        _check_running_loop("elsewhere, use `with` on a thread, as in `await trio.to_thread.run_sync(func)`")
        manager = self._manager
        outcome = None
        try:
            begin = functools.partial(start_all, [manager.thread])
            outcome = await _outcome(
                manager.entering, begin, manager.variables.copy_enter_changes_to_caller, self._interrupt
            )
            if outcome.raised is not None:
                raise_unchanged(outcome.raised)
            return outcome.value
        finally:
            # The traceback refers to this frame.
            del self, manager, outcome

    async def exit(self, error: BaseException | None) -> bool | None:
        """Exits the chain; returns whether ``error`` was suppressed."""
        __tracebackhide__ = True
        manager = self._manager
        order = left = None
        try:
            order = functools.partial(manager.order_exit, Unwinding(error, sys.exc_info()[1]), copy_context())
            left = await _outcome(manager.exiting, order, manager.variables.copy_exit_changes_to_caller)
            if left.raised is not None:
                raise_unchanged(left.raised)
            return None if error is None else left.error is None
        finally:
            # The traceback refers to this frame.
            del self, error, manager, order, left

    def _interrupt(self, error: BaseException) -> None:
        """Has the wait for the managers end with ``error``, and has what was entered exit with it."""
        # In this order: the chain's thread has to know that ``error`` is no news, so it does not report it.
        self.abandon_with(error)
        self._interrupt_enter(error)


def _check_running_loop(way_out: str) -> None:
    """Raises a ``RuntimeError`` that says what to do, unless asyncio runs the caller."""
    __tracebackhide__ = True
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        message = f"no running event loop of asyncio, which alone can await a chain of parallel; {way_out}"
        raise RuntimeError(message) from None


async def _outcome(
    delivery: Delivery[T],
    begin: Callable[[], object],
    copy_changes: Callable[[], object],
    on_given_up: Callable[[BaseException], object] | None = None,
) -> T:
    """Begins something, and returns its outcome."""
    __tracebackhide__ = True
    try:
        try:
            begin()
            await _wait(delivery.when_delivered)
        except BaseException as error:  # The task has been cancelled, or a signal handler raised it.
            if not delivery.give_up():
                copy_changes()
                append_context(error, delivery.get().raised)
            elif on_given_up is not None:
                on_given_up(error)
            raise
        copy_changes()
        return delivery.get()
    finally:
        delivery.drop()
        # The traceback refers to this frame.
        del delivery, begin, copy_changes, on_given_up


async def _wait(when_done: Callable[[Callable[[], object]], object]) -> None:
    """Waits until the callback that ``when_done`` is given has been called, on whichever thread."""
    __tracebackhide__ = True
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def end() -> None:
        if not done.done():
            done.set_result(None)

    def end_from_any_thread() -> None:
        try:
            loop.call_soon_threadsafe(end)
        except RuntimeError:
            if not loop.is_closed():
                raise
            # Nothing waits on a closed loop.

    when_done(end_from_any_thread)
    await done
