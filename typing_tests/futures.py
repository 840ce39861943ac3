"""``futures`` by position, each with the type of its call. Read by checkers only; see test_typing.py."""

from __future__ import annotations

from concurrent.futures import FIRST_COMPLETED, Executor, Future, as_completed, wait
from typing import Any, Iterable, List, Optional, Set, Tuple

from typing_extensions import TypeVarTuple, Unpack, assert_type

from parallel import CallFuture, FutureCollection, ReturnWhen, parallel, parallel_map

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


def find(number: int) -> str | None:
    """May find nothing."""
    return str(number) if number else None


def futures_of_one() -> None:
    """one"""
    assert_type(parallel(number)("1").futures, Tuple[CallFuture[int]])
    (first,) = parallel(number)("1").futures
    assert_type(first, CallFuture[int])
    assert_type(first.result(), int)


def futures_of_two() -> None:
    """two"""
    calls = parallel(number)("1").parallel(text)(2)
    assert_type(calls.futures, Tuple[CallFuture[int], CallFuture[str]])
    assert_type(calls.futures[0].result(), int)
    assert_type(calls.futures[-1].result(timeout=2.5), str)


def futures_of_three() -> None:
    """three, unpacked"""
    first, second, third = parallel(number)("1").parallel(find)(2).parallel(data)().futures
    assert_type(first.result(1), int)
    assert_type(second.result(), Optional[str])
    assert_type(third.result(), bytes)


def futures_of_four_to_nine(
    four: FutureCollection[int, str, bytes, int],
    five: FutureCollection[int, str, bytes, int, str],
    six: FutureCollection[int, str, bytes, int, str, bytes],
    seven: FutureCollection[int, str, bytes, int, str, bytes, int],
    eight: FutureCollection[int, str, bytes, int, str, bytes, int, str],
    nine: FutureCollection[int, str, bytes, int, str, bytes, int, str, bytes],
) -> None:
    """four to nine"""
    assert_type(four.futures, Tuple[CallFuture[int], CallFuture[str], CallFuture[bytes], CallFuture[int]])
    assert_type(five.futures[3].result(), int)
    assert_type(five.futures[4].result(), str)
    assert_type(six.futures[4].result(), str)
    assert_type(six.futures[5].result(), bytes)
    assert_type(seven.futures[5].result(), bytes)
    assert_type(seven.futures[6].result(), int)
    assert_type(eight.futures[6].result(), int)
    assert_type(eight.futures[7].result(), str)
    assert_type(nine.futures[0].result(), int)
    assert_type(nine.futures[8].result(), bytes)


def futures_of_ten() -> None:
    """ten"""
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
        .parallel(find)(10)
    )
    assert_type(
        calls.futures,
        Tuple[
            CallFuture[int],
            CallFuture[str],
            CallFuture[bytes],
            CallFuture[int],
            CallFuture[str],
            CallFuture[bytes],
            CallFuture[int],
            CallFuture[str],
            CallFuture[bytes],
            CallFuture[Optional[str]],
        ],
    )
    assert_type(calls.futures[9].result(), Optional[str])


def futures_of_eleven() -> None:
    """eleven: each gives `Any`"""
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
    )
    assert_type(calls.futures, Tuple[CallFuture[Any], ...])
    calls.futures[10].result().whatever()


def futures_of_map(urls: Iterable[str]) -> None:
    """of `parallel_map`"""
    assert_type(parallel_map(number, urls).futures, Tuple[CallFuture[int], ...])
    for future in parallel_map(number, urls).futures:
        assert_type(future.result(), int)


def futures_of_map_as_parameter(calls: FutureCollection[Unpack[tuple[bytes, ...]]]) -> list[bytes]:
    """of a chain of any number as a parameter"""
    return [future.result() for future in calls.futures]


def futures_of_map_gone_on_with(urls: list[str]) -> None:
    """of a chain that goes on from `parallel_map`"""
    futures: tuple[CallFuture[Any], ...] = parallel_map(number, urls).parallel(text)(1).futures
    print(futures)


def futures_of_any_length(calls: FutureCollection[Unpack[Ts]]) -> tuple[CallFuture[Any], ...]:
    """in a function that takes chains of any length: each gives `Any`"""
    return calls.futures


def futures_of_other_executors(executor: Executor) -> None:
    """on another executor"""
    calls = parallel(number, executor=executor)("1").parallel(text)(2)
    assert_type(calls.futures, Tuple[CallFuture[int], CallFuture[str]])
    assert_type(parallel_map(text, [1], executor=executor).futures, Tuple[CallFuture[str], ...])


def future_as_parameter(future: CallFuture[int], unknown: Future[Any]) -> None:
    """`CallFuture` as a parameter, for `Future[Any]`, and for one of a wider type"""
    standard: Future[Any] = future
    wider: CallFuture[object] = future
    future_as_parameter(parallel(number)("1").futures[0], parallel(text)(1).futures[0])
    print(standard, wider, unknown)


def future_methods(future: CallFuture[int]) -> None:
    """the other methods of a future"""
    assert_type(future.done(), bool)
    assert_type(future.exception(), Optional[BaseException])
    future.add_done_callback(lambda done: print(done.result()))


def wait_for_futures() -> None:
    """`wait` for one, two, three"""
    assert_type(wait(parallel(number)("1").futures).done, Set[Future[Any]])
    done, not_done = wait(parallel(number)("1").parallel(text)(2).futures, timeout=1)
    two: set[Future[Any]] = {*done, *not_done}
    three = wait(parallel(number)("1").parallel(text)(2).parallel(data)().futures, return_when=FIRST_COMPLETED)
    print(two, [future.result() for future in three.done])


def wait_for_many(calls: FutureCollection[Unpack[tuple[Any, ...]]], urls: list[str], executor: Executor) -> None:
    """`wait` for eleven, for `parallel_map`, on another executor"""
    wait(calls.futures, return_when=ReturnWhen.FIRST_EXCEPTION)
    assert_type(wait(parallel_map(number, urls).futures).not_done, Set[Future[Any]])
    wait(parallel(number, executor=executor)("1").parallel(text)(2).futures)


def completed_futures() -> None:
    """`as_completed` over one, two, three"""
    assert_type([future.result() for future in as_completed(parallel(number)("1").futures)], List[int])
    for future in as_completed(parallel(number)("1").parallel(text)(2).futures, timeout=1):
        print(future.result())
    for future in as_completed(parallel(number)("1").parallel(text)(2).parallel(data)().futures):
        print(future.result())


def completed_futures_of_many(calls: FutureCollection[Unpack[tuple[Any, ...]]], urls: list[str]) -> None:
    """`as_completed` over eleven, over `parallel_map`"""
    for future in as_completed(calls.futures):
        print(future.result())
    assert_type(next(as_completed(parallel_map(number, urls).futures)).result(), int)


def futures_by_name() -> None:
    """futures as keys of a dictionary"""
    first, second = parallel(number)("1").parallel(number)("2").futures
    names: dict[Future[Any], str] = {first: "first", second: "second"}
    late = [names[future] for future in wait([first, second], timeout=2).not_done]
    assert_type(late, List[str])
