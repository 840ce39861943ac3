"""Awaiting where asyncio does not run: an error that names asyncio and the way out, which works."""

from __future__ import annotations

from typing import Any, Callable

import pytest

import children
from helpers import Manager
from parallel import parallel


def run_bare(coroutine: Any) -> None:
    """Runs a coroutine up to its first wait, on no event loop."""
    try:
        coroutine.send(None)
    finally:
        coroutine.close()


def run_on_trio(coroutine: Any) -> None:
    async def main() -> None:
        await coroutine

    try:
        pytest.importorskip("trio", reason="trio is not installed").run(main)
    finally:
        coroutine.close()


runners = pytest.mark.parametrize("run", [run_bare, run_on_trio])


async def await_calls(calls: Any) -> None:
    await calls


async def enter(contexts: Any) -> None:
    async with contexts:
        raise AssertionError("it is not entered")


@runners
def test_awaiting_calls_names_asyncio_and_the_way_out(run: Callable[[Any], None]) -> None:
    calls = parallel(int)()
    with pytest.raises(RuntimeError) as raised:
        run(await_calls(calls))
    assert "asyncio" in str(raised.value)
    assert "`await trio.to_thread.run_sync(calls.results)`" in str(raised.value)
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__
    assert calls.results() == (0,)


@runners
def test_entering_asynchronously_names_asyncio_and_the_way_out(run: Callable[[Any], None]) -> None:
    contexts = parallel(Manager("entered"))
    with pytest.raises(RuntimeError) as raised:
        run(enter(contexts))
    assert "asyncio" in str(raised.value)
    assert "`with` on a thread, as in `await trio.to_thread.run_sync(func)`" in str(raised.value)
    with contexts as values:
        assert values == ("entered",)


WAY_OUT = """
import trio
from parallel import parallel

async def main():
    return await trio.to_thread.run_sync(parallel(int)().parallel(str)().results)

print(trio.run(main))
"""


def test_way_out_of_trio_works() -> None:
    pytest.importorskip("trio", reason="trio is not installed")
    # In a process of its own: trio keeps the thread for ten seconds, and this test would wait for it.
    assert children.run(WAY_OUT) == ["(0, '')"]
