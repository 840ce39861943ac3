"""The mistakes of the first ten minutes: each message says what came, what was expected and what to write instead."""

from __future__ import annotations

import contextlib
import inspect
import pydoc
import traceback
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable, Iterator

import pytest

from helpers import PYPY, Manager, fail
from parallel import (
    FutureCollection,
    FutureContextCollection,
    ReturnWhen,
    parallel,
    parallel_contexts,
    parallel_map,
)
from parallel.parallel import parallel as parallel_function


def load(number: int = 0, *, above: int = 0, timeout: float = 0) -> str:
    return f"user {number + above + timeout}"


def save(number: int) -> None:
    pass


@contextlib.contextmanager
def connect(host: str) -> Iterator[str]:
    yield host


class OnlyExit:
    def __exit__(self, *_: object) -> None:
        pass


def calls() -> Any:
    return parallel(load)(1)


def contexts() -> Any:
    return parallel(Manager())


def unpacked(chain: Any) -> None:
    _, _ = chain


def iterated(chain: Any) -> None:
    for _ in chain:
        pass


def entered(chain: Any) -> None:
    with chain:
        pass


either: Any = parallel
"""No checker looks at what it is given."""

MISTAKES: dict[str, tuple[Callable[[], object], list[str]]] = {
    # Arguments beside the function
    "parallel(load, 1)": (
        lambda: either(load, 1),
        ["parallel() takes the function only", "1 (an int)", "second pair of parentheses", "parallel(load)(1)"],
    ),
    "parallel(load, above=1)": (lambda: either(load, above=1), ["not also above=", "parallel(load)(above=1)"]),
    "parallel(load, 1, above=2)": (lambda: either(load, 1, above=2), ["parallel(load)(1, above=2)"]),
    "parallel(load, 'a long text')": (lambda: either(load, "a long text " * 9), ["parallel(load)(...)"]),
    "parallel(lambda: 1, 2)": (lambda: either(lambda: 1, 2), ["parallel(func)(2)"]),
    "calls.parallel(load, 2)": (
        lambda: calls().parallel(load, 2),
        ["takes the function only", "2 (an int)", "second pair", "calls.parallel(load)(2)"],
    ),
    "calls.parallel(load, above=2)": (lambda: calls().parallel(load, above=2), ["calls.parallel(load)(above=2)"]),
    "FutureCollection.create(load, 1)": (
        lambda: FutureCollection.create(load, 1),  # type: ignore[call-arg]  # The mistake.
        ["FutureCollection.create() takes the function only", "FutureCollection.create(load)(1)"],
    ),
    "parallel(load, save)": (
        lambda: either(load, save),
        ["one function, not 2", "parallel(load)(...).parallel(save)(...)"],
    ),
    "calls.parallel(load, save)": (
        lambda: calls().parallel(load, save),
        ["one function", "calls.parallel(load)(...).parallel(save)(...)"],
    ),
    "parallel(func=load)": (
        lambda: either(func=load),
        ["parallel() takes the function by position, as in parallel(func), and no func="],
    ),
    "calls.parallel(func=load)": (
        lambda: calls().parallel(func=load),
        ["FutureCollection.parallel() takes the function by position", "no func="],
    ),
    "parallel_contexts(managers=[])": (
        lambda: parallel_contexts(managers=[]),  # type: ignore[call-arg]  # The mistake.
        ["takes its argument by position, and no managers="],
    ),
    "parallel(1, 2)": (lambda: either(1, 2), ["parallel() takes"]),
    # Options that are not there
    "parallel(load, max_workers=4)": (
        lambda: either(load, max_workers=4),
        ["no max_workers=", "executor=ParallelExecutor(max_workers=4)"],
    ),
    "calls.parallel(load, timeout=3)": (
        lambda: calls().parallel(load, timeout=3),
        ["no timeout=", "results(timeout=3)", "second pair of parentheses"],
    ),
    "calls.parallel(load, executor=...)": (
        lambda: calls().parallel(load, executor=None),
        ["no executor=", "parallel(func, executor=...)"],
    ),
    "parallel_map(load, items, above=500)": (
        lambda: parallel_map(load, [1], above=500),  # type: ignore[call-overload]  # The mistake.
        ["no above=", "functools.partial(load, above=500)"],
    ),
    "parallel_map(load, items, timeout=4)": (
        lambda: parallel_map(load, [1], timeout=4),  # type: ignore[call-overload]  # The mistake.
        ["no timeout=", "results(timeout=4)"],
    ),
    "parallel_map(load, items, max_workers=4)": (
        lambda: parallel_map(load, [1], max_workers=4),  # type: ignore[call-overload]  # The mistake.
        ["no max_workers=", "executor="],
    ),
    "contexts.parallel(manager, timeout=3)": (
        lambda: contexts().parallel(Manager(), timeout=3),
        ["no timeout=", "whole chain", "parallel(context_manager, timeout=3)"],
    ),
    "contexts.parallel(manager, executor=...)": (
        lambda: contexts().parallel(Manager(), executor=None),
        ["no executor=", "a thread of its own"],
    ),
    "calls.results(executor=...)": (lambda: calls().results(executor=None), ["no executor=", "timeout="]),
    # Options by position
    "calls.results(5)": (lambda: calls().results(5), ["results(timeout=5)"]),
    "calls.results(ReturnWhen.FIRST_EXCEPTION)": (
        lambda: calls().results(ReturnWhen.FIRST_EXCEPTION),
        ["results(return_when=ReturnWhen.FIRST_EXCEPTION)"],
    ),
    "parallel(manager, 5)": (lambda: either(Manager(), 5), ["by name", "timeout=5"]),
    "parallel_contexts([manager], 5)": (
        lambda: parallel_contexts([Manager()], 5),  # type: ignore[call-arg]  # The mistake.
        ["by name", "timeout=5"],
    ),
    # Several managers, or none
    "parallel(a, b)": (
        lambda: either(Manager(), Manager()),
        ["one context manager, not 2", "parallel(a).parallel(b)", "parallel_contexts([a, b])"],
    ),
    "contexts.parallel(b, c)": (
        lambda: contexts().parallel(Manager(), Manager()),
        ["one context manager, not 2", "parallel_contexts([a, b])"],
    ),
    "parallel_contexts(a, b)": (
        lambda: parallel_contexts(Manager(), Manager()),  # type: ignore[call-arg, arg-type]  # The mistake.
        ["one iterable of context managers, not 2 arguments", "parallel_contexts([a, b])"],
    ),
    "parallel_contexts(a)": (
        lambda: parallel_contexts(Manager()),  # type: ignore[arg-type]  # The mistake.
        ["one iterable of context managers", "Manager", "parallel(context_manager)"],
    ),
    "parallel_contexts(7)": (
        lambda: parallel_contexts(7),  # type: ignore[arg-type]  # The mistake.
        ["one iterable of context managers", "7 (an int)"],
    ),
    "parallel((a, b))": (
        lambda: either((Manager(), Manager())),
        ["not an object of type tuple", "several context managers", "parallel_contexts([a, b])"],
    ),
    "contexts.parallel([a, b])": (lambda: contexts().parallel([Manager()]), ["list", "parallel_contexts([a, b])"]),
    "parallel(half a manager)": (
        lambda: either(OnlyExit()),
        ["OnlyExit", "context manager protocol", "it has __exit__, but no __enter__"],
    ),
    # The calls are not what they return
    "a, b = calls": (lambda: unpacked(calls()), ["holds calls, not their results", "a, b = calls.results()"]),
    "for result in calls": (lambda: iterated(calls()), [".results()"]),
    "list(calls)": (lambda: list(calls()), [".results()"]),
    "result in calls": (lambda: "user 1" in calls(), ["holds calls, not their results", "x in calls.results()"]),
    "calls[0]": (lambda: calls()[0], ["calls.results()[0]", ".futures"]),
    "len(calls)": (lambda: len(calls()), ["len(calls.results())", ".futures"]),
    "a, b = contexts": (lambda: unpacked(contexts()), ["entered, not unpacked", "with contexts as (a, b):"]),
    "parallel(load).results()": (
        lambda: either(load).results(),
        ["prepared, but not started", "second pair of parentheses", "parallel(func)(...).results()"],
    ),
    "parallel(Manager).results()": (lambda: either(Manager).results(), ["prepared, but not started"]),
    "parallel(load).parallel(save)": (lambda: either(load).parallel(save), ["prepared, but not started"]),
    "calls.parallel(load).results()": (lambda: calls().parallel(load).results(), ["prepared, but not started"]),
    "parallel_map(load, [1, 2], 2)": (
        lambda: parallel_map(load, [1, 2], 2),  # type: ignore[call-overload]  # The mistake.
        ["iterables", "its argument 3 is 2 (an int)", "functools.partial()"],
    ),
}
"""What one writes; what the message has to say."""

ENTERED: dict[str, Callable[[], object]] = {
    "with calls": calls,
    "with parallel(connect)('a')": lambda: parallel(connect)("a"),
    "with parallel(connect)('a').parallel(connect)('b')": lambda: parallel(connect)("a").parallel(connect)("b"),
}


UNPACKED = {"a, b = calls", "a, b = contexts"}
SAID = [name for name in MISTAKES if not PYPY or name not in UNPACKED]
"""PyPy has a message of its own for what cannot be unpacked."""


@pytest.mark.parametrize("name", SAID)
def test_message_says_what_to_write_instead(name: str) -> None:
    mistake, expected = MISTAKES[name]
    with pytest.raises(TypeError) as raised:
        mistake()
    message = str(raised.value)
    assert [fact for fact in expected if fact not in message] == [], message
    assert "\n" not in message
    assert raised.value.__cause__ is None
    assert raised.value.__context__ is None


@pytest.mark.parametrize("name", MISTAKES)
def test_traceback_of_a_mistake_has_at_most_two_frames_of_the_library(name: str) -> None:
    with pytest.raises(TypeError) as raised:
        MISTAKES[name][0]()
    files = [frame.filename.replace("\\", "/") for frame in traceback.extract_tb(raised.value.__traceback__)]
    assert len([file for file in files if "/parallel/" in file]) <= 2, files


@pytest.mark.skipif(PYPY, reason="PyPy says in its own words what cannot be entered")
@pytest.mark.parametrize("make", ENTERED.values(), ids=ENTERED)
def test_calls_that_are_entered_say_what_parallel_takes(make: Callable[[], Any]) -> None:
    with pytest.raises(TypeError) as raised:
        entered(make())
    message = str(raised.value)
    assert "a FutureCollection is not entered" in message
    assert 'with parallel(connect("a")).parallel(connect("b")) as (a, b):' in message


@pytest.mark.skipif(PYPY, reason="as above")
def test_calls_that_are_entered_asynchronously_say_the_same() -> None:
    import asyncio

    async def enter() -> None:
        async with calls():
            pass

    with pytest.raises(TypeError, match="a FutureCollection is not entered"):
        asyncio.run(enter())


@pytest.mark.parametrize("name", ["results", "futures"])
def test_what_only_calls_have_is_no_attribute_of_managers(name: str) -> None:
    with pytest.raises(AttributeError, match=rf"has no \.{name}: `with contexts as \(a, b\):`"):
        getattr(contexts(), name)
    assert not hasattr(contexts(), name)
    assert name not in dir(contexts())


# What the explanations must not change


def test_calls_pass_for_nothing_else() -> None:
    assert calls()
    assert not isinstance(calls(), contextlib.AbstractContextManager)
    assert not isinstance(contexts(), FutureCollection)
    with pytest.raises(TypeError, match="not an object of type FutureCollection: pass the function itself"):
        either(calls())
    with pytest.raises((TypeError, AttributeError)):
        contextlib.ExitStack().enter_context(calls())


@pytest.mark.parametrize(
    ("function", "signature"),
    [
        (parallel_function, "(target, /, *, executor=None, timeout=None, parallel_exit=False)"),
        (parallel_map, "(func, /, *iterables, executor=None)"),
        (parallel_contexts, "(context_managers, /, *, timeout=None, parallel_exit=False)"),
        (FutureCollection.create, "(func, /)"),
        (FutureCollection.parallel, "(self, func, /)"),
        (FutureContextCollection.create, "(context_manager, /, *, timeout=None, parallel_exit=False)"),
        (FutureContextCollection.parallel, "(self, context_manager, /)"),
    ],
)
def test_signatures_show_only_what_a_function_takes(function: Any, signature: str) -> None:
    shown = inspect.signature(function)
    bare = [each.replace(annotation=inspect.Parameter.empty) for each in shown.parameters.values()]
    assert str(inspect.Signature(bare)) == signature


def test_missing_argument_is_named_by_the_interpreter() -> None:
    with pytest.raises(TypeError, match=r"parallel\(\) missing 1 required positional argument: 'target'"):
        either()


def test_error_of_the_type_that_a_function_raises_is_left_as_it_is() -> None:
    with pytest.raises(TypeError, match="^its own$") as raised:
        parallel(fail)(TypeError("its own")).results()
    assert raised.value.__context__ is None


def test_constructor_of_calls_shows_no_internals() -> None:
    assert list(inspect.signature(FutureCollection.__init__).parameters) == ["self"]
    empty: Any = FutureCollection()
    assert empty.results() == ()
    assert empty.parallel(load)(1).results() == ("user 1",)


@pytest.mark.parametrize("chain", [FutureCollection, FutureContextCollection])
def test_help_on_a_chain_names_no_private_module(chain: type) -> None:
    page = pydoc.render_doc(chain, renderer=pydoc.plaintext)  # type: ignore[attr-defined]  # Undocumented, but there.
    assert "parallel._" not in page


def test_signature_of_results_shows_its_options() -> None:
    assert list(inspect.signature(FutureCollection.results).parameters) == ["self", "timeout", "return_when"]


def test_arguments_with_the_names_of_options_reach_the_function() -> None:
    assert parallel(load)(timeout=1).results() == ("user 1",)
    with ThreadPoolExecutor(1) as executor:
        assert parallel(load, executor=executor)(above=1).results() == ("user 1",)


def test_attributes_of_a_function_are_kept() -> None:
    def decorated() -> int:
        return 1

    functions: Any = decorated
    functions.results = "its own"
    assert parallel(functions)().results() == (1,)
    assert functions.results == "its own"
