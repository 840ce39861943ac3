"""One exception object in several futures is one failure, as in a process pool that broke."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import Any, Iterator

import pytest

from helpers import LIMIT, Manager, Uncaught
from parallel import FutureCollection, ReturnWhen, parallel, parallel_contexts, parallel_map

if sys.version_info < (3, 11):
    from exceptiongroup import BaseExceptionGroup, ExceptionGroup


class BrokenError(Exception):
    pass


class SilentExecutor(Executor):
    """An executor that runs nothing: its user sets the outcomes."""

    def __init__(self) -> None:
        self.futures: list[Future[Any]] = []

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:  # type: ignore[override, unused-ignore]  # On 3.8 it has the name fn.
        self.futures.append(Future())
        return self.futures[-1]


def chain_with_outcomes(*outcomes: object) -> FutureCollection[Any]:
    """A chain of calls that have ended with these results and exceptions."""
    executor = SilentExecutor()
    calls: Any = parallel_map(int, range(len(outcomes)), executor=executor)
    for future, outcome in zip(executor.futures, outcomes):
        if isinstance(outcome, BaseException):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)
    return calls  # type: ignore[no-any-return]  # Its type is one of any length.


async def awaited(calls: FutureCollection[Any]) -> Any:
    return await calls


@pytest.fixture
def barrier() -> Iterator[threading.Barrier]:
    """A meeting point of two calls, which nobody waits for any more at the end of the test."""
    barrier = threading.Barrier(2)
    yield barrier
    barrier.abort()


def meet_and_fail(barrier: threading.Barrier, error: BaseException) -> None:
    barrier.wait(LIMIT)
    raise error


@pytest.mark.parametrize("count", [2, 3, 50])
def test_exception_shared_by_all_futures_is_raised_itself(count: int) -> None:
    error = BrokenError()
    calls = chain_with_outcomes(*[error] * count)
    for _ in range(2):
        with pytest.raises(BrokenError) as caught:
            calls.results(timeout=LIMIT)
        assert caught.value is error


def test_exception_shared_by_some_futures_is_raised_itself() -> None:
    error = BrokenError()
    calls = chain_with_outcomes(0, error, 2, error)
    with pytest.raises(BrokenError) as caught:
        calls.results(timeout=LIMIT)
    assert caught.value is error


def test_shared_exception_is_raised_itself_by_first_exception() -> None:
    error = BrokenError()
    calls = chain_with_outcomes(error, error)
    assert len(calls.futures) == 2  # Who takes the futures answers for the errors.
    with pytest.raises(BrokenError) as caught:
        calls.results(timeout=LIMIT, return_when=ReturnWhen.FIRST_EXCEPTION)
    assert caught.value is error


def test_shared_exception_that_first_exception_raised_is_not_reported(uncaught: list[Uncaught]) -> None:
    chain_with_outcomes(LookupError())  # Dropped: this one is reported.
    calls = chain_with_outcomes(*[BrokenError()] * 3)
    with pytest.raises(BrokenError):
        calls.results(timeout=LIMIT, return_when=ReturnWhen.FIRST_EXCEPTION)
    del calls
    gc.collect()
    assert [type(report.exc_value) for report in uncaught] == [LookupError]


def test_shared_exception_is_raised_itself_by_await() -> None:
    error = BrokenError()
    with pytest.raises(BrokenError) as caught:
        asyncio.run(awaited(chain_with_outcomes(error, error)))
    assert caught.value is error


def test_shared_exception_is_in_a_group_once_at_its_first_place() -> None:
    shared, first, last = BrokenError("shared"), ValueError("first"), ValueError("last")
    calls = chain_with_outcomes(first, shared, 2, shared, last, shared)
    with pytest.raises(ExceptionGroup) as caught:
        calls.results(timeout=LIMIT)
    assert [id(error) for error in caught.value.exceptions] == [id(first), id(shared), id(last)]


def test_message_of_a_group_counts_calls_and_not_exceptions() -> None:
    shared = BrokenError()
    calls = chain_with_outcomes(shared, 1, shared, ValueError())
    with pytest.raises(ExceptionGroup) as caught:
        calls.results(timeout=LIMIT)
    assert caught.value.message.startswith("3 of 4 ")


def test_shared_exception_that_is_no_exception_is_in_a_group_once() -> None:
    shared, other = KeyboardInterrupt(), ValueError()
    calls = chain_with_outcomes(shared, other, shared)
    with pytest.raises(BaseExceptionGroup) as caught:
        calls.results(timeout=LIMIT)
    assert [id(error) for error in caught.value.exceptions] == [id(shared), id(other)]


def test_equal_exceptions_that_are_two_objects_are_two_failures() -> None:
    @dataclass(eq=True, unsafe_hash=True)
    class EqualError(Exception):
        key: str

    first, second = EqualError("key"), EqualError("key")
    assert first == second
    with pytest.raises(ExceptionGroup) as caught:
        chain_with_outcomes(first, second).results(timeout=LIMIT)
    assert [id(error) for error in caught.value.exceptions] == [id(first), id(second)]


def test_exception_without_a_hash_is_compared_by_identity() -> None:
    class UnhashableError(Exception):
        __hash__ = None  # type: ignore[assignment]  # Such classes exist.

        def __eq__(self, other: object) -> bool:
            raise AssertionError("exceptions are compared by identity")

    shared, other = UnhashableError(), UnhashableError()
    with pytest.raises(ExceptionGroup) as caught:
        chain_with_outcomes(shared, other, shared).results(timeout=LIMIT)
    assert [id(error) for error in caught.value.exceptions] == [id(shared), id(other)]


def test_group_shared_by_all_futures_is_raised_itself() -> None:
    group = ExceptionGroup("several", [ValueError(), KeyError()])
    with pytest.raises(ExceptionGroup) as caught:
        chain_with_outcomes(group, group).results(timeout=LIMIT)
    assert caught.value is group


def test_exception_that_two_running_calls_raise_is_raised_itself(barrier: threading.Barrier) -> None:
    error = BrokenError()
    calls = parallel(meet_and_fail)(barrier, error).parallel(meet_and_fail)(barrier, error)
    for _ in range(2):
        with pytest.raises(BrokenError) as caught:
            calls.results(timeout=LIMIT)
        assert caught.value is error


def test_exception_that_two_calls_raise_is_in_a_group_once(barrier: threading.Barrier) -> None:
    shared, other = BrokenError(), ValueError()

    def fail() -> None:
        raise other

    calls = parallel(meet_and_fail)(barrier, shared).parallel(meet_and_fail)(barrier, shared).parallel(fail)()
    with pytest.raises(ExceptionGroup) as caught:
        calls.results(timeout=LIMIT)
    assert [id(error) for error in caught.value.exceptions] == [id(shared), id(other)]


def test_exception_that_two_enters_raise_is_raised_itself() -> None:
    error = BrokenError()
    failing, entered, failing_too = Manager(enter=error), Manager(), Manager(enter=error)
    with pytest.raises(BrokenError) as caught:
        with parallel_contexts([failing, entered, failing_too]):
            pytest.fail("the body ran")
    assert caught.value is error
    assert failing.exits == failing_too.exits == []
    (exited_with,) = entered.exits
    assert exited_with is error
