"""Chains waited for on an event loop. Read by checkers only; see test_typing.py."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, contextmanager
from typing import Generator, Iterable, Tuple

from typing_extensions import TypeVarTuple, Unpack, assert_type

from parallel import FutureCollection, parallel, parallel_contexts, parallel_map

Ts = TypeVarTuple("Ts")


def number(text: str) -> int:
    """Makes an integer."""
    return int(text)


def text(number: int) -> str:
    """Makes a string."""
    return str(number)


@contextmanager
def connection(host: str) -> Generator[int, None, None]:
    """Yields a number."""
    yield len(host)


@contextmanager
def folder() -> Generator[str, None, None]:
    """Yields a text."""
    yield ""


async def await_one() -> None:
    """`await` a call"""
    (first,) = await parallel(number)("1")
    assert_type(first, int)


async def await_chain() -> None:
    """`await` a chain"""
    assert_type(await parallel(number)("1").parallel(text)(2), Tuple[int, str])


async def await_chain_in_variable(calls: FutureCollection[int, str]) -> str:
    """`await` a chain kept in a variable"""
    first, second = await calls
    assert_type(first, int)
    return second


async def await_any_length(calls: FutureCollection[Unpack[Ts]]) -> tuple[Unpack[Ts]]:
    """`await` a chain of any length"""
    return await calls


async def await_map(urls: Iterable[str]) -> None:
    """`await parallel_map`"""
    assert_type(await parallel_map(number, urls), Tuple[int, ...])


async def async_with() -> None:
    """`async with` a chain"""
    async with parallel(connection("")).parallel(folder()) as (first, second):
        assert_type(first, int)
        assert_type(second, str)


async def async_with_contexts(hosts: Iterable[str]) -> None:
    """`async with parallel_contexts`"""
    async with parallel_contexts([connection(host) for host in hosts]) as entered:
        assert_type(entered, Tuple[int, ...])


async def async_with_return() -> int:
    """a function that ends in an `async with` block"""
    async with parallel(connection("")) as (first,):
        return first


async def async_exit_stack() -> None:
    """a chain in an `AsyncExitStack`"""
    async with AsyncExitStack() as stack:
        entered = await stack.enter_async_context(parallel(connection("")).parallel(folder()))
        assert_type(entered, Tuple[int, str])


async def wait_for() -> None:
    """`asyncio.wait_for`"""
    assert_type(await asyncio.wait_for(parallel(number)("1").parallel(text)(2), 1), Tuple[int, str])


async def gather() -> None:
    """`asyncio.gather`"""
    one, two = await asyncio.gather(parallel(number)("1"), parallel(text)(2))
    assert_type(one, Tuple[int])
    assert_type(two, Tuple[str])


def run_coroutine() -> None:
    """a call that runs a coroutine"""

    async def fetch(url: str) -> bytes:
        await asyncio.sleep(0)
        return url.encode()

    assert_type(parallel(lambda: asyncio.run(fetch("x")))().results(), Tuple[bytes])
