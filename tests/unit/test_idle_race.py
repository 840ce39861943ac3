"""Idle threads whose time is over in the moment in which they are given something to run."""

from __future__ import annotations

import itertools
import threading
from typing import Any

import pytest

from helpers import LIMIT, wait_for_idle_threads, wait_until
from parallel import ParallelExecutor, _process, _threads, parallel_map


class QueueThatTimesOut:
    """A queue that can be made to say that no work came in time although one did."""

    def __init__(self, works: Any) -> None:
        self._works = works
        self._lies = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._works, name)

    def lie(self, times: int) -> None:
        """The next ``times`` works given out are put back instead, and said not to have come."""
        self._lies = times

    def get(self, *arguments: Any) -> Any:
        work = self._works.get(*arguments)
        if self._lies > 0 and work is not None:
            self._lies -= 1
            self._works.put((work,), itertools.repeat(True))
            return None
        return work


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> _threads.Threads:
    """Threads of the test's own, with a queue that can lie."""
    own = _process.Pool()
    queue: Any = QueueThatTimesOut(own._threads._queue)
    own._threads._queue = queue
    monkeypatch.setattr(_process, "pool", own)
    return own._threads


def idle(threads: _threads.Threads, number: int) -> None:
    """Makes ``number`` idle threads."""
    barrier = threading.Barrier(number)
    parallel_map(lambda _: barrier.wait(LIMIT), range(number)).results()
    wait_until(lambda: len(threads._tokens) == number)


@pytest.mark.parametrize("number", [1, 2, 5])
@pytest.mark.parametrize("lies", [1, 2, 3])
def test_a_work_given_to_threads_that_time_out_at_that_moment_runs_once(
    threads: _threads.Threads, number: int, lies: int
) -> None:
    works: Any = threads._queue
    for _ in range(5):
        idle(threads, number)
        ran: list[int] = []
        works.lie(lies)
        assert ParallelExecutor.execute_one(ran.append, 1).result(LIMIT) is None
        works.lie(0)
        wait_for_idle_threads()
        assert ran == [1]
        # The accounting holds: every token is a thread that is there.
        wait_until(lambda: len(threads._tokens) == max(number - lies, 1))
    idle(threads, number + 1)
