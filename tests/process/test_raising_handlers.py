"""Signal handlers that raise exceptions of any class: nothing is swallowed, lost or left to hang."""

from __future__ import annotations

import itertools
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from helpers import IS_QUICK, PYPY, Rotation

PROGRAM = Path(__file__).with_name("raising_handlers.py")

KINDS = ["RuntimeError", "KeyboardInterrupt", "RecursionError", "MemoryError", "OSError", "TimeoutError"]
"""Exceptions that the interpreter raises too, and handlers that limit the time of something."""

KINDS_OF_CONTAINERS = ["IndexError", "KeyError", "AttributeError"]
"""Exceptions by which containers and attributes say that something is not there."""

CALLS = ["chain", "other_calls"]
BLOCKS = ["block", "block_with_parallel_exit"]
QUESTIONS = ["results", "results_with_timeout", "results_at_first_exception"]
QUESTIONS_ABOUT_FAILURES = [f"failed_{name}" for name in QUESTIONS]

needs_signals = pytest.mark.skipif(
    not hasattr(signal, "setitimer"), reason="this system has no timer that sends signals"
)
needs_signals_between_calls_only = pytest.mark.skipif(
    sys.version_info < (3, 10) or PYPY,
    reason="before 3.10 and on PyPy handlers run between any two instructions: any `with` may lose an exit",
)
MOMENTS = ["calls"] if IS_QUICK else ["lines", "calls"]
ROTATION = Rotation(KINDS)


def with_kinds(*scenarios: str) -> pytest.MarkDecorator:
    """Runs the test with each of the scenarios at all moments, and with one of the kinds."""
    pairs = ROTATION.pairs(itertools.product(MOMENTS, scenarios))
    return pytest.mark.parametrize(("moments", "scenario", "kind"), [(*scenario, kind) for scenario, kind in pairs])


def run(*arguments: str) -> None:
    """Runs the program, and fails with what it printed if it ends badly."""
    command = [sys.executable, "-W", "error", str(PROGRAM), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=PROGRAM.parent)
    if done.returncode != 0 or done.stderr:
        lines = done.stdout.splitlines()
        wrong = [line for line in lines if not line.startswith("at ")]
        pytest.fail("\n".join([" ".join(arguments), *wrong[:60], f"last: {lines[-1:]}", done.stderr]))
    assert "raised 0 times" not in done.stdout


@with_kinds(*CALLS)
def test_exception_of_a_handler_comes_out_of_starting_calls(moments: str, scenario: str, kind: str) -> None:
    run(moments, scenario, kind)


@with_kinds(*BLOCKS)
def test_exception_of_a_handler_comes_out_of_a_block_that_is_exited(moments: str, scenario: str, kind: str) -> None:
    run(moments, scenario, kind)


@with_kinds(*QUESTIONS)
def test_results_can_be_asked_for_again_after_an_exception_of_a_handler(moments: str, scenario: str, kind: str) -> None:
    run(moments, scenario, kind)


@with_kinds(*QUESTIONS_ABOUT_FAILURES)
def test_exception_of_a_handler_hides_no_failure_of_a_call(moments: str, scenario: str, kind: str) -> None:
    run(moments, scenario, kind)


@with_kinds("chained_call")
def test_exception_of_a_handler_loses_no_chain_and_no_chained_call(moments: str, scenario: str, kind: str) -> None:
    run(moments, scenario, kind)


@pytest.mark.parametrize(
    ("scenario", "kind"), Rotation(KINDS_OF_CONTAINERS).pairs([*CALLS, *BLOCKS, *QUESTIONS, "chained_call"])
)
def test_exception_of_a_handler_is_not_taken_for_that_of_a_container(scenario: str, kind: str) -> None:
    run("calls", scenario, kind)


@needs_signals
@needs_signals_between_calls_only
@pytest.mark.parametrize(("scenario", "kind"), ROTATION.pairs([*CALLS, *BLOCKS, "results"]))
def test_every_alarm_comes_out_of_the_statement_that_it_interrupts(scenario: str, kind: str) -> None:
    run("alarms", scenario, kind, "--alarms", "20" if IS_QUICK else "100")


@needs_signals
@pytest.mark.parametrize("options", ["", "timeout=20", "return_when=ReturnWhen.FIRST_EXCEPTION"])
def test_alarm_ends_the_wait_for_results_which_go_on(options: str) -> None:
    code = f"""
import faulthandler, signal, threading, time
from parallel import ReturnWhen, parallel

# An alarm may come right before the wait begins: it interrupts nothing, so another one follows.
def alarm(*_):
    if armed:
        armed.clear()
        raise error

armed = []
faulthandler.dump_traceback_later(60, exit=True)
go = threading.Event()
calls = parallel(go.wait)(20).parallel(abs)(-1)
signal.signal(signal.SIGALRM, alarm)
for kind in [{", ".join(KINDS)}] * 3:
    error = kind("by a signal handler")
    begun = time.monotonic()
    armed.append(True)
    signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
    try:
        calls.results({options})
    except kind as raised:
        signal.setitimer(signal.ITIMER_REAL, 0)
        assert raised is error, raised
        assert time.monotonic() < begun + 10
    else:
        raise AssertionError("the wait went on")
go.set()
assert calls.results({options}) == (True, 1)
assert calls.results() == (True, 1)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=90, check=False)
    assert (done.returncode, done.stderr) == (0, "")
