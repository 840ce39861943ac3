"""The negative control of the random programs: they notice when the library is broken."""

from __future__ import annotations

from typing import Any, Sequence

import pytest
from hypothesis import Phase, find, settings

from parallel import _context_block, _context_manager, future_context_collection
from parallel._context_exits import exit_in_turn
from parallel._context_variables import ContextVariables
from parallel._unwinding import Unwinding
from random_programs import SUBJECT, is_different, programs


def raise_plainly(error: BaseException) -> None:
    raise error


def exit_in_wrong_order(managers: Sequence[Any], unwinding: Unwinding) -> Unwinding:
    return exit_in_turn(managers[::-1], unwinding)


BREAKS: dict[str, tuple[Any, str, Any]] = {
    "exits do not handle the exception": (_context_manager, "being_handled", lambda _, func: func()),
    "raising changes the chain": (future_context_collection, "raise_unchanged", raise_plainly),
    "exits do not see what others raise": (Unwinding, "with_raised", lambda unwinding, _: unwinding),
    "exits do not see that others suppress": (Unwinding, "suppressed", lambda unwinding: unwinding),
    "exits see no variables of the body": (ContextVariables, "copy_from_caller", lambda *_: None),
    "exits change no variables": (ContextVariables, "copy_exit_changes_to_caller", lambda _: None),
    "managers exit in the order of the chain": (_context_block, "exit_in_turn", exit_in_wrong_order),
}
"""Ways to break the library: an object, its attribute, and what takes the attribute's place."""


@pytest.mark.skipif(SUBJECT != "parallel", reason="breaks this library, and another subject is under test")
@pytest.mark.parametrize("broken", BREAKS.values(), ids=BREAKS)
def test_random_programs_notice_a_broken_library(broken: tuple[Any, str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(*broken)
    search = settings(max_examples=1_000, phases=[Phase.generate], database=None, derandomize=True)
    find(programs(), is_different, settings=search)  # It raises if it finds none.
