"""Chaining a context manager consumes the chain: the managers belong to the new one."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
from contextlib import nullcontext
from types import FrameType
from typing import Any

import pytest

from helpers import LIMIT
from parallel import FutureContextCollection, parallel, parallel_contexts


class Reusable:
    """Counts how often it has been entered."""

    def __init__(self) -> None:
        self.entered = 0

    def __enter__(self) -> int:
        self.entered += 1
        return self.entered

    def __exit__(self, *args: object) -> None:
        pass


class InterruptError(BaseException):
    """What a signal handler raises."""


def check_is_consumed(chain: FutureContextCollection[Any], name: str) -> None:
    expected = rf"consumed by \.parallel\({name}\).*contexts = contexts\.parallel\(manager\)"
    with pytest.raises(RuntimeError, match=expected), chain:
        pass
    with pytest.raises(RuntimeError, match=expected):
        chain.parallel(Reusable())
    with pytest.raises(RuntimeError, match=expected):
        asyncio.run(enter_asynchronously(chain))


async def enter_asynchronously(chain: FutureContextCollection[Any]) -> Any:
    async with chain as entered:
        return entered


def test_chain_is_consumed_by_the_chaining() -> None:
    first, second = Reusable(), Reusable()
    old = parallel(first)
    new = old.parallel(second)
    check_is_consumed(old, "Reusable")
    assert repr(old) == "<FutureContextCollection: consumed by .parallel(Reusable)>"
    assert old.__exit__(None, None, None) is None
    assert asyncio.run(old.__aexit__(None, None, None)) is None
    assert (first.entered, second.entered) == (0, 0)
    with new as entered:
        assert entered == (1, 1)
        assert old.__exit__(None, None, None) is None
        assert repr(new) == "<FutureContextCollection: Reusable, Reusable (entered)>"
    check_is_consumed(old, "Reusable")


def test_chain_of_any_number_is_consumed() -> None:
    old: Any = parallel_contexts([nullcontext(1), nullcontext(2)])
    with old.parallel(nullcontext(3)) as entered:
        assert entered == (1, 2, 3)
    check_is_consumed(old, "nullcontext")


def test_chain_that_is_entered_can_neither_be_chained_onto_nor_entered() -> None:
    chain = parallel(Reusable())
    with chain:
        with pytest.raises(RuntimeError, match="while it is entered: chain first, then enter"):
            chain.parallel(Reusable())
        with pytest.raises(RuntimeError, match="entered already"):
            chain.__enter__()
    with chain.parallel(Reusable()) as entered:
        assert entered == (2, 1)


def test_chain_can_be_chained_onto_and_entered_again_after_an_exit() -> None:
    chain = parallel(Reusable())
    with chain:
        pass
    assert asyncio.run(enter_asynchronously(chain)) == (2,)
    longer: Any = chain.parallel(Reusable())
    assert [asyncio.run(enter_asynchronously(longer)) for _ in range(2)] == [(3, 1), (4, 2)]
    with longer as entered:
        assert entered == (5, 3)


@pytest.mark.parametrize("mistake", [None, 7, Reusable, len])
def test_mistake_consumes_nothing(mistake: Any) -> None:
    chain = parallel(Reusable())
    with pytest.raises(TypeError):
        chain.parallel(mistake)
    with chain.parallel(Reusable()) as entered:
        assert entered == (1, 1)


def test_chaining_that_an_interrupt_ends_consumes_nothing() -> None:
    interrupts = 0
    for moment in range(1, 200):
        chain = parallel(Reusable())
        count = moment

        def trace(frame: FrameType, event: str, argument: object) -> Any:
            nonlocal count
            if not frame.f_code.co_filename.endswith(("future_context_collection.py", "_sync.py")):
                return None
            if event == "line":
                count -= 1
                if not count:
                    sys.settrace(None)
                    raise InterruptError
            return trace

        before = sys.gettrace()
        gc.disable()
        try:
            sys.settrace(trace)
            chain.parallel(Reusable())
        except InterruptError:
            interrupts += 1
        else:
            break
        finally:
            sys.settrace(before)
            gc.enable()
        with chain.parallel(Reusable()) as entered:
            assert entered == (1, 1)
    assert interrupts > 5


def test_of_threads_that_chain_and_enter_at_once_one_succeeds() -> None:
    for _ in range(50):
        manager = Reusable()
        chain = parallel(manager)
        begin = threading.Barrier(3)
        outcomes: list[object] = []

        def attempt(how: Any, begin: Any = begin, outcomes: Any = outcomes) -> None:
            begin.wait(LIMIT)
            try:
                outcomes.append(how())
            except RuntimeError as error:
                outcomes.append(error)

        def chain_onto(chain: Any = chain) -> object:
            return chain.parallel(Reusable())

        hows = [chain.__enter__, chain_onto, chain_onto]
        threads = [threading.Thread(target=attempt, args=(how,)) for how in hows]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(LIMIT)
        assert sum(isinstance(outcome, RuntimeError) for outcome in outcomes) == 2
        chain.__exit__(None, None, None)
