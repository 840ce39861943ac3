"""A time limit of ``results()`` is one limit for all calls, and passes whatever the clocks of ``time`` say."""

from __future__ import annotations

import sys
import threading
import time
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Callable, Iterator

import pytest

from helpers import LIMIT
from parallel import FutureCollection, ReturnWhen, parallel_contexts, parallel_map

CLOCKS = ("time", "monotonic", "perf_counter", "time_ns", "monotonic_ns", "perf_counter_ns")

REAL_MONOTONIC = time.monotonic

STUCK = 100
"""How many calls are stuck: with one limit for each, a test would take as many times as long."""

SECONDS = 0.05

AT_MOST = STUCK * SECONDS / 2
"""How long a wait of ``SECONDS`` may take: much longer, and half as long as with one limit for each call."""

Fake = Callable[[str, Callable[[], Any]], Callable[[], Any]]


@contextmanager
def faked_clocks(fake: Fake) -> Iterator[None]:
    """Replaces the clocks as freezegun does: in ``time``, and in every module of the library that imported one."""
    real = {name: getattr(time, name) for name in CLOCKS}
    fakes = {id(clock): fake(name, clock) for name, clock in real.items()}
    with pytest.MonkeyPatch.context() as patch:
        modules = [module for name, module in sys.modules.items() if name.partition(".")[0] == "parallel"]
        for module in [time, *modules]:
            for name, value in list(vars(module).items()):
                if any(value is clock for clock in real.values()):
                    patch.setattr(module, name, fakes[id(value)])
        yield


def frozen(name: str, clock: Callable[[], Any]) -> Callable[[], Any]:
    """A clock that stands still."""
    now = clock()
    return lambda: now


def leaping(name: str, clock: Callable[[], Any]) -> Callable[[], Any]:
    """A clock that is a day later each time it is asked."""
    day = 24 * 60 * 60 * (10**9 if name.endswith("_ns") else 1)
    days = iter(range(1, 10**6))
    return lambda: clock() + next(days) * day


def running_backwards(name: str, clock: Callable[[], Any]) -> Callable[[], Any]:
    """A clock that is a day earlier each time it is asked."""
    day = 24 * 60 * 60 * (10**9 if name.endswith("_ns") else 1)
    days = iter(range(1, 10**6))
    return lambda: clock() - next(days) * day


class SilentExecutor(Executor):
    """An executor that runs nothing; its futures stay as they are until the end of the test."""

    def __init__(self) -> None:
        self.futures: list[Future[Any]] = []

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:  # type: ignore[override, unused-ignore]  # On 3.8 it has the name fn.
        self.futures.append(Future())
        return self.futures[-1]

    def shutdown(self, *args: Any, **kwargs: Any) -> None:
        for future in self.futures:
            future.cancel()


def own_threads() -> Executor | None:
    return None


def standard_pool() -> Executor | None:
    return ThreadPoolExecutor(STUCK + 2)


def silent_executor() -> Executor | None:
    return SilentExecutor()


class StuckCalls:
    """A place for calls to be stuck at until it is opened, at the end of its block at the latest.

    It also opens when a wait takes much too long, so that the test fails and does not block.
    """

    def __init__(self, executor: Executor | None) -> None:
        self.executor = executor
        self.opened = threading.Event()
        self.timer = threading.Timer(2 * AT_MOST, self.open)

    def __enter__(self) -> StuckCalls:
        self.timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.timer.cancel()
        self.timer.join(LIMIT)
        self.open()

    def open(self) -> None:
        self.opened.set()
        if self.executor is not None:
            self.executor.shutdown()

    def wait(self, number: int) -> int:
        assert self.opened.wait(LIMIT)
        return number

    def stuck(self) -> FutureCollection[Any]:
        """A chain of calls that are stuck."""
        calls: Any = parallel_map(self.wait, range(STUCK), executor=self.executor)
        return calls  # type: ignore[no-any-return]  # Its type is one of any length.


class Duration:
    """Measures how long a block takes, by the real clock."""

    def __enter__(self) -> Duration:
        self.begin = REAL_MONOTONIC()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = REAL_MONOTONIC() - self.begin


executors = pytest.mark.parametrize(
    "executor", [own_threads, standard_pool, silent_executor], ids=lambda each: each.__name__
)
both_ways = pytest.mark.parametrize("return_when", [ReturnWhen.ALL_COMPLETED, ReturnWhen.FIRST_EXCEPTION])
slow_clocks = pytest.mark.parametrize("clock", [frozen, running_backwards], ids=lambda each: each.__name__)


@executors
@both_ways
@slow_clocks
def test_time_limit_passes_once_for_all_calls_by_any_clock(
    executor: Callable[[], Executor | None], return_when: Any, clock: Fake
) -> None:
    with StuckCalls(executor()) as gate:
        calls = gate.stuck()
        with faked_clocks(clock), Duration() as duration:
            with pytest.raises(TimeoutError, match=f"{STUCK} of {STUCK}"):
                calls.results(timeout=SECONDS, return_when=return_when)
        assert SECONDS * 0.9 < duration.seconds < AT_MOST


@executors
@both_ways
@slow_clocks
def test_time_limit_of_zero_passes_at_once_by_any_clock(
    executor: Callable[[], Executor | None], return_when: Any, clock: Fake
) -> None:
    with StuckCalls(executor()) as gate:
        calls = gate.stuck()
        with faked_clocks(clock), Duration() as duration:
            with pytest.raises(TimeoutError, match=f"{STUCK} of {STUCK}"):
                calls.results(timeout=0, return_when=return_when)
        assert duration.seconds < AT_MOST


@executors
@both_ways
def test_time_limit_passes_once_for_all_calls_by_the_real_clock(
    executor: Callable[[], Executor | None], return_when: Any
) -> None:
    with StuckCalls(executor()) as gate:
        calls = gate.stuck()
        with Duration() as duration:
            with pytest.raises(TimeoutError, match=f"{STUCK} of {STUCK}"):
                calls.results(timeout=SECONDS, return_when=return_when)
        assert SECONDS * 0.9 < duration.seconds < AT_MOST


@pytest.mark.parametrize("executor", [own_threads, standard_pool], ids=lambda each: each.__name__)
@both_ways
@pytest.mark.parametrize("clock", [leaping, frozen, running_backwards], ids=lambda each: each.__name__)
def test_time_limit_does_not_pass_early_by_any_clock(
    executor: Callable[[], Executor | None], return_when: Any, clock: Fake
) -> None:
    with StuckCalls(executor()) as gate:
        calls = gate.stuck()
        # However late the timer is, the results are right: it only has results() wait for a while.
        timer = threading.Timer(0.1, gate.opened.set)
        timer.start()
        try:
            with faked_clocks(clock):
                assert calls.results(timeout=LIMIT, return_when=return_when) == tuple(range(STUCK))
        finally:
            timer.cancel()
            timer.join(LIMIT)


@executors
@slow_clocks
def test_failure_goes_before_a_time_limit_by_any_clock(executor: Callable[[], Executor | None], clock: Fake) -> None:
    error = ValueError()
    failed: Future[Any] = Future()
    failed.set_exception(error)

    class OneFails(Executor):
        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:  # type: ignore[override, unused-ignore]  # As above.
            return failed if args == (STUCK // 2,) else inner.submit(fn, *args, **kwargs)

    inner = executor() or ThreadPoolExecutor(STUCK)
    with StuckCalls(inner) as gate:
        calls = parallel_map(gate.wait, range(STUCK), executor=OneFails())
        with faked_clocks(clock), Duration() as duration, pytest.raises(ValueError) as caught:
            calls.results(timeout=SECONDS)
        assert caught.value is error
        assert isinstance(error.__context__, TimeoutError)
        assert duration.seconds < AT_MOST


@pytest.mark.parametrize("clock", [frozen, running_backwards, leaping], ids=lambda each: each.__name__)
def test_time_limit_of_enters_passes_once_by_any_clock(clock: Fake) -> None:
    class Stuck:
        def __enter__(self) -> None:
            gate.wait(0)

        def __exit__(self, *_: object) -> None:
            pass

    with StuckCalls(None) as gate:
        chain = parallel_contexts([Stuck() for _ in range(STUCK)], timeout=SECONDS)
        with faked_clocks(clock), Duration() as duration, pytest.raises(TimeoutError, match=f"{STUCK} of {STUCK}"):
            with chain:
                pytest.fail("the body ran")
        assert SECONDS * 0.9 < duration.seconds < AT_MOST
