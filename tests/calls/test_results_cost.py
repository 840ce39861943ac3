"""``results()`` takes time in proportion to the calls and to the exceptions, never to the product of the two.

Two measures: how often a future is asked, which is exact; and the processor time of the calling thread, which other
processes do not change, for some calls and for sixteen times as many.
"""

from __future__ import annotations

import sys
import time
from concurrent.futures import Executor, Future
from itertools import repeat
from typing import Any, Callable

import pytest

from helpers import LIMIT, PYPY, Manager
from parallel import FutureCollection, ReturnWhen, parallel, parallel_map

if sys.version_info < (3, 11):
    from exceptiongroup import ExceptionGroup

TIMES = 16
"""How many times as much work the second measurement has."""

MOST_TIMES = TIMES * 6
"""How many times as long it may take; quadratic work takes 256 times as long."""

MOST_QUESTIONS = 12
"""How often each future may be asked something, on the average."""


class CountingFuture(Future):  # type: ignore[type-arg]  # Below 3.9 it cannot be subscribed.
    """A future that counts how often futures of its class are asked something."""

    asked = 0

    @classmethod
    def count(cls) -> None:
        cls.asked += 1

    def done(self) -> bool:
        self.count()
        return super().done()

    def running(self) -> bool:
        self.count()
        return super().running()

    def cancelled(self) -> bool:
        self.count()
        return super().cancelled()

    def result(self, timeout: float | None = None) -> Any:
        self.count()
        return super().result(timeout)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        self.count()
        return super().exception(timeout)

    def add_done_callback(self, fn: Any) -> None:
        self.count()
        super().add_done_callback(fn)


class PreparedExecutor(Executor):
    """An executor that gives prepared futures for calls."""

    def __init__(self, futures: list[Future[Any]]) -> None:
        self.futures = iter(futures)

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:  # type: ignore[override, unused-ignore]  # On 3.8 it has the name fn.
        return next(self.futures)


def chain_of(outcomes: list[Any], future: Callable[[], Future[Any]] = Future) -> FutureCollection[Any]:
    """A chain of calls with these outcomes; those of ``...`` never end."""
    futures = [future() for _ in outcomes]
    for each, outcome in zip(futures, outcomes):
        if isinstance(outcome, BaseException):
            each.set_exception(outcome)
        elif outcome is not ...:
            each.set_result(outcome)
    calls: Any = parallel_map(int, range(len(outcomes)), executor=PreparedExecutor(futures))
    assert len(calls.futures) == len(outcomes)  # Who takes the futures answers for the errors: none is reported.
    return calls  # type: ignore[no-any-return]  # Its type is one of any length.


def error_with_contexts(count: int) -> Exception:
    """An exception with a chain of so many contexts."""
    error = ValueError()
    for _ in range(count):
        context, error = error, ValueError()
        error.__context__ = context
    return error


def all_return(count: int) -> list[Any]:
    return list(range(count))


def all_fail(count: int) -> list[Any]:
    return [ValueError() for _ in range(count)]


def half_fail(count: int) -> list[Any]:
    return [each for number in range(count // 2) for each in (number, ValueError())]


def half_run(count: int) -> list[Any]:
    return [each for _ in range(count // 2) for each in (..., ValueError())]


def last_fails(count: int) -> list[Any]:
    return [*repeat(..., count - 1), ValueError()]


def ask(calls: FutureCollection[Any], *, timeout: float | None = LIMIT, **options: Any) -> None:
    """Asks for results that may be failures."""
    try:
        calls.results(timeout=timeout, **options)
    except (ValueError, ExceptionGroup):
        pass


FIRST: dict[str, Any] = {"return_when": ReturnWhen.FIRST_EXCEPTION}

outcomes_of_ended_calls = pytest.mark.parametrize(
    "outcomes", [all_return, all_fail, half_fail], ids=lambda each: each.__name__
)
outcomes_of_running_calls = pytest.mark.parametrize(
    "outcomes", [all_return, all_fail, half_fail, half_run, last_fails], ids=lambda each: each.__name__
)


def check_questions(outcomes: Callable[[int], list[Any]], **options: Any) -> None:
    count = 5_000
    calls = chain_of(outcomes(count), CountingFuture)
    CountingFuture.asked = 0
    for turn in (1, 2):
        ask(calls, **options)
        assert CountingFuture.asked <= turn * MOST_QUESTIONS * count


@outcomes_of_running_calls
def test_first_exception_asks_each_of_many_futures_a_few_times(outcomes: Callable[[int], list[Any]]) -> None:
    check_questions(outcomes, **FIRST)


@outcomes_of_ended_calls
def test_results_asks_each_of_many_futures_a_few_times(outcomes: Callable[[int], list[Any]]) -> None:
    check_questions(outcomes)


@outcomes_of_running_calls
def test_passed_time_limit_asks_each_future_a_few_times(outcomes: Callable[[int], list[Any]]) -> None:
    if outcomes is not all_return:
        check_questions(outcomes, timeout=0)


def processor_time(prepare: Callable[[int], Callable[[], object]], count: int) -> float:
    """The least processor time of this thread that the prepared function took, of three times."""

    def once() -> float:
        func = prepare(count)
        begin = time.thread_time()
        func()
        return time.thread_time() - begin

    return min(once() for _ in range(3))


def check_proportion(prepare: Callable[[int], Callable[[], object]], count: int) -> None:
    """Fails if sixteen times as much takes far more than sixteen times as long."""
    if PYPY:
        processor_time(prepare, TIMES * count)  # It compiles what it runs often.
    few = processor_time(prepare, count)
    many = processor_time(prepare, TIMES * count)
    assert many < MOST_TIMES * few + 0.02, f"{many / few:.0f} times as long for {TIMES} times as many"


@outcomes_of_running_calls
def test_first_exception_takes_time_in_proportion_to_the_calls(outcomes: Callable[[int], list[Any]]) -> None:
    def prepare(count: int) -> Callable[[], object]:
        calls = chain_of(outcomes(count))
        return lambda: ask(calls, **FIRST)

    check_proportion(prepare, 625)


@outcomes_of_ended_calls
def test_results_takes_time_in_proportion_to_the_calls(outcomes: Callable[[int], list[Any]]) -> None:
    def prepare(count: int) -> Callable[[], object]:
        calls = chain_of(outcomes(count))
        return lambda: ask(calls)

    check_proportion(prepare, 625)


def test_one_failure_shared_by_many_calls_takes_time_in_proportion() -> None:
    def prepare(count: int) -> Callable[[], object]:
        calls = chain_of([ValueError()] * count)
        return lambda: ask(calls)

    check_proportion(prepare, 625)


def test_group_of_failures_with_shared_contexts_takes_time_in_proportion() -> None:
    def prepare(count: int) -> Callable[[], object]:
        context = error_with_contexts(count)
        errors = all_fail(count)
        for error in errors:
            error.__context__ = context
        calls = chain_of(errors)
        return lambda: ask(calls)

    check_proportion(prepare, 190)


def test_group_asked_for_in_an_except_block_takes_time_in_proportion() -> None:
    def prepare(count: int) -> Callable[[], object]:
        context = error_with_contexts(count)
        errors = all_fail(count)
        for error in errors:
            error.__context__ = context
        calls = chain_of(errors)
        handled = error_with_contexts(count)

        def ask_while_handling() -> None:
            try:
                raise handled
            except ValueError:
                ask(calls)

        return ask_while_handling

    check_proportion(prepare, 190)


def test_contexts_in_an_except_block_take_time_in_proportion() -> None:
    def prepare(count: int) -> Callable[[], object]:
        calls = chain_of([error_with_contexts(count)])
        handled = error_with_contexts(count)

        def ask_while_handling() -> None:
            try:
                raise handled
            except ValueError:
                ask(calls)

        return ask_while_handling

    check_proportion(prepare, 250)


def test_contexts_of_an_exit_in_an_except_block_take_time_in_proportion() -> None:
    def prepare(count: int) -> Callable[[], object]:
        body = error_with_contexts(count)
        handled = error_with_contexts(count)

        def run() -> None:
            try:
                try:
                    raise handled
                except ValueError:
                    with parallel(Manager()).parallel(Manager()):
                        raise body  # noqa: B904  # Its context is what this is about.
            except ValueError:
                pass

        return run

    check_proportion(prepare, 250)
