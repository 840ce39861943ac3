"""Programs in processes of their own, with a time limit and the public interface only.

They run in development mode with warnings as errors, and a test fails if one complains of anything.
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from typing import Any, Mapping, Sequence

import pytest

from helpers import LIMIT

PRELUDE = """
import atexit, os, signal, sys, threading, time
from parallel import FutureCollection, ParallelExecutor, ReturnWhen, parallel, parallel_contexts, parallel_map

class Manager:
    def __init__(self, name=""):
        self.name = name
    def __enter__(self):
        self.thread = threading.current_thread()
        return self.name
    def __exit__(self, kind, *_):
        say("left", self.name, kind and kind.__name__)

def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

def fail(error=None):
    raise error or ValueError("fails")

def use_everything():
    assert parallel(int)().parallel(str)(1).results() == (0, "1")
    assert ParallelExecutor.execute_one(int).result() == 0
    assert parallel_map(abs, [-1, 2]).results() == (1, 2)
    with ParallelExecutor() as executor:
        assert executor.submit(int).result() == 0
    with parallel(threading.Lock()).parallel(threading.RLock()) as values:
        assert len(values) == 2

def wait_until(condition, limit=15):
    end = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.001)

def wait_for_idle_threads():
    others = lambda: [thread for thread in threading.enumerate() if thread is not threading.main_thread()]
    wait_until(lambda: {thread.name for thread in others()} <= {"parallel (idle)"})

def make_idle_threads(number=1):
    # The executor's calls run until their threads are idle: a thread has a result to give a moment before that.
    barrier, executor = threading.Barrier(number), ParallelExecutor()
    def meet():
        barrier.wait(15)
        return threading.current_thread()
    futures = [executor.submit(meet) for _ in range(number)]
    wait_until(lambda: "no calls running" in repr(executor))
    return [future.result() for future in futures]
"""

# The development mode of 3.8 takes a forked child's end for memory gone wrong, with ordinary threads, too.
STRICT = [*([] if sys.version_info < (3, 9) else ["-X", "dev"]), "-W", "error"]
# From 3.12 on, forking with threads is deprecated; what happens then is what some tests are about.
FORKS = [*STRICT, "-W", "ignore:This process:DeprecationWarning"]

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
starts_threads_at_exit = pytest.mark.skipif(
    (3, 12) <= sys.version_info < (3, 12, 3), reason="3.12.0 to 3.12.2 start no thread once the main thread has ended"
)


def run_to_end(
    code: str,
    *,
    flags: Sequence[str] = STRICT,
    prelude: str = PRELUDE,
    path: Sequence[object] = (),
    environment: Mapping[str, str] | None = None,
    limit: float = LIMIT,
) -> subprocess.CompletedProcess[str]:
    """Runs a program to its end, with folders that modules are imported from first."""
    surroundings = {**os.environ, **(environment or {})}
    folders = [*map(str, path), surroundings.get("PYTHONPATH", "")]
    surroundings["PYTHONPATH"] = os.pathsep.join(filter(None, folders))
    return subprocess.run(
        [sys.executable, *flags, "-c", prelude + textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=limit,
        check=False,
        env=surroundings,
    )


def run(code: str, *, exit_code: int = 0, **options: Any) -> list[str]:
    """Runs a program to its end; gives the lines that it printed, and fails if it complained of anything."""
    done = run_to_end(code, **options)
    assert not done.stderr, done.stderr
    assert done.returncode == exit_code, f"exit code {done.returncode}, after {done.stdout}"
    return done.stdout.splitlines()
