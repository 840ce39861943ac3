"""Waiting on an event loop: ``await`` for calls, ``async with`` for context managers. The only importer of asyncio."""

from __future__ import annotations

import asyncio
import sys
from concurrent.futures import Future
from contextvars import copy_context
from typing import Any, Callable, Sequence, TypeVar

from parallel._context_thread import ContextThread, Unwinding, start_all
from parallel._outcomes import append_context, call_when_done, raise_unchanged

T = TypeVar("T")


async def wait_for_all(futures: Sequence[Future[Any]]) -> None:
    """Waits until all are done."""
    await _wait(lambda callback: call_when_done(futures, callback))


async def enter(thread: ContextThread[T], interrupt: Callable[[BaseException], object]) -> T:
    """Enters a chain on a thread of its own, which waits for the threads of its managers.

    So all that holds for a manager on its thread, context variables included, holds for the chain. ``interrupt`` has
    its wait end, and the chain left, when the task is cancelled. Whatever this raises, the chain is to be left.
    """
    raised = None
    try:
        try:
            start_all([thread])
            await _wait(thread.entering.when_delivered)
        except BaseException as error:  # The task has been cancelled, or a signal handler raised.
            if thread.entering.give_up():
                interrupt(error)
            else:
                thread.variables.publish_enter()
                append_context(error, thread.take_raised())
            raise
        thread.variables.publish_enter()
        raised = thread.take_raised()
        if raised is not None:
            raise_unchanged(raised)
        return thread.take_value()
    finally:
        # The tracebacks refer to this frame.
        del raised, thread, interrupt


async def leave(thread: ContextThread[Any], error: BaseException | None) -> bool | None:
    """Exits a chain on its thread; returns whether ``error`` was suppressed. When it raises, as ``enter``."""
    raised = None
    try:
        try:
            thread.order_exit(Unwinding(error, sys.exc_info()[1]), copy_context())
            await _wait(thread.exiting.when_delivered)
        except BaseException as interruption:  # As above.
            if not thread.exiting.give_up():
                thread.variables.publish_exit()
                append_context(interruption, thread.take_raised())
            raise
        thread.exit_if_left_to_caller()
        thread.variables.publish_exit()
        raised = thread.take_raised()
        if raised is not None:
            raise_unchanged(raised)
        return None if error is None else thread.suppressed
    finally:
        # The tracebacks refer to this frame.
        del raised, error, thread


async def _wait(when_done: Callable[[Callable[[], object]], object]) -> None:
    """Waits until the callback that ``when_done`` is given has been called, on whichever thread."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def end() -> None:
        if not done.done():
            done.set_result(None)

    def end_from_any_thread() -> None:
        try:
            loop.call_soon_threadsafe(end)
        except RuntimeError:
            pass  # The loop has been closed, so nobody waits.

    when_done(end_from_any_thread)
    await done
