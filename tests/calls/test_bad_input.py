"""Bad input: an error at the line that made the mistake, which says what came, what was expected and what to do."""

from __future__ import annotations

import functools
import gc
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from decimal import Decimal
from fractions import Fraction
from typing import Any, AsyncIterator, Callable, Iterator

import pytest

from helpers import LIMIT, Manager, busy_threads
from parallel import (
    FutureCollection,
    FutureContextCollection,
    ParallelExecutor,
    ReturnWhen,
    parallel,
    parallel_contexts,
    parallel_map,
)

Entry = Callable[[Any], object]


@contextmanager
def manager_function() -> Iterator[int]:
    yield 1


class AsyncManager:
    async def __aenter__(self) -> None:
        pass

    async def __aexit__(self, *_: object) -> None:
        pass


@asynccontextmanager
async def async_manager_function() -> AsyncIterator[int]:
    yield 1


async def coroutine_function() -> None:
    pass


class AsyncCallable:
    async def __call__(self) -> None:
        pass

    async def method(self) -> None:
        pass


class Awaitable:
    def __await__(self) -> Iterator[None]:
        yield


class OnlyEnter:
    def __enter__(self) -> None:
        pass


def a_function() -> None:
    pass


def facts(error: pytest.ExceptionInfo[BaseException], *expected: str) -> None:
    """Fails unless the message says everything that is expected, in whatever words around it."""
    message = str(error.value)
    assert not [fact for fact in expected if fact not in message], message
    # It can be read: a line of its own, without addresses.
    assert re.search(r"0x[0-9a-f]{6}|\n", message) is None
    assert error.value.__cause__ is None
    assert error.value.__context__ is None or error.value.__suppress_context__


# Where a function is expected


def chain_of_calls() -> FutureCollection[int]:
    return parallel(int)()


STARTS: dict[str, Entry] = {
    "parallel()": parallel,
    "FutureCollection.create()": FutureCollection.create,
    "parallel_map()": lambda func: parallel_map(func, [1, 2]),
    "ParallelExecutor.execute_one()": ParallelExecutor.execute_one,
    "ParallelExecutor.execute()": lambda func: ParallelExecutor.execute(a_function, func),
    "ParallelExecutor.submit()": lambda func: ParallelExecutor().submit(func),
    "map of an instance": lambda func: ParallelExecutor().map(func, [1, 2]),
    "execute_one of an instance": lambda func: ParallelExecutor().execute_one(func),
}
TAKES_FUNCTIONS: dict[str, Entry] = {
    **STARTS,
    "FutureCollection.parallel()": lambda func: chain_of_calls().parallel(func),
}

NO_FUNCTIONS: dict[str, tuple[Any, str]] = {
    "nothing": (None, "None"),
    "a number": (7, "7 (an int)"),
    "a string": ("load", "'load' (a str)"),
    "an object": (object(), "object"),
    "what a call returned": ([1, 2], "list"),
    "an object with __enter__ only": (OnlyEnter(), "context manager protocol: it has __enter__, but no __exit__"),
    "an awaitable": (Awaitable(), "Awaitable"),
}
COROUTINE_FUNCTIONS: dict[str, tuple[Any, str]] = {
    "a coroutine function": (coroutine_function, "coroutine_function"),
    "a partial of one": (functools.partial(functools.partial(coroutine_function)), "partial"),
    "an asynchronous method": (AsyncCallable().method, "AsyncCallable.method"),
    "an object with an asynchronous __call__": (AsyncCallable(), "AsyncCallable"),
}


@pytest.mark.parametrize("entry", TAKES_FUNCTIONS.values(), ids=TAKES_FUNCTIONS.keys())
@pytest.mark.parametrize(("target", "came"), NO_FUNCTIONS.values(), ids=NO_FUNCTIONS.keys())
def test_what_cannot_be_called_is_refused(entry: Entry, target: Any, came: str) -> None:
    with pytest.raises(TypeError) as error:
        entry(target)
    facts(error, "function", came)


@pytest.mark.parametrize("entry", TAKES_FUNCTIONS.values(), ids=TAKES_FUNCTIONS.keys())
@pytest.mark.parametrize(("target", "came"), COROUTINE_FUNCTIONS.values(), ids=COROUTINE_FUNCTIONS.keys())
def test_a_coroutine_function_is_refused_with_the_way_to_call_it(entry: Entry, target: Any, came: str) -> None:
    with pytest.raises(TypeError) as error:
        entry(target)
    facts(error, "ordinary function", "coroutine function", came, "asyncio.run()")


@pytest.mark.parametrize("name", [name for name in TAKES_FUNCTIONS if name.endswith("()")])
def test_the_message_names_the_function_that_was_called(name: str) -> None:
    with pytest.raises(TypeError) as error:
        TAKES_FUNCTIONS[name](7)
    facts(error, name)


def test_a_coroutine_is_refused() -> None:
    coroutine = coroutine_function()
    try:
        for entry in TAKES_FUNCTIONS.values():
            with pytest.raises(TypeError) as error:
                entry(coroutine)
            facts(error, "function", "coroutine_function (a coroutine)", "await it", "parallel(asyncio.run)(coroutine)")
    finally:
        coroutine.close()


@pytest.mark.parametrize("name", TAKES_FUNCTIONS)
def test_functions_in_a_list_are_refused_with_a_word_about_that(name: str) -> None:
    with pytest.raises(TypeError) as error:
        TAKES_FUNCTIONS[name]([a_function, a_function])
    facts(error, "function", "list", "pass the function itself, neither what calling it returned nor a list of")


ENTERS_WHAT_IT_TAKES = {"parallel()"}


@pytest.mark.parametrize("name", sorted(set(TAKES_FUNCTIONS) - ENTERS_WHAT_IT_TAKES))
def test_a_context_manager_for_a_function_is_refused_with_the_way_to_enter_it(name: str) -> None:
    with pytest.raises(TypeError) as error:
        TAKES_FUNCTIONS[name](Manager())
    facts(error, "Manager", "context manager", "parallel(context_manager)")


@pytest.mark.parametrize("name", TAKES_FUNCTIONS)
def test_an_asynchronous_manager_for_a_function_is_refused_with_the_way_to_enter_it(
    name: str,
) -> None:
    with pytest.raises(TypeError) as error:
        TAKES_FUNCTIONS[name](AsyncManager())
    facts(error, "AsyncManager", "asynchronous context manager", "async with")


# Where a context manager is expected


def chain_of_contexts() -> FutureContextCollection[str]:
    return parallel(Manager())


TAKES_MANAGERS: dict[str, Entry] = {
    "FutureContextCollection.create()": FutureContextCollection.create,
    "FutureContextCollection.parallel()": lambda manager: chain_of_contexts().parallel(manager),
    "parallel_contexts()": lambda manager: parallel_contexts([Manager(), manager]),
}


@pytest.mark.parametrize("name", TAKES_MANAGERS)
@pytest.mark.parametrize(
    ("target", "came", "hint"),
    [
        (None, "None", ""),
        (7, "7 (an int)", ""),
        (object(), "object", ""),
        (OnlyEnter(), "OnlyEnter", "context manager protocol: it has __enter__, but no __exit__"),
        (a_function, "a_function", "parallel(func)(...)"),
        (manager_function, "manager_function", "pass what calling it returns"),
        (Manager, "Manager", "did you mean Manager()?"),
        (AsyncManager(), "AsyncManager", "async with"),
        (coroutine_function, "coroutine_function", "a coroutine function: run it in a chain of its own"),
        (AsyncCallable(), "AsyncCallable", "a coroutine function"),
    ],
)
def test_what_with_would_not_take_is_refused(name: str, target: Any, came: str, hint: str) -> None:
    with pytest.raises(TypeError) as error:
        TAKES_MANAGERS[name](target)
    facts(error, name, "context manager", came, hint)


# Where either is expected


@pytest.mark.parametrize("target", [AsyncManager(), async_manager_function()])
def test_an_asynchronous_context_manager_is_refused_with_the_way_to_enter_it(target: Any) -> None:
    with pytest.raises(TypeError) as error:
        parallel(target)
    facts(error, "parallel()", "asynchronous context manager", "async with")


def test_parallel_says_that_it_takes_both() -> None:
    with pytest.raises(TypeError) as error:
        parallel(7)  # type: ignore[call-overload]  # The mistake.
    facts(error, "function or a context manager", "7 (an int)")


# Options of the other kind


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"timeout": 3}, ["timeout=", "context managers", "a_function", "results(timeout=...)"]),
        ({"timeout": 0}, ["timeout=", "context managers", "a_function"]),
        ({"parallel_exit": True}, ["parallel_exit=", "context managers", "a_function"]),
        ({"timeout": 3, "parallel_exit": True}, ["timeout=", "context managers"]),
    ],
)
def test_an_option_of_context_managers_with_a_function_is_refused(options: Any, expected: list[str]) -> None:
    with pytest.raises(TypeError) as error:
        parallel(a_function, **options)
    facts(error, *expected)


def test_an_executor_for_a_context_manager_is_refused() -> None:
    with ThreadPoolExecutor() as executor, pytest.raises(TypeError) as error:
        parallel(Manager(), executor=executor)  # type: ignore[call-overload]  # The mistake.
    facts(error, "executor=", "calls", "context manager")


@pytest.mark.parametrize(
    ("entry", "options"),
    [
        (lambda **options: chain_of_calls().parallel(a_function, **options), ["timeout", "parallel_exit"]),
        (lambda **options: FutureCollection.create(a_function, **options), ["timeout", "parallel_exit"]),
        (lambda **options: parallel_map(str, [1], **options), ["timeout", "parallel_exit"]),
        (
            lambda **options: chain_of_contexts().parallel(Manager(), **options),
            ["timeout", "parallel_exit", "executor"],
        ),
        (lambda **options: FutureContextCollection.create(Manager(), **options), ["executor"]),
        (lambda **options: parallel_contexts([Manager()], **options), ["executor"]),
    ],
)
def test_an_option_that_is_not_there_is_refused_by_its_name(entry: Callable[..., object], options: list[str]) -> None:
    for option in options:
        with pytest.raises(TypeError) as error:
            entry(**{option: None})
        facts(error, f"{option}=")


class OnlySubmits:
    """Has the one method that would be used, but is no executor."""

    def submit(self, func: Callable[..., object], /, *args: Any, **kwargs: Any) -> None:
        raise AssertionError("it is refused before")


TAKES_EXECUTORS: dict[str, Entry] = {
    "parallel()": lambda executor: parallel(a_function, executor=executor),
    "parallel_map()": lambda executor: parallel_map(str, [1], executor=executor),
}


@pytest.mark.parametrize("entry", TAKES_EXECUTORS.values(), ids=TAKES_EXECUTORS.keys())
@pytest.mark.parametrize(
    ("executor", "came", "hint"),
    [
        (7, "7 (an int)", ""),
        ("threads", "'threads' (a str)", ""),
        (object(), "object", ""),
        (OnlySubmits(), "OnlySubmits", ""),
        (a_function, "a_function", ""),
        (ThreadPoolExecutor, "ThreadPoolExecutor", "did you mean ThreadPoolExecutor()?"),
    ],
)
def test_what_is_no_executor_is_refused(entry: Entry, executor: Any, came: str, hint: str) -> None:
    with pytest.raises(TypeError) as error:
        entry(executor)
    facts(error, "executor", "concurrent.futures.Executor", came, hint)


# timeout, parallel_exit and return_when


TAKES_TIMEOUTS: dict[str, Entry] = {
    "results()": lambda timeout: chain_of_calls().results(timeout=timeout),
    "parallel()": lambda timeout: parallel(Manager(), timeout=timeout),
    "FutureContextCollection.create()": lambda timeout: FutureContextCollection.create(Manager(), timeout=timeout),
    "parallel_contexts()": lambda timeout: parallel_contexts([], timeout=timeout),
}


@pytest.mark.parametrize("entry", TAKES_TIMEOUTS.values(), ids=TAKES_TIMEOUTS.keys())
@pytest.mark.parametrize(
    ("timeout", "kind", "came"),
    [
        ("3", TypeError, "'3' (a str)"),
        (b"3", TypeError, "b'3' (a bytes)"),
        (True, TypeError, "True (a bool)"),
        (False, TypeError, "False (a bool)"),
        ([3], TypeError, "list"),
        (1j, TypeError, "complex"),
        (object(), TypeError, "object"),
        (float, TypeError, "float"),
        (float("nan"), ValueError, "NaN"),
        (Decimal("nan"), ValueError, "NaN"),
    ],
)
def test_what_is_no_time_is_refused(entry: Entry, timeout: Any, kind: type[Exception], came: str) -> None:
    with pytest.raises(kind) as error:
        entry(timeout)
    facts(error, "timeout", "number of seconds or None", came)


@pytest.mark.parametrize("entry", TAKES_TIMEOUTS.values(), ids=TAKES_TIMEOUTS.keys())
@pytest.mark.parametrize(
    "timeout", [None, 30, 30.0, Fraction(61, 2), Decimal("30.5"), float("inf"), 10**400, 10**12, threading.TIMEOUT_MAX]
)
def test_every_number_is_a_time(entry: Entry, timeout: Any) -> None:
    entry(timeout)


@pytest.mark.parametrize("timeout", [-1, float("-inf"), 0, -(10**400)])
def test_a_time_below_zero_has_passed(timeout: Any) -> None:
    go = threading.Event()
    calls = parallel(go.wait)(LIMIT)
    try:
        with pytest.raises(TimeoutError):
            calls.results(timeout=timeout)
    finally:
        go.set()
    assert calls.results() == (True,)


TAKES_PARALLEL_EXIT: dict[str, Entry] = {
    "parallel()": lambda parallel_exit: parallel(Manager(), parallel_exit=parallel_exit),
    "FutureContextCollection.create()": lambda parallel_exit: FutureContextCollection.create(
        Manager(), parallel_exit=parallel_exit
    ),
    "parallel_contexts()": lambda parallel_exit: parallel_contexts([], parallel_exit=parallel_exit),
}


@pytest.mark.parametrize("entry", TAKES_PARALLEL_EXIT.values(), ids=TAKES_PARALLEL_EXIT.keys())
@pytest.mark.parametrize(
    ("parallel_exit", "came"), [(1, "1 (an int)"), ("yes", "'yes' (a str)"), (None, "None"), (object(), "object")]
)
def test_what_is_neither_true_nor_false_is_refused(entry: Entry, parallel_exit: Any, came: str) -> None:
    with pytest.raises(TypeError) as error:
        entry(parallel_exit)
    facts(error, "parallel_exit", "True or False", came)


@pytest.mark.parametrize(
    ("return_when", "came"),
    [
        ("NEVER", "'NEVER' (a str)"),
        ("all_completed", "'all_completed'"),
        (None, "None"),
        (3, "3 (an int)"),
        ([], "list"),
    ],
)
def test_what_is_no_member_of_return_when_is_refused(return_when: Any, came: str) -> None:
    with pytest.raises(ValueError) as error:
        chain_of_calls().results(return_when=return_when)
    facts(error, "return_when", "ReturnWhen.ALL_COMPLETED", "ReturnWhen.FIRST_EXCEPTION", came)


@pytest.mark.parametrize("return_when", [ReturnWhen.FIRST_COMPLETED, "FIRST_COMPLETED"])
def test_first_completed_is_refused_with_what_to_use(return_when: Any) -> None:
    with pytest.raises(ValueError) as error:
        chain_of_calls().results(return_when=return_when)
    facts(error, "FIRST_COMPLETED", "concurrent.futures.wait(calls.futures")


# What a mistake leaves behind: nothing


def test_nothing_is_started_by_a_mistake() -> None:
    started: list[int] = []
    before = set(busy_threads())
    for entry in STARTS.values():
        with pytest.raises(TypeError):
            entry(None)
    with pytest.raises(TypeError):
        ParallelExecutor.execute(lambda: started.append(1), lambda: started.append(2), None)  # type: ignore[arg-type]  # The mistake.
    with pytest.raises(TypeError):
        parallel_map(started.append, [1], 2)  # type: ignore[call-overload]  # As above.
    assert set(busy_threads()) == before
    assert started == []


def test_a_chain_stays_usable_after_mistakes() -> None:
    calls = chain_of_calls()
    for mistake in [None, 7, Manager(), coroutine_function, AsyncManager()]:
        with pytest.raises(TypeError):
            calls.parallel(mistake)  # type: ignore[arg-type]  # The mistake.
    with pytest.raises(TypeError):
        calls.results(timeout="3")  # type: ignore[arg-type]  # As above.
    with pytest.raises(ValueError):
        calls.results(return_when="never")  # type: ignore[arg-type]  # As above.
    with pytest.raises(TypeError):
        calls.parallel(a_function, executor=7)  # type: ignore[call-arg]  # As above.
    assert calls.parallel(lambda: 1)().results() == (0, 1)


def test_a_chain_of_contexts_stays_usable_after_mistakes() -> None:
    contexts = chain_of_contexts()
    for mistake in [None, 7, a_function, Manager, AsyncManager()]:
        with pytest.raises(TypeError):
            contexts.parallel(mistake)  # type: ignore[arg-type]  # The mistake.
    with contexts.parallel(Manager("b")) as values:
        assert values == ("", "b")


def test_a_collection_made_by_hand_the_wrong_way_is_only_a_type_error() -> None:
    # What __del__ of half a collection raises would be an error of this test.
    kinds: list[Any] = [FutureCollection, FutureContextCollection]
    for kind in kinds:
        with pytest.raises(TypeError):
            kind(1)
    gc.collect()


def test_wrong_arguments_of_the_function_are_its_own_error() -> None:
    calls = parallel(a_function)(1)  # type: ignore[call-arg]  # The mistake.
    with pytest.raises(TypeError, match=r"a_function\(\) takes 0 positional arguments but 1 was given"):
        calls.results()
