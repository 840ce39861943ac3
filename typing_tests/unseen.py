"""Mistakes that no checker finds, because the types are right. Read by checkers only; see test_typing.py."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, contextmanager, nullcontext
from typing import AsyncGenerator, Generator

from parallel import parallel


def load(number: int) -> str:
    """Stands for any function."""
    return str(number)


async def load_later(number: int) -> str:
    """Stands for any coroutine function."""
    await asyncio.sleep(0)
    return str(number)


@contextmanager
def connection(host: str) -> Generator[int, None, None]:
    """Stands for any function that makes context managers."""
    yield len(host)


@asynccontextmanager
async def session(host: str) -> AsyncGenerator[int, None]:
    """Stands for any function that makes asynchronous context managers."""
    await asyncio.sleep(0)
    yield len(host)


def coroutine_function() -> None:
    """A coroutine function is called for a coroutine, like any other for its result

    `parallel` raises a `TypeError`.
    """
    parallel(load_later)(1)


def decorating_manager_on_calls() -> None:
    """A manager from `@contextmanager` can be called too, as a decorator, so it passes for a function

    `.parallel` raises a `TypeError`. Other context managers are refused by checkers.
    """
    parallel(load)(1).parallel(connection("localhost"))


def decorating_asynchronous_manager() -> None:
    """A manager from `@asynccontextmanager` can be called too

    `parallel` raises a `TypeError`. Other asynchronous context managers are refused by checkers.
    """
    parallel(session("localhost"))


def consumed_chain() -> None:
    """A chain that has been gone on with is used again

    It raises a `RuntimeError` that says which object to use instead.
    """
    calls = parallel(load)(1)
    calls.parallel(load)(2)
    calls.results()


def consumed_contexts() -> None:
    """A chain of context managers that has been chained onto is entered

    It raises a `RuntimeError` that says which object to use instead.
    """
    contexts = parallel(nullcontext(1))
    contexts.parallel(nullcontext(2))
    with contexts:
        pass


def forgotten_start() -> None:
    """A call is prepared and not started

    Nothing is called. Checkers find it as soon as anything is asked of the chain.
    """
    parallel(load)


def forgotten_with() -> None:
    """Context managers are chained and not entered

    Nothing is entered. Checkers find it as soon as anything is asked of the targets.
    """
    parallel(nullcontext(1)).parallel(nullcontext(2))
