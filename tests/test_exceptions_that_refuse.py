"""Exceptions that refuse or falsify their attributes come out as from a plain ``raise``, and block nothing.

``refusing_exceptions.py`` holds the kinds of exceptions and the scenarios. Each scenario runs in a child process.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import refusing_exceptions
from conftest import LIMIT


def kinds_that_went_wrong(scenario: str) -> Any:
    """Runs a scenario with all kinds in a child process; returns which of them went wrong, and how."""
    program = Path(refusing_exceptions.__file__)
    done = subprocess.run(
        [sys.executable, str(program), scenario], capture_output=True, text=True, timeout=2 * LIMIT, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("scenario", refusing_exceptions.CALLS)
def test_refusing_exception_of_a_call_comes_out_as_itself(scenario: str) -> None:
    assert kinds_that_went_wrong(scenario) == {}


@pytest.mark.parametrize("scenario", refusing_exceptions.BLOCKS)
def test_refusing_exception_in_a_block_leaves_no_manager_entered(scenario: str) -> None:
    assert kinds_that_went_wrong(scenario) == {}
