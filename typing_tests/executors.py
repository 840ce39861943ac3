"""``ParallelExecutor`` by its class and as a standard executor. Read by checkers only; see test_typing.py."""

from __future__ import annotations

from concurrent.futures import Executor, Future, as_completed, wait
from typing import Callable, Iterator, List, Set, Tuple

from typing_extensions import assert_type

from parallel import ParallelExecutor, ReturnWhen, parallel


def load(number: int, /, name: str = "", *, func: bool = False) -> bytes:
    """Has a keyword-only parameter that is called like one of the library's."""
    return f"{number}{name}{func}".encode()


def execute_one() -> None:
    """`execute_one`"""
    assert_type(ParallelExecutor.execute_one(load, 1), Future[bytes])
    assert_type(ParallelExecutor.execute_one(load, 1, name="x", func=True), Future[bytes])
    assert_type(ParallelExecutor.execute_one(lambda: 1).result(), int)


def execute_one_in_loop() -> None:
    """`execute_one` in a loop"""
    futures: list[Future[int]] = []
    for i in range(10):
        futures.append(ParallelExecutor.execute_one(lambda: i))  # noqa: B023, PERF401  # As users write it.
    done, _ = wait(futures)
    assert_type(done, Set[Future[int]])


def execute(functions: list[Callable[[], str]]) -> None:
    """`execute`"""
    assert_type(ParallelExecutor.execute(lambda: 1, lambda: 2), List[Future[int]])
    assert_type(ParallelExecutor.execute(*functions), List[Future[str]])


def calls_of_instance() -> None:
    """`execute_one` and `execute` of an instance with a limit"""
    executor = ParallelExecutor(max_workers=2)
    assert_type(executor.execute_one(load, 1, name="x"), Future[bytes])
    assert_type(executor.execute(lambda: 1, lambda: 2), List[Future[int]])
    assert_type(ParallelExecutor(2).submit(load, 1), Future[bytes])
    assert_type(ParallelExecutor(None).execute_one(lambda: 1).result(), int)


def instance_is_an_executor() -> None:
    """an instance is an `Executor`"""
    executor: Executor = ParallelExecutor()
    assert_type(executor.submit(load, 1, func=True), Future[bytes])


def submit_and_map() -> None:
    """`submit` and `map`"""
    with ParallelExecutor() as executor:
        assert_type(executor, ParallelExecutor)
        assert_type(executor.submit(load, 1, name="x"), Future[bytes])
        assert_type(executor.map(load, [1, 2]), Iterator[bytes])
        assert_type(list(executor.map(load, [1, 2], ["x", "y"], timeout=2.5)), List[bytes])


def shutdown() -> None:
    """`shutdown`"""
    ParallelExecutor().shutdown()
    ParallelExecutor().shutdown(wait=False, cancel_futures=True)


def chain_on_instance() -> None:
    """a chain on an instance"""
    with ParallelExecutor() as executor:
        assert_type(parallel(load, executor=executor)(1).results(), Tuple[bytes])


def standard_functions() -> None:
    """`wait` and `as_completed`"""
    futures = ParallelExecutor.execute(lambda: 1, lambda: 2)
    assert_type([future.result() for future in as_completed(futures)], List[int])
    assert_type(wait(futures, return_when=ReturnWhen.FIRST_COMPLETED).done, Set[Future[int]])


def return_when_values() -> None:
    """`ReturnWhen`"""
    assert_type(list(ReturnWhen), List[ReturnWhen])
    text: str = ReturnWhen.FIRST_COMPLETED
    assert_type(ReturnWhen("ALL_COMPLETED"), ReturnWhen)
    print(text)
