from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SECONDS = float(os.environ.get("STRESS_SECONDS", "5"))
"""For how long; ten minutes are for now and then."""


@pytest.mark.skipif(sys.platform == "win32", reason="forks, and ends what hangs by a signal")
def test_every_call_runs_once_and_every_manager_is_left_once_under_stress() -> None:
    command = [sys.executable, "-W", "error", str(Path(__file__).with_name("stress.py")), "--seconds", str(SECONDS)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS + 180, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    numbers = {what: int(number) for number, what in (line.split(maxsplit=1) for line in done.stdout.splitlines())}
    assert numbers["calls"] > 0
    assert numbers["managers"] > 0
