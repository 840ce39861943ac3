"""A block that is left in another context than it was entered in, as fixtures and asynchronous generators do."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from contextvars import ContextVar, Token, copy_context
from typing import Any, Callable, Iterator

import pytest

from helpers import LIMIT
from parallel import parallel

VARIABLE: ContextVar[str] = ContextVar("VARIABLE", default="default")
OTHER: ContextVar[str] = ContextVar("OTHER")


@contextmanager
def with_token(variable: ContextVar[str], value: str) -> Iterator[None]:
    """Sets a variable for its block, and resets it with the token."""
    token: Token[str] = variable.set(value)
    yield
    variable.reset(token)


@contextmanager
def with_old_value(variable: ContextVar[str], value: str) -> Iterator[None]:
    """Sets a variable for its block, and then sets what it was before."""
    before = variable.get()
    variable.set(value)
    yield
    variable.set(before)


Makes = Callable[[ContextVar[str], str], Any]
both_ways = pytest.mark.parametrize("make", [with_token, with_old_value], ids=["token", "old value"])


@both_ways
@pytest.mark.parametrize("parallel_exit", [False, True])
def test_block_left_in_another_context_restores_the_variable(make: Makes, parallel_exit: bool) -> None:
    def enter() -> None:
        VARIABLE.set("outside")
        block.__enter__()
        assert VARIABLE.get() == "inside"

    def leave() -> None:
        assert VARIABLE.get() == "inside"
        block.__exit__(None, None, None)
        assert VARIABLE.get() == "outside"

    block = parallel(make(VARIABLE, "inside"), parallel_exit=parallel_exit)
    first = copy_context()
    first.run(enter)
    first.copy().run(leave)
    assert VARIABLE.get() == "default"


@both_ways
def test_two_variables_are_restored_in_another_context(make: Makes) -> None:
    def enter() -> None:
        VARIABLE.set("outside")
        OTHER.set("outside too")
        block.__enter__()

    def leave() -> None:
        assert (VARIABLE.get(), OTHER.get()) == ("inside", "inside too")
        block.__exit__(ValueError, ValueError(), None)
        assert (VARIABLE.get(), OTHER.get()) == ("outside", "outside too")

    def catch_all() -> Any:
        @contextmanager
        def suppress() -> Iterator[None]:
            try:
                yield
            except ValueError:
                pass

        return suppress()

    block = parallel(make(VARIABLE, "inside")).parallel(make(OTHER, "inside too")).parallel(catch_all())
    first = copy_context()
    first.run(enter)
    first.copy().run(leave)


@both_ways
def test_variable_of_nested_managers_is_restored_in_another_context(make: Makes) -> None:
    def enter() -> None:
        VARIABLE.set("outside")
        block.__enter__()
        assert VARIABLE.get() == "second"

    def leave() -> None:
        block.__exit__(None, None, None)
        assert VARIABLE.get() == "outside"

    block = parallel(make(VARIABLE, "first")).parallel(make(VARIABLE, "second"))
    first = copy_context()
    first.run(enter)
    first.copy().run(leave)


@both_ways
def test_block_left_on_another_thread_restores_the_variable_there(make: Makes) -> None:
    seen: list[str] = []

    def leave() -> None:
        seen.append(VARIABLE.get())
        block.__exit__(None, None, None)
        seen.append(VARIABLE.get())

    def enter() -> None:
        VARIABLE.set("outside")
        block.__enter__()

    block = parallel(make(VARIABLE, "inside"))
    first = copy_context()
    first.run(enter)
    second = first.copy()
    thread = threading.Thread(target=lambda: second.run(leave))
    thread.start()
    thread.join(LIMIT)
    assert seen == ["inside", "outside"]


def test_nothing_is_raised_for_a_variable_that_had_no_value_before() -> None:
    def enter() -> None:
        block.__enter__()
        assert OTHER.get() == "inside"

    block = parallel(with_token(OTHER, "inside"))
    first = copy_context()
    first.run(enter)
    # It cannot be taken back there without its token: what matters is that the block is left.
    first.copy().run(block.__exit__, None, None, None)
