"""Chains of any number of calls or context managers. Read by checkers only; see test_typing.py."""

from __future__ import annotations

from concurrent.futures import Executor
from contextlib import contextmanager
from typing import Generator, Iterable, List, Tuple

from typing_extensions import Unpack, assert_type

from parallel import FutureCollection, FutureContextCollection, parallel, parallel_contexts, parallel_map


def fetch(url: str, retries: int = 3) -> bytes:
    """Has a default."""
    return url.encode() * retries


def area(width: int, height: float) -> float:
    """Takes two arguments."""
    return width * height


def seven(a: int, b: int, c: int, d: int, e: int, f: int, g: str) -> str:
    """Takes seven arguments."""
    return f"{a}{b}{c}{d}{e}{f}{g}"


@contextmanager
def connection(host: str) -> Generator[int, None, None]:
    """Yields a number."""
    yield len(host)


def one_iterable(urls: Iterable[str]) -> None:
    """`parallel_map` over one iterable"""
    assert_type(parallel_map(fetch, urls), FutureCollection[Unpack[Tuple[bytes, ...]]])
    assert_type(parallel_map(fetch, urls).results(), Tuple[bytes, ...])


def one_iterable_of_function_of_one(urls: Iterable[str]) -> None:
    """`parallel_map` of a built-in function"""
    assert_type(parallel_map(len, urls).results(), Tuple[int, ...])


def lambda_function(urls: list[str]) -> None:
    """`parallel_map` of a lambda"""
    assert_type(parallel_map(lambda url: url.encode(), urls).results(), Tuple[bytes, ...])


def two_iterables() -> None:
    """`parallel_map` over two iterables"""
    assert_type(parallel_map(area, [1, 2], [2.5, 3.5]).results(), Tuple[float, ...])


def seven_iterables() -> None:
    """`parallel_map` over seven iterables"""
    assert_type(parallel_map(seven, [1], [2], [3], [4], [5], [6], ["7"]).results(), Tuple[str, ...])


def map_on_an_executor(executor: Executor) -> None:
    """`parallel_map` with `executor=`"""
    assert_type(parallel_map(fetch, ["x"], executor=executor).results(timeout=2.5), Tuple[bytes, ...])


def map_results_in_loop() -> None:
    """results of `parallel_map` in a loop"""
    for page in parallel_map(fetch, ["x", "y"]).results():
        assert_type(page, bytes)


def map_as_parameter(calls: FutureCollection[Unpack[tuple[bytes, ...]]]) -> tuple[bytes, ...]:
    """a chain of any number as a parameter"""
    return calls.results()


def map_given_to_function() -> None:
    """a chain of any number given to a function"""
    map_as_parameter(parallel_map(fetch, ["x"]))


def contexts(hosts: Iterable[str]) -> None:
    """`parallel_contexts`"""
    chain = parallel_contexts([connection(host) for host in hosts])
    assert_type(chain, FutureContextCollection[Unpack[Tuple[int, ...]]])
    with chain as entered:
        assert_type(entered, Tuple[int, ...])


def contexts_of_generator(hosts: Iterable[str]) -> None:
    """`parallel_contexts` of a generator, with options"""
    with parallel_contexts((connection(host) for host in hosts), timeout=2.5, parallel_exit=True) as (first, *others):
        assert_type(first, int)
        assert_type(others, List[int])


def contexts_return_in_block(hosts: Iterable[str]) -> int:
    """a function that ends in a `with` block of any number"""
    with parallel_contexts([connection(host) for host in hosts]) as entered:
        return len(entered)


def any_number_in_fixed_chain(urls: list[str]) -> None:
    """a chain of any number as a call of another chain"""
    assert_type(parallel(parallel_map(fetch, urls).results)().results(), Tuple[Tuple[bytes, ...]])


def map_gone_on_with() -> None:
    """a chain that goes on from `parallel_map`"""
    *pages, size = parallel_map(fetch, ["x", "y"]).parallel(area)(1, 2.5).results()
    assert_type(pages, List[bytes])
    assert_type(size, float)


def contexts_gone_on_with(hosts: Iterable[str]) -> None:
    """a chain that goes on from `parallel_contexts`"""
    with parallel_contexts([connection(host) for host in hosts]).parallel(open("x")) as (*numbers, file):
        assert_type(numbers, List[int])
        assert_type(file.read(), str)
