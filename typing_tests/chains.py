"""Chains of calls give a tuple of exactly their results. Read by checkers only; see test_typing.py."""

from __future__ import annotations

from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any, Tuple, TypeVar

from typing_extensions import TypeVarTuple, Unpack, assert_type

from parallel import FutureCollection, ReturnWhen, parallel

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


def number(text: str) -> int:
    """Makes an integer."""
    return int(text)


def text(number: int) -> str:
    """Makes a string."""
    return str(number)


def data() -> bytes:
    """Makes bytes."""
    return b""


def chain_of_one() -> None:
    """a chain of one"""
    (first,) = parallel(number)("1").results()
    assert_type(first, int)


def chain_of_two() -> None:
    """a chain of two"""
    first, second = parallel(number)("1").parallel(text)(2).results()
    assert_type(first, int)
    assert_type(second, str)


def chain_of_eight() -> None:
    """a chain of eight"""
    calls = (
        parallel(number)("1")
        .parallel(text)(2)
        .parallel(data)()
        .parallel(number)("4")
        .parallel(text)(5)
        .parallel(data)()
        .parallel(number)("7")
        .parallel(text)(8)
    )
    assert_type(calls.results(), Tuple[int, str, bytes, int, str, bytes, int, str])


def chain_of_twenty_five() -> None:
    """a chain of twenty-five"""
    calls = (
        parallel(number)("1")
        .parallel(text)(2)
        .parallel(data)()
        .parallel(number)("4")
        .parallel(text)(5)
        .parallel(data)()
        .parallel(number)("7")
        .parallel(text)(8)
        .parallel(data)()
        .parallel(number)("10")
        .parallel(text)(11)
        .parallel(data)()
        .parallel(number)("13")
        .parallel(text)(14)
        .parallel(data)()
        .parallel(number)("16")
        .parallel(text)(17)
        .parallel(data)()
        .parallel(number)("19")
        .parallel(text)(20)
        .parallel(data)()
        .parallel(number)("22")
        .parallel(text)(23)
        .parallel(data)()
        .parallel(lambda: 2.5)()
    )
    results = calls.results()
    assert_type(results[0], int)
    assert_type(results[23], bytes)
    assert_type(results[24], float)


def chain_kept_in_variables() -> None:
    """a chain kept in variables and gone on with"""
    one = parallel(number)("1")
    two = one.parallel(text)(2)
    assert_type(one, FutureCollection[int])
    assert_type(two, FutureCollection[int, str])


def prepared_call_kept_in_variable() -> None:
    """a prepared call kept in a variable"""
    prepared = parallel(number)
    assert_type(prepared("1"), FutureCollection[int])
    chained = prepared("1").parallel(text)
    assert_type(chained(2), FutureCollection[int, str])


def chain_as_parameter(calls: FutureCollection[int, str]) -> tuple[int, str]:
    """a chain as a parameter"""
    assert_type(calls.parallel(data)(), FutureCollection[int, str, bytes])
    return calls.results()


def chain_given_to_function() -> None:
    """a chain given to a function"""
    assert_type(chain_as_parameter(parallel(number)("1").parallel(text)(2)), Tuple[int, str])


def chain_of_any_length(calls: FutureCollection[Unpack[Ts]]) -> tuple[Unpack[Ts]]:
    """a function that takes chains of any length"""
    return calls.results()


def chain_given_to_generic_function() -> None:
    """a chain given to a function that takes any"""
    assert_type(chain_of_any_length(parallel(number)("1").parallel(text)(2)), Tuple[int, str])


def with_data(calls: FutureCollection[Unpack[Ts]]) -> FutureCollection[Unpack[Ts], bytes]:
    """a function that chains one more call"""
    return calls.parallel(data)()


def chain_gone_on_with_by_function() -> None:
    """a chain gone on with by a generic function"""
    assert_type(with_data(parallel(number)("1")).results(), Tuple[int, bytes])


def first_of(calls: FutureCollection[T, Unpack[tuple[Any, ...]]]) -> T:
    """a function that asks for the first result of any chain"""
    return calls.results()[0]


def create() -> None:
    """`FutureCollection.create`"""
    assert_type(FutureCollection.create(number)("1").results(), Tuple[int])


def results_with_timeout(calls: FutureCollection[int, str]) -> None:
    """`results(timeout=...)`"""
    assert_type(calls.results(timeout=1), Tuple[int, str])
    assert_type(calls.results(timeout=2.5), Tuple[int, str])
    assert_type(calls.results(timeout=None), Tuple[int, str])


def results_with_return_when(calls: FutureCollection[int, str]) -> None:
    """`results(return_when=...)`"""
    assert_type(calls.results(return_when=ReturnWhen.ALL_COMPLETED), Tuple[int, str])
    assert_type(calls.results(return_when=ReturnWhen.FIRST_EXCEPTION, timeout=1), Tuple[int, str])


def results_unpacked_and_indexed(calls: FutureCollection[int, str, bytes]) -> None:
    """results unpacked with `*`, and by index"""
    first, *others = calls.results()
    assert_type(first, int)
    assert_type(len(others), int)
    assert_type(calls.results()[1], str)
    assert_type(calls.results()[-1], bytes)


def results_in_conditions(calls: FutureCollection[int, str]) -> str:
    """results that decide the way a function ends"""
    first, second = calls.results()
    if first:
        return second
    return text(first)


def on_an_executor(executor: Executor) -> None:
    """`executor=` of every kind"""
    assert_type(parallel(number, executor=executor)("1"), FutureCollection[int])
    with ThreadPoolExecutor() as threads, ProcessPoolExecutor() as processes:
        assert_type(parallel(number, executor=threads)("1"), FutureCollection[int])
        assert_type(parallel(number, executor=processes)("1").parallel(text)(2), FutureCollection[int, str])
    assert_type(parallel(number, executor=None)("1"), FutureCollection[int])


def chained_on_an_executor(executor: Executor) -> None:
    """a chain that goes on from `executor=`"""
    calls = parallel(number, executor=executor)("1").parallel(text)(2)
    assert_type(calls, FutureCollection[int, str])
    assert_type(calls.parallel(data)(), FutureCollection[int, str, bytes])
