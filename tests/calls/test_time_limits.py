"""Time limits that have passed already: negative ones time out at once."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Callable, Iterator

import pytest

from helpers import LIMIT
from parallel import FutureCollection, ParallelExecutor, ReturnWhen, parallel, parallel_contexts, parallel_map

PASSED = [-1, -5, -0.001, -1e300, float("-inf"), -(10**400), 0, -0.0]


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """What calls wait for; open at the end of a test, whatever happened."""
    gate = threading.Event()
    yield gate
    gate.set()


def error_of(func: Callable[[], object], gate: threading.Event) -> BaseException | None:
    """What ``func`` raises, on a thread that is let go if it does not end."""
    errors: list[BaseException | None] = []

    def call() -> None:
        try:
            func()
        except BaseException as error:
            errors.append(error)
        else:
            errors.append(None)

    thread = threading.Thread(target=call)
    thread.start()
    try:
        thread.join(LIMIT / 3)
        assert errors, "it did not time out"
    finally:
        gate.set()
        thread.join(LIMIT)
    return errors[0]


@pytest.mark.parametrize("timeout", PASSED)
def test_results_time_out_at_once_at_a_negative_limit(gate: threading.Event, timeout: float) -> None:
    calls = parallel(abs)(-1).parallel(gate.wait)(LIMIT)
    error = error_of(lambda: calls.results(timeout=timeout), gate)
    assert isinstance(error, TimeoutError)
    assert calls.results() == (1, True)


@pytest.mark.parametrize("timeout", PASSED)
def test_first_exception_times_out_at_once_at_a_negative_limit(gate: threading.Event, timeout: float) -> None:
    calls = parallel(abs)(-1).parallel(gate.wait)(LIMIT)
    error = error_of(lambda: calls.results(timeout=timeout, return_when=ReturnWhen.FIRST_EXCEPTION), gate)
    assert isinstance(error, TimeoutError)
    assert calls.results() == (1, True)


@pytest.mark.parametrize("timeout", [-1, float("-inf"), 0])
def test_results_on_a_pool_time_out_at_once_at_a_negative_limit(gate: threading.Event, timeout: float) -> None:
    with ThreadPoolExecutor(2) as pool:
        calls = parallel_map(gate.wait, [LIMIT, LIMIT], executor=pool)
        assert isinstance(error_of(lambda: calls.results(timeout=timeout), gate), TimeoutError)
        assert calls.results() == (True, True)


@pytest.mark.parametrize("timeout", PASSED)
def test_finished_calls_give_their_results_at_a_negative_limit(timeout: float) -> None:
    calls: FutureCollection[int, str] = parallel(abs)(-1).parallel(str)(2)
    assert calls.results() == (1, "2")
    assert calls.results(timeout=timeout) == (1, "2")


class Held:
    """A manager whose enter waits for a gate."""

    def __init__(self, gate: threading.Event) -> None:
        self.gate = gate
        self.left: list[object] = []
        self.is_left = threading.Event()

    def __enter__(self) -> bool:
        return self.gate.wait(LIMIT)

    def __exit__(self, kind: object, *_: object) -> None:
        self.left.append(kind)
        self.is_left.set()


@pytest.mark.parametrize("timeout", PASSED)
@pytest.mark.parametrize("parallel_exit", [False, True])
def test_enters_time_out_at_once_at_a_negative_limit(
    gate: threading.Event, timeout: float, parallel_exit: bool
) -> None:
    first, second = Held(gate), Held(gate)
    block = parallel(first, timeout=timeout, parallel_exit=parallel_exit).parallel(second)
    error = error_of(block.__enter__, gate)
    assert isinstance(error, TimeoutError)
    for manager in (first, second):
        assert manager.is_left.wait(LIMIT)
        assert manager.left == [TimeoutError]


def test_enters_of_many_time_out_at_once_at_a_negative_limit(gate: threading.Event) -> None:
    managers = [Held(gate) for _ in range(3)]
    assert isinstance(error_of(parallel_contexts(managers, timeout=-5).__enter__, gate), TimeoutError)
    for manager in managers:
        assert manager.is_left.wait(LIMIT)


@pytest.mark.parametrize("timeout", [-1, -0.001])
def test_future_times_out_at_once_at_a_negative_limit(gate: threading.Event, timeout: float) -> None:
    future = ParallelExecutor.execute_one(gate.wait, LIMIT)
    # Below Python 3.11 the futures' TimeoutError is not the builtin one.
    error = error_of(lambda: future.result(timeout=timeout), gate)
    assert type(error).__name__ == "TimeoutError"
    assert future.result(LIMIT) is True


def test_time_limit_below_zero_is_called_zero_seconds() -> None:
    go = threading.Event()
    calls = parallel(go.wait)(LIMIT)
    try:
        with pytest.raises(TimeoutError, match="after 0.0 seconds"):
            calls.results(timeout=-3)
    finally:
        go.set()
    assert calls.results() == (True,)
