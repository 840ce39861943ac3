"""Exceptions that refuse or falsify their attributes come out as from a plain ``raise``, and block nothing.

``refusing_exceptions.py`` holds the kinds of exceptions and the scenarios. All of a test run in one child process.
"""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import refusing_exceptions
from helpers import LIMIT


@functools.lru_cache(maxsize=None)
def kinds_that_went_wrong(scenarios: tuple[str, ...]) -> Any:
    """Runs scenarios with all kinds in a child process; returns which kinds went wrong in which of them, and how."""
    program = Path(refusing_exceptions.__file__)
    limit = LIMIT + refusing_exceptions.PATIENCE * len(scenarios)
    done = subprocess.run(
        [sys.executable, str(program), *scenarios], capture_output=True, text=True, timeout=limit, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("scenario", refusing_exceptions.CALLS)
def test_refusing_exception_of_a_call_comes_out_as_itself(scenario: str) -> None:
    assert kinds_that_went_wrong(tuple(refusing_exceptions.CALLS))[scenario] == {}


@pytest.mark.parametrize("scenario", refusing_exceptions.BLOCKS)
def test_refusing_exception_in_a_block_leaves_no_manager_entered(scenario: str) -> None:
    assert kinds_that_went_wrong(tuple(refusing_exceptions.BLOCKS))[scenario] == {}
