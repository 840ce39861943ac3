"""The state of a future of the library's is the standard's, also for code that reads it without the lock."""

from __future__ import annotations

import threading
from concurrent.futures import Future, wait
from typing import Any, Callable, Iterator

import pytest

from helpers import LIMIT
from parallel import ParallelExecutor, parallel, parallel_map


def fail() -> None:
    raise ValueError


def future_of_a_chain(func: Callable[[], object]) -> Future[Any]:
    (future,) = parallel(func)().futures
    return future


def future_of_a_map(func: Callable[[], object]) -> Future[Any]:
    (future,) = parallel_map(lambda _: func(), [0]).futures
    return future


def future_of_one_execution(func: Callable[[], object]) -> Future[Any]:
    return ParallelExecutor.execute_one(func)


def future_of_submit(func: Callable[[], object]) -> Future[Any]:
    with ParallelExecutor() as executor:
        return executor.submit(func)


@pytest.fixture(params=[future_of_a_chain, future_of_a_map, future_of_one_execution], ids=lambda each: each.__name__)
def start(request: pytest.FixtureRequest) -> Any:
    """One of the ways to start a call and to get its future."""
    return request.param


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """An event that a call waits for, set at the end of the test in any case."""
    gate = threading.Event()
    yield gate
    gate.set()


Start = Callable[[Callable[[], object]], "Future[Any]"]


def state_of(future: Any) -> str:
    state: str = future._state
    return state


def test_state_is_finished_after_result(start: Start) -> None:
    for _ in range(20):
        future = start(int)
        assert future.result(LIMIT) == 0
        assert state_of(future) == "FINISHED"


def test_state_is_finished_after_exception(start: Start) -> None:
    for _ in range(20):
        future = start(fail)
        assert isinstance(future.exception(LIMIT), ValueError)
        assert state_of(future) == "FINISHED"


def test_state_is_finished_after_result_has_raised(start: Start) -> None:
    future = start(fail)
    with pytest.raises(ValueError):
        future.result(LIMIT)
    assert state_of(future) == "FINISHED"


def test_state_is_finished_after_a_wait_for_a_running_call(start: Start, gate: threading.Event) -> None:
    future = start(lambda: gate.wait(LIMIT))
    waiter = parallel(future.result)(LIMIT)
    gate.set()
    assert waiter.results(timeout=LIMIT) == (True,)
    assert state_of(future) == "FINISHED"


def test_state_is_finished_in_a_callback_added_before_the_end(start: Start, gate: threading.Event) -> None:
    future = start(lambda: gate.wait(LIMIT))
    states: list[str] = []
    called = threading.Event()

    def callback(done: Future[Any]) -> None:
        states.append(state_of(done))
        called.set()

    future.add_done_callback(callback)
    gate.set()
    assert called.wait(LIMIT)
    assert states == ["FINISHED"]


def test_state_is_finished_in_a_callback_added_after_the_end(start: Start) -> None:
    future = start(int)
    assert future.result(LIMIT) == 0
    states: list[str] = []
    future.add_done_callback(lambda done: states.append(state_of(done)))
    assert states == ["FINISHED"]


def test_state_is_finished_once_wait_has_returned_it(start: Start, gate: threading.Event) -> None:
    future = start(lambda: gate.wait(LIMIT))
    gate.set()
    assert wait([future], LIMIT).done == {future}
    assert state_of(future) == "FINISHED"


def test_state_is_finished_once_done_is_true(start: Start) -> None:
    future = start(int)
    assert wait([future], LIMIT).done == {future}
    assert future.done()
    assert state_of(future) == "FINISHED"


def test_states_of_a_chain_are_finished_after_results() -> None:
    calls = parallel(int)().parallel(str)(1).parallel(len)("three")
    assert calls.results(timeout=LIMIT) == (0, "1", 5)
    assert [state_of(future) for future in calls.futures] == ["FINISHED"] * 3


def test_state_is_finished_after_shutdown() -> None:
    assert state_of(future_of_submit(int)) == "FINISHED"
    assert state_of(future_of_submit(fail)) == "FINISHED"


def test_state_is_running_while_the_call_runs(start: Start, gate: threading.Event) -> None:
    future = start(lambda: gate.wait(LIMIT))
    assert state_of(future) == "RUNNING"
    gate.set()
    assert future.result(LIMIT) is True
    assert state_of(future) == "FINISHED"


def test_state_is_finished_once_the_user_has_set_the_future(start: Start, gate: threading.Event) -> None:
    future = start(lambda: gate.wait(LIMIT))
    future.set_result("set by hand")
    assert state_of(future) == "FINISHED"
    assert future.result(LIMIT) == "set by hand"
