"""The stack ends inside the library, and exceptions reach threads whose calls have ended: no later call is lost."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from helpers import IS_QUICK, PYPY, Rotation

PROGRAM = Path(__file__).with_name("late_exceptions.py")
STARTS = ["start", "enter", "execute_one", "map", "submit", "chained"]
WAITS = ["results", "first_exception", "start_and_results", "execute_one_and_result"]
KINDS = ["LateError", "TimeoutError", "SystemExit", "KeyboardInterrupt", "RuntimeError", "IndexError"]


def run(*arguments: str) -> None:
    """Runs the program, and fails with what it printed if it ends badly."""
    command = [sys.executable, str(PROGRAM), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=PROGRAM.parent)
    if done.returncode != 0:
        pytest.fail("\n".join([" ".join(arguments), *done.stdout.splitlines()[:40], done.stderr]))


@pytest.mark.parametrize("way", Rotation(STARTS).some(1 if IS_QUICK else 6))
def test_start_that_exhausts_the_stack_loses_no_later_call(way: str) -> None:
    run("frames", way)


@pytest.mark.parametrize("way", Rotation(WAITS).some(1 if IS_QUICK else 4))
def test_wait_that_exhausts_the_stack_loses_no_result(way: str) -> None:
    run("frames", way)


@pytest.mark.skipif(PYPY, reason="PyPy cannot raise exceptions in other threads")
@pytest.mark.parametrize(("moment", "kind"), Rotation(KINDS).pairs(["ended", "callback", "idle"]))
def test_exception_sent_to_a_thread_after_its_call_loses_no_later_call(moment: str, kind: str) -> None:
    run(moment, kind)
