"""What ``ParallelExecutor`` adds to a standard executor; ``test_executor_contract`` has the rest."""

from __future__ import annotations

import threading
from concurrent.futures import Future, wait

from helpers import LIMIT
from parallel import ParallelExecutor


def test_execute_starts_all_functions_at_once_and_gives_their_futures_in_their_order() -> None:
    all_inside = threading.Barrier(3)
    has_ended = [threading.Event() for _ in range(4)]
    has_ended[3].set()

    def call(number: int) -> int:
        all_inside.wait(LIMIT)
        # They end from the last to the first.
        assert has_ended[number + 1].wait(LIMIT)
        has_ended[number].set()
        return number

    futures = ParallelExecutor.execute(lambda: call(0), lambda: call(1), lambda: call(2))
    assert type(futures) is list
    assert all(isinstance(future, Future) for future in futures)
    assert not wait(futures, LIMIT).not_done
    assert [future.result() for future in futures] == [0, 1, 2]


def test_execute_one_gives_a_future_that_runs_at_once() -> None:
    inside, go = threading.Event(), threading.Event()

    def call() -> str:
        inside.set()
        assert go.wait(LIMIT)
        return "ended"

    future = ParallelExecutor.execute_one(call)
    try:
        assert inside.wait(LIMIT)
        assert future.running()
    finally:
        go.set()
    assert future.result(LIMIT) == "ended"
