"""Random programs, and all pairs of outcomes, see no difference between ``with a, b`` and parallel managers.

``random_programs`` makes and runs the programs. What differs by nature stands at the end.

With ``WITH_EQUIVALENCE_SUBJECT=ExitStack`` in the environment, ``contextlib.ExitStack`` is put to the same test, and
fails it.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from contextvars import Token
from typing import Any, Callable, Iterable

import pytest
from hypothesis import given

from helpers import IS_QUICK, Rotation
from parallel import parallel
from random_programs import (
    ENDINGS,
    KINDS,
    VARIABLES,
    Actor,
    Block,
    ClassBased,
    Manager,
    Program,
    Run,
    Script,
    Site,
    Statement,
    assert_no_difference,
    has_tracebacks_to_compare,
    programs,
    run,
    run_block,
    under_exit_stack,
    under_parallel,
    under_with,
)


@given(programs())
def test_random_programs_see_no_difference(program: Program) -> None:
    assert_no_difference(program, with_tracebacks=has_tracebacks_to_compare(program))


def endings(*others: str) -> list[str]:
    return [*others, *(name for name in ENDINGS if name.startswith("raises"))]


def pairs(first: Iterable[str], second: Iterable[str]) -> list[tuple[str, str]]:
    """Pairs the first with all of the second, or with half of them, in turn, where many interpreters do so."""
    names = list(second)
    return Rotation(names).pairs(first, len(names) // 2 if IS_QUICK else len(names))


def exits(*names: str, kind: str = "ClassBased") -> tuple[Manager, ...]:
    return tuple(Manager(kind, exit=Script(ending=name)) for name in names)


def test_every_outcome_of_the_body_meets_every_outcome_of_a_generator() -> None:
    for body, of_exit in pairs(ENDINGS, ENDINGS):
        block = Block(exits(of_exit, kind="catching"), Script(ending=body))
        assert_no_difference(Program(block, around="handler_of_prepared"), with_tracebacks=True)


@pytest.mark.parametrize("body", ["returns_none", "raises"])
def test_every_outcome_of_an_exit_meets_every_outcome_of_another(body: str) -> None:
    for names in pairs(*[endings("returns_none", "returns_true")] * 2):
        block = Block(exits(*names), Script(ending=body))
        assert_no_difference(Program(block, around="handler_of_prepared"), with_tracebacks=True)


def failing_to_enter(of_enter: str, of_exit: str) -> Block:
    return Block((*exits(of_exit), Manager(enter=Script(ending=of_enter))))


def test_every_outcome_of_the_last_enter_meets_exits_that_do_not_suppress() -> None:
    for outcomes in pairs(endings(), endings("returns_none")):
        assert_no_difference(Program(failing_to_enter(*outcomes), around="handler_of_prepared"), with_tracebacks=False)


@pytest.mark.parametrize("of_exit", ["returns_none", "raises_bare", "raises_given_in_handler"])
def test_the_exception_of_an_enter_shows_the_managers_own_frames(of_exit: str) -> None:
    for of_enter in endings():
        assert_no_difference(Program(failing_to_enter(of_enter, of_exit)), with_tracebacks=True)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "never_stopping"])
def test_the_exception_of_the_body_keeps_its_traceback(kind: str) -> None:
    block = Block(exits("returns_none", "returns_none", "returns_none", kind=kind), Script(ending="raises_class"))
    assert_no_difference(Program(block), with_tracebacks=True)


def test_exception_of_an_exit_shows_the_block_and_the_managers_frames() -> None:
    block = Block(exits("returns_none", "raises_in_handler", "returns_none"), Script(ending="raises_class"))

    def frames(statement: Statement) -> list[str]:
        with pytest.raises(ValueError, match="1 exits") as caught:
            run_block(Site(Run(statement, with_tracebacks=False), "", None), "", block)
        return [entry.name for entry in caught.traceback]

    of_manager = ["__exit__", "exit", "perform", "raises_in_handler"]
    assert frames(under_with)[-5:] == ["with_statement", *of_manager]
    assert frames(under_parallel)[-4:] == of_manager
    assert frames(under_parallel)[: -len(of_manager)].count("under_parallel") == 1


_FROM_3_9 = pytest.mark.skipif(
    sys.version_info < (3, 9), reason="on 3.8 ExitStack makes a cycle of contexts, on which raise never ends"
)


@pytest.mark.parametrize(
    "program",
    [
        pytest.param(Program(Block(exits("raises", "raises"))), id="two exits raise after a body that succeeded"),
        pytest.param(
            Program(Block(exits("returns_none", "raises_in_handler"))), id="an exit raises within a handler of its own"
        ),
        pytest.param(
            Program(Block(exits("raises_given", "raises"), Script(ending="raises")), around="nested_handler"),
            id="an exit raises again what another has raised",
            marks=_FROM_3_9,
        ),
        pytest.param(
            Program(Block(exits("returns_none", "raises_from_none"), Script(ending="raises")), around="nested_handler"),
            id="an exit raises in an except block",
            marks=_FROM_3_9,
        ),
    ],
)
def test_the_suite_sees_what_exit_stack_does_otherwise(program: Program) -> None:
    expected = run(program, under_with, with_tracebacks=False)
    assert run(program, under_exit_stack, with_tracebacks=False).events != expected.events
    assert run(program, under_parallel, with_tracebacks=False).events == expected.events


# What differs by nature, and so is in no program.


class Setting:
    """Sets a variable on entering, and on exiting does with it what it is told."""

    def __init__(self, value: str, leave: Callable[[Token[str]], None] = VARIABLES[0].reset) -> None:
        self._value = value
        self._leave = leave

    def __enter__(self) -> str:
        found = VARIABLES[0].get("unset")
        self._token = VARIABLES[0].set(self._value)
        return found

    def __exit__(self, *_: object) -> None:
        self._leave(self._token)


def test_by_nature_an_enter_does_not_see_what_another_sets() -> None:
    with Setting("first") as first, Setting("second") as second:
        assert (first, second) == ("unset", "first")
    with parallel(Setting("first")).parallel(Setting("second")) as (first, second):
        assert (first, second) == ("unset", "unset")
        assert VARIABLES[0].get() == "second"
    assert VARIABLES[0].get("unset") == "unset"


def test_by_nature_an_exit_after_its_reset_sees_what_its_enter_found() -> None:
    seen: list[str] = []

    def leave(token: Token[str]) -> None:
        VARIABLES[0].reset(token)
        seen.append(VARIABLES[0].get("unset"))

    with Setting("first", leave), Setting("second", leave):
        pass
    assert seen == ["first", "unset"]
    with parallel(Setting("first", leave)).parallel(Setting("second", leave)):
        pass
    assert seen == ["first", "unset", "unset", "unset"]


def test_by_nature_an_exit_that_sets_what_its_enter_found_resets_it() -> None:
    seen: list[str] = []
    outside = VARIABLES[0].set("outside")

    def leave(token: Token[str]) -> None:
        seen.append(VARIABLES[0].get())
        VARIABLES[0].set("outside")

    with Setting("first", leave), Setting("second", leave):
        pass
    assert seen == ["second", "outside"]
    with parallel(Setting("first", leave)).parallel(Setting("second", leave)):
        pass
    assert seen == ["second", "outside", "second", "first"]
    assert VARIABLES[0].get() == "outside"
    VARIABLES[0].reset(outside)


class Failing:
    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        raise KeyError


def test_by_nature_a_return_is_carried_out_despite_a_suppressed_failure() -> None:
    def nested() -> str:
        with suppress(KeyError), Failing():
            return "from the body"
        return "after the block"

    def in_parallel() -> str:
        with parallel(suppress(KeyError)).parallel(Failing()):
            return "from the body"
        return "after the block"  # type: ignore[unreachable]  # Which is just what is shown.

    assert (nested(), in_parallel()) == ("after the block", "from the body")


def test_by_nature_no_exit_suppresses_the_failure_of_an_enter() -> None:
    def failing() -> Any:
        actor = Actor(Site(Run(under_parallel, with_tracebacks=False), "", None), "", manager, frozenset())
        return ClassBased(actor)

    manager = Manager(enter=Script(ending="raises_class"))
    with suppress(LookupError), failing():
        pytest.fail("the body runs")
    with pytest.raises(LookupError), parallel(suppress(LookupError)).parallel(failing()):
        pytest.fail("the body runs")
