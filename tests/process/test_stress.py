from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import stress
from helpers import IS_QUICK

SECONDS = float(os.environ.get("STRESS_SECONDS", "2" if IS_QUICK else "4"))
"""For how long at least; ten minutes are for now and then."""

SEED = os.environ.get("STRESS_SEED", "0")
"""With which programs."""

PROGRAM = Path(__file__).with_name("stress.py")


def run(*arguments: str, seconds: float = 0) -> list[str]:
    """Runs Python; gives the lines that it printed, and fails if it complained of anything."""
    command = [sys.executable, "-W", "error", *arguments]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=seconds + 240, check=False, cwd=PROGRAM.parent
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    return done.stdout.splitlines()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no forks, and no signals that end what hangs")
def test_every_call_runs_once_and_every_manager_is_left_once_under_stress() -> None:
    lines = run(str(PROGRAM), "--seconds", str(SECONDS), "--seed", SEED, seconds=SECONDS)
    numbers = {what: int(number) for number, what in (line.split(maxsplit=1) for line in lines)}
    assert set(numbers) >= stress.COUNTED
    assert min(numbers.values()) > 0


def test_the_same_seed_throws_the_same_dice() -> None:
    code = textwrap.dedent("""
        import stress

        def throw(drivers, *_):
            for driver in drivers:
                print(driver.dice.random())
            raise SystemExit

        stress.run_round = throw
        stress.main()
    """)
    first, again, other = [run("-c", code, "--seed", seed) for seed in ("1", "1", "2")]
    assert len(set(first)) == stress.DRIVERS
    assert again == first
    assert not set(other) & set(first)


def test_help_tells_of_the_options() -> None:
    printed = "\n".join(run(str(PROGRAM), "--help"))
    assert "--seconds SECONDS" in printed
    assert "--seed SEED" in printed


def test_every_call_that_is_asked_or_abandoned_ends_under_stress() -> None:
    lines = run(str(PROGRAM.with_name("stress_cancel.py")), "--seconds", str(SECONDS), "--seed", SEED, seconds=SECONDS)
    numbers = {what: int(number) for number, what in (line.split(maxsplit=1) for line in lines)}
    assert set(numbers) >= {"callbacks", "stopped by a callback", "stopped by a wait"}
    assert min(numbers.values()) > 0
