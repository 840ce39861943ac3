"""``CallFuture``, the type of the futures of a chain, as programs see it that run."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor, as_completed, wait
from typing import Any, Dict, Optional, get_type_hints

import pytest

from helpers import LIMIT
from parallel import CallFuture, FutureCollection, parallel, parallel_map

Names = Dict[str, Optional[CallFuture[Any]]]


def takes_futures(one: CallFuture[int], more: Names) -> None:
    """Has annotations that are looked up."""


def test_class_can_be_subscribed() -> None:
    hints = get_type_hints(takes_futures)
    assert hints["one"] == CallFuture[int]
    assert hints["more"] == Names

    class Kept(CallFuture[int]):
        """A subclass."""

    assert issubclass(Kept, CallFuture)


def test_futures_of_chains_and_maps_are_of_the_class() -> None:
    calls = parallel(int)("1").parallel(str)(2)
    mapped = parallel_map(int, ["1", "2"])
    for future in (*calls.futures, *mapped.futures):
        assert isinstance(future, CallFuture)
        assert isinstance(future, Future)
    assert calls.futures[0].result(LIMIT) == 1
    assert wait(calls.futures, LIMIT).done == set(calls.futures)
    assert set(as_completed(mapped.futures, LIMIT)) == set(mapped.futures)


def test_futures_of_other_executors_are_of_their_own_class() -> None:
    with ThreadPoolExecutor(1) as pool:
        (future,) = parallel(int, executor=pool)("1").futures
        assert type(future) is Future
        assert future.result(LIMIT) == 1


def test_futures_are_a_property_with_a_docstring() -> None:
    futures: Any = FutureCollection.futures
    assert isinstance(futures, property)
    assert "futures" in (futures.__doc__ or "")


@pytest.mark.parametrize("number", [1, 10, 11, 25])
def test_futures_are_in_the_order_of_the_chain(number: int) -> None:
    started = threading.Event()
    calls: Any = parallel(started.wait)(LIMIT)
    for each in range(1, number):
        calls = calls.parallel(int)(each)
    started.set()
    assert [future.result(LIMIT) for future in calls.futures] == [True, *range(1, number)]
