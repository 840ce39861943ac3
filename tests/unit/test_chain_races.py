"""Two threads use one chain at the same moment, and one of them cannot start its call: no call of the chain is lost."""

from __future__ import annotations

from concurrent.futures import Executor, Future
from typing import Any

import pytest

from helpers import LIMIT, Gate
from parallel import FutureCollection, ParallelExecutor, parallel


class Refusing(Executor):
    """Runs the first call at once, and refuses the second when it is told to."""

    def __init__(self, gate: Gate) -> None:
        self._turns: list[Any] = [str, gate.call, str]

    def submit(self, func: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        self._turns.pop(0)()
        future: Future[Any] = Future()
        future.set_result(func(*args, **kwargs))
        return future


class RefusedError(Exception):
    """The executor takes no call."""


def check_after_failure(patch: pytest.MonkeyPatch, gate: Gate, chained: Future[Any]) -> None:
    """Has chains look whether they are consumed when the thread that chains has failed."""
    check = FutureCollection._check_not_consumed

    def check_when_the_other_has_failed(chain: FutureCollection[Any]) -> None:
        gate.go.set()
        assert isinstance(chained.exception(LIMIT), RefusedError)
        check(chain)

    patch.setattr(FutureCollection, "_check_not_consumed", check_when_the_other_has_failed)


def test_results_are_those_of_all_calls_while_another_thread_fails_to_chain(monkeypatch: pytest.MonkeyPatch) -> None:
    with Gate(RefusedError()) as gate:
        calls = parallel(str, executor=Refusing(gate))(1)
        chained = ParallelExecutor.execute_one(calls.parallel(str), 2)
        assert gate.inside.wait(LIMIT)
        check_after_failure(monkeypatch, gate, chained)
        assert calls.results() == ("1",)


def test_chain_that_is_free_again_is_consumed_by_the_thread_that_came_too_early(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with Gate(RefusedError()) as gate:
        calls = parallel(str, executor=Refusing(gate))(1)
        first, second = calls.parallel(str), calls.parallel(str)
        chained = ParallelExecutor.execute_one(first, 2)
        assert gate.inside.wait(LIMIT)
        check_after_failure(monkeypatch, gate, chained)
        assert second(3).results() == ("1", "3")
