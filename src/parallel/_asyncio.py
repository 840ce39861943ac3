"""Waiting on an event loop: ``await`` for calls, ``async with`` for context managers. The only importer of asyncio."""

from __future__ import annotations

import asyncio
import sys
from concurrent.futures import Future
from contextvars import copy_context
from typing import Any, Callable, Sequence

from parallel._context_block import AsyncBlock
from parallel._exceptions import append_context, raise_unchanged
from parallel._pinned_thread import start_all
from parallel._unwinding import Unwinding
from parallel._waiting import AllDone


async def wait_for_all(futures: Sequence[Future[Any]]) -> None:
    """Waits until all are done."""
    __tracebackhide__ = True
    await _wait(lambda callback: AllDone(futures, callback))


async def enter(block: AsyncBlock) -> Any:
    """Enters a chain on a thread of its own, which waits for the threads of its managers.

    So the chain behaves as a manager does on its thread, context variables included. If the task is cancelled, the
    thread's wait ends. Whatever this raises, the caller has to exit the chain.
    """
    __tracebackhide__ = True
    manager = block.manager
    outcome = None
    try:
        try:
            start_all([manager.thread])
            await _wait(manager.entering.when_delivered)
        except BaseException as error:  # The task has been cancelled, or a signal handler raised it.
            if manager.entering.give_up():
                block.interrupt(error)
            else:
                manager.variables.copy_enter_changes_to_caller()
                append_context(error, manager.entering.take().raised)
            raise
        manager.variables.copy_enter_changes_to_caller()
        outcome = manager.entering.take()
        if outcome.raised is not None:
            raise_unchanged(outcome.raised)
        return outcome.value
    finally:
        # The tracebacks refer to this frame.
        del outcome, manager, block


async def leave(block: AsyncBlock, error: BaseException | None) -> bool | None:
    """Exits a chain on its thread; returns whether ``error`` was suppressed. If it raises, see ``enter``."""
    __tracebackhide__ = True
    manager = block.manager
    outcome = None
    try:
        try:
            manager.order_exit(Unwinding(error, sys.exc_info()[1]), copy_context())
            await _wait(manager.exiting.when_delivered)
        except BaseException as interruption:  # The same two.
            if not manager.exiting.give_up():
                manager.variables.copy_exit_changes_to_caller()
                append_context(interruption, manager.exiting.take().raised)
            raise
        manager.variables.copy_exit_changes_to_caller()
        outcome = manager.exiting.take()
        if outcome.raised is not None:
            raise_unchanged(outcome.raised)
        return None if error is None else outcome.is_suppressing
    finally:
        # The tracebacks refer to this frame.
        del outcome, error, manager, block


async def _wait(when_done: Callable[[Callable[[], object]], object]) -> None:
    """Waits until the callback that ``when_done`` is given has been called, on whichever thread."""
    __tracebackhide__ = True
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def end() -> None:
        if not done.done():
            done.set_result(None)

    def end_from_any_thread() -> None:
        if not loop.is_closed():
            _call_soon(loop, end)

    when_done(end_from_any_thread)
    await done


def _call_soon(loop: asyncio.AbstractEventLoop, func: Callable[[], object]) -> None:
    try:
        loop.call_soon_threadsafe(func)
    except RuntimeError:
        if not loop.is_closed():
            raise
        # It has been closed just now, so nothing waits.
