"""Mistakes that checkers find, on the line that makes them. Read by checkers only; see test_typing.py for the marks."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from typing import Any, Generator, Tuple

from typing_extensions import assert_type

from parallel import (
    CallFuture,
    FutureCollection,
    FutureContextCollection,
    ParallelExecutor,
    ReturnWhen,
    parallel,
    parallel_contexts,
    parallel_map,
)


def load(number: int, name: str = "", *, flag: bool = False) -> str:
    """A function with parameters of every kind."""
    return f"{number}{name}{flag}"


def find(number: int) -> str | None:
    """May find nothing."""
    return str(number) if number else None


class Page:
    """A class with a method."""

    def __init__(self, url: str) -> None:
        """A page has a URL."""
        self.url = url

    def fetch(self, retries: int) -> bytes:
        """A method."""
        return self.url.encode() * retries


class Client:
    """Is called, or entered."""

    def __call__(self, text: str) -> bytes:
        """Calls."""
        return text.encode()

    def __enter__(self) -> int:
        """Enters."""
        return 1

    def __exit__(self, *args: object) -> None:
        """Exits."""


@contextmanager
def connection(host: str) -> Generator[int, None, None]:
    """A function that makes context managers."""
    yield len(host)


class Session:
    """An asynchronous context manager."""

    async def __aenter__(self) -> int:
        """Enters."""
        return 1

    async def __aexit__(self, *args: object) -> None:
        """Leaves."""


def wrong_argument() -> None:
    """an argument of the wrong type"""
    parallel(load)("x")  # error: argument


def wrong_argument_in_chain() -> None:
    """the same, further along the chain"""
    parallel(load)(1).parallel(load)("x")  # error: argument
    parallel(load)(1).parallel(load)(1).parallel(load)(1, 2)  # error: argument


def wrong_keyword_argument() -> None:
    """a keyword argument of the wrong type"""
    parallel(load)(1, flag="x")  # error: argument


def missing_argument() -> None:
    """a missing argument"""
    parallel(load)()  # error: call


def missing_argument_in_chain() -> None:
    """the same, further along the chain"""
    parallel(load)(1).parallel(load)(name="x")  # error: call


def too_many_arguments() -> None:
    """an argument too many"""
    parallel(load)(1, "x", True)  # error: excess


def unknown_keyword() -> None:
    """a keyword that the function does not have"""
    parallel(load)(1, nam="x")  # error: keyword


def wrong_argument_of_method() -> None:
    """a wrong argument of a method"""
    parallel(Page("x").fetch)("1")  # error: argument


def wrong_argument_of_class() -> None:
    """a wrong argument of a class"""
    parallel(Page)(1)  # error: argument


def wrong_argument_of_client() -> None:
    """a wrong argument of what is both callable and a context manager"""
    parallel(Client())(1)  # error: argument


def missing_argument_of_lambda() -> None:
    """an argument for a lambda that takes none"""
    parallel(lambda: 1)(2)  # error: excess


def unpacked_into_too_few() -> None:
    """results unpacked into too few names"""
    (_first,) = parallel(load)(1).parallel(find)(2).results()  # error: unpack


def unpacked_into_too_many() -> None:
    """results unpacked into too many names"""
    _first, _second = parallel(load)(1).results()  # error: unpack


def single_result_not_unpacked() -> None:
    """the tuple of one result used as the result"""
    result = parallel(load)(1).results()
    result.upper()  # error: attribute


def index_out_of_range() -> None:
    """an index beyond the results"""
    parallel(load)(1).results()[1]  # error: index


def optional_not_checked() -> None:
    """an `Optional` result used unchecked"""
    (found,) = parallel(find)(1).results()
    found.upper()  # error: optional


def forgotten_call() -> None:
    """`.results()` of a call that was prepared and not started"""
    parallel(load).results()  # error: attribute


def forgotten_call_in_chain() -> None:
    """the same, further along the chain"""
    parallel(load)(1).parallel(load).results()  # error: attribute


def called_too_early() -> None:
    """the result of a function where the function is wanted"""
    parallel(load(1))  # error: overload


def called_too_early_in_chain() -> None:
    """the same, further along the chain"""
    parallel(load)(1).parallel(load(1))  # error: argument


def chain_called() -> None:
    """a chain called like a function"""
    parallel(load)(1)(2)  # error: not-callable


def wrong_chain_parameter(calls: FutureCollection[int]) -> None:
    """a chain of other results than a function takes"""
    wrong_chain_parameter(parallel(load)(1))  # error: argument
    wrong_chain_parameter(calls.parallel(load)(1))  # error: argument
    wrong_chain_parameter(calls)


def timeout_on_function() -> None:
    """`timeout=` with a function"""
    parallel(load, timeout=1)(1)  # error: overload


def parallel_exit_on_function() -> None:
    """`parallel_exit=` with a function"""
    parallel(load, parallel_exit=True)(1)  # error: overload


def executor_on_context_manager() -> None:
    """`executor=` with a context manager"""
    parallel(nullcontext(1), executor=ThreadPoolExecutor())  # error: overload


def executor_class() -> None:
    """the class of an executor instead of an executor"""
    parallel(load, executor=ThreadPoolExecutor)  # error: overload


def timeout_by_position() -> None:
    """`timeout` by position"""
    parallel(nullcontext(1), 2.5)  # error: overload
    parallel(load)(1).results(2.5)  # error: excess


def timeout_of_wrong_type() -> None:
    """a `timeout` that is not a number"""
    parallel(load)(1).results(timeout="1")  # error: argument
    parallel(nullcontext(1), timeout="1")  # error: overload


def neither_function_nor_manager() -> None:
    """neither a function nor a context manager"""
    parallel(1)  # error: overload
    parallel(None)  # error: overload


def nothing() -> None:
    """nothing to call or enter"""
    parallel()  # error: overload


def first_completed() -> None:
    """`FIRST_COMPLETED` for `results`"""
    parallel(load)(1).results(return_when=ReturnWhen.FIRST_COMPLETED)  # error: argument


def return_when_as_text() -> None:
    """`return_when` as text"""
    parallel(load)(1).results(return_when="ALL_COMPLETED")  # error: argument


def futures_called() -> None:
    """`futures` called"""
    parallel(load)(1).futures()  # error: not-callable


def futures_assigned() -> None:
    """`futures` assigned"""
    parallel(load)(1).futures = ()  # error: read-only


def futures_out_of_range() -> None:
    """an index beyond the futures"""
    parallel(load)(1).futures[1]  # error: index


def futures_unpacked_into_too_many() -> None:
    """futures unpacked into too many names"""
    _first, _second = parallel(load)(1).futures  # error: unpack


def result_of_future_of_other_type() -> None:
    """the result of a future taken for something else"""
    assert_type(parallel(load)(1).futures[0].result(), int)  # error: assertion
    number: int = parallel(find)(1).parallel(load)(1).futures[1].result()  # error: assignment
    print(number)


def optional_result_of_future() -> None:
    """an `Optional` result of a future used unchecked"""
    parallel(find)(1).futures[0].result().upper()  # error: optional


def wrong_future_parameter(future: CallFuture[int]) -> None:
    """a future of another type than a function takes"""
    wrong_future_parameter(parallel(load)(1).futures[0])  # error: argument
    wrong_future_parameter(future)


def misspelt() -> None:
    """misspelt names"""
    parallel(load)(1).result()  # error: attribute
    parallel(nullcontext(1)).enter()  # error: attribute


def function_on_context_chain() -> None:
    """a function chained onto context managers"""
    parallel(nullcontext(1)).parallel(load)  # error: argument


def context_manager_on_call_chain() -> None:
    """a context manager chained onto calls"""
    parallel(load)(1).parallel(nullcontext(1))  # error: argument


def options_further_along() -> None:
    """options of the first `parallel` given further along the chain"""
    parallel(nullcontext(1)).parallel(nullcontext(2), timeout=1)  # error: keyword
    parallel(load)(1).parallel(load, timeout=1)  # error: keyword
    parallel(load)(1).parallel(load, executor=ThreadPoolExecutor())  # error: keyword
    FutureCollection.create(load, executor=ThreadPoolExecutor())  # error: keyword


def function_of_managers_not_called() -> None:
    """a function that makes context managers, not called"""
    parallel(nullcontext(1)).parallel(connection)  # error: argument


def entered_without_call() -> None:
    """a prepared call in `with`"""
    with parallel(load):  # error: not-entered
        pass


def calls_entered() -> None:
    """a chain of calls in `with`"""
    with parallel(load)(1):  # error: not-entered
        pass


def results_of_contexts() -> None:
    """`.results()` of context managers"""
    parallel(nullcontext(1)).results()  # error: attribute


def targets_too_few() -> None:
    """too few `with` targets"""
    with parallel(nullcontext(1)).parallel(nullcontext(2)) as (_first,):  # error: unpack
        pass


def targets_too_many() -> None:
    """too many `with` targets"""
    with parallel(nullcontext(1)) as (_first, _second):  # error: unpack
        pass


def target_not_unpacked() -> None:
    """the tuple of one target used as the target"""
    with parallel(connection("")) as number:
        number.bit_length()  # error: attribute


def asynchronous_manager() -> None:
    """an asynchronous context manager"""
    parallel(Session())  # error: overload
    parallel(nullcontext(1)).parallel(Session())  # error: argument


def wrong_context_chain_parameter(chain: FutureContextCollection[int]) -> None:
    """a chain that enters to something else than a function takes"""
    wrong_context_chain_parameter(parallel(nullcontext("")))  # error: argument
    wrong_context_chain_parameter(chain)


def execute_one_wrong_argument() -> None:
    """`execute_one`: a wrong argument, a missing one"""
    ParallelExecutor.execute_one(load, "x")  # error: argument
    ParallelExecutor.execute_one(load)  # error: call


def execute_function_with_arguments() -> None:
    """`execute` with a function that takes arguments"""
    ParallelExecutor.execute(load)  # error: argument


def execute_nothing() -> None:
    """`execute` without a function"""
    ParallelExecutor.execute()  # error: call


def submit_wrong_argument() -> None:
    """`submit` with a wrong argument"""
    ParallelExecutor().submit(load, "x")  # error: argument


def executor_with_arguments() -> None:
    """`ParallelExecutor` with a limit that is no number, and with an unknown option"""
    ParallelExecutor(max_workers="4")  # error: argument
    ParallelExecutor(threads=4)  # error: keyword


def map_wrong_items() -> None:
    """`parallel_map` over items of the wrong type"""
    parallel_map(load, ["x"])  # error: overload


def map_wrong_number_of_iterables() -> None:
    """`parallel_map` over more iterables than the function takes"""
    parallel_map(find, [1], [2])  # error: overload


def map_without_iterables() -> None:
    """`parallel_map` without iterables"""
    parallel_map(load)  # error: overload


def contexts_one_by_one() -> None:
    """`parallel_contexts` of one context manager"""
    parallel_contexts(nullcontext(1))  # error: argument


def contexts_of_functions() -> None:
    """`parallel_contexts` of functions"""
    parallel_contexts([connection])  # error: argument


def result_types() -> None:
    """results taken for something else"""
    assert_type(parallel(load)(1).results(), Tuple[int])  # error: assertion
    assert_type(parallel(load)(1).results(), Tuple[Any])  # error: assertion
    assert_type(parallel(load)(1).results(), Tuple[Any, ...])  # error: assertion
    number: int = parallel(load)(1).results()[0]  # error: assignment
    print(number)


async def awaited_prepared_call() -> None:
    """`await` a prepared call"""
    await parallel(load)  # error: not-awaitable


async def awaited_contexts() -> None:
    """`await` context managers"""
    await parallel(nullcontext(1))  # error: not-awaitable


async def calls_entered_asynchronously() -> None:
    """`async with` calls"""
    async with parallel(load)(1):  # error: not-entered
        pass


async def awaited_types() -> None:
    """awaited results taken for something else"""
    assert_type(await parallel(load)(1), Tuple[int])  # error: assertion
