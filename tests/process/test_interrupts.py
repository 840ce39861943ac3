"""Ctrl-C, in a process of its own: while results are waited for, managers entered and left, and at the exit."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from children import starts_threads_at_exit
from helpers import LIMIT

LOOKS = 5
"""How many looks in a row must see a thread asleep."""

pytestmark = pytest.mark.skipif(os.name != "posix", reason="this system has no signals as POSIX has them")

PREAMBLE = """
import signal, threading, time
from parallel import parallel, ParallelExecutor, ReturnWhen

signal.signal(signal.SIGINT, signal.default_int_handler)  # What starts the tests may have it ignored.

def say(*words):
    # In one piece: print() writes the end of the line on its own, and another thread may come in between.
    print(" ".join(map(str, words)) + "\\n", end="", flush=True)

entered = []

class Manager:
    def __init__(self, name, go=None):
        self.name, self.go = name, go
    def __enter__(self):
        say("entering", self.name)
        if self.go is not None:
            assert self.go.wait(20)
        entered.append(self)
        return self
    def __exit__(self, kind, *_):
        say("exit", self.name, kind and kind.__name__)
"""


def wait_until_main_thread_waits(process: subprocess.Popen[str]) -> None:
    """Waits until the main thread has slept through some looks at it.

    An interpreter may miss a signal that comes in the moment before it begins to wait for a lock, whose lock it is.
    """
    stat = Path(f"/proc/{process.pid}/stat")
    if not stat.exists():  # Not Linux.
        time.sleep(0.5)
        return
    asleep = 0
    end = time.monotonic() + LIMIT
    while asleep < LOOKS:
        assert time.monotonic() < end
        time.sleep(0.01)
        asleep = asleep + 1 if stat.read_text().rpartition(")")[2].split()[0] == "S" else 0


def run(code: str, *interrupt_after: str) -> tuple[int, list[str], str]:
    """Runs a program, sends it SIGINT after each of some lines; gives its exit code, output and errors."""
    program = PREAMBLE + textwrap.dedent(code)
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    killer = threading.Timer(LIMIT, process.kill)
    killer.start()
    lines: list[str] = []
    try:
        assert process.stdout is not None
        assert process.stderr is not None
        for awaited in interrupt_after:
            for line in process.stdout:
                lines.append(line.strip())
                if lines[-1] == awaited:
                    break
            wait_until_main_thread_waits(process)
            process.send_signal(signal.SIGINT)
        # communicate() would not see the lines that have been read ahead.
        output, errors = process.stdout.read(), process.stderr.read()
        process.wait()
    finally:
        killer.cancel()
        killer.join()
        process.kill()
        process.communicate()
    return process.returncode, lines + output.splitlines(), errors


@pytest.mark.parametrize("return_when", ["ALL_COMPLETED", "FIRST_EXCEPTION"])
def test_ctrl_c_while_results_waits_comes_out_at_once_and_the_calls_go_on(return_when: str) -> None:
    code = f"""
        go = threading.Event()
        calls = parallel(go.wait)(20)
        try:
            print("waiting", flush=True)
            calls.results(return_when=ReturnWhen.{return_when})
        except KeyboardInterrupt:
            go.set()
            print("interrupted", calls.results(return_when=ReturnWhen.{return_when}))
    """
    assert run(code, "waiting") == (0, ["waiting", "interrupted (True,)"], "")


def test_ctrl_c_while_entering_leaves_nothing_entered() -> None:
    code = """
        go = threading.Event()
        try:
            with parallel(Manager("a")).parallel(Manager("b", go)):
                print("body")
        except KeyboardInterrupt:
            say("interrupted")
            go.set()
    """
    status, lines, errors = run(code, "entering b")
    assert (status, errors) == (0, "")
    # The manager that was still entering is exited after the interruption has come out.
    exits = ["exit a KeyboardInterrupt", "exit b KeyboardInterrupt"]
    assert sorted(lines) == ["entering a", "entering b", *exits, "interrupted"]
    assert lines.index("interrupted") < lines.index("exit b KeyboardInterrupt")


def test_ctrl_c_while_leaving_exits_the_others_with_it() -> None:
    code = """
        class Slow(Manager):
            def __exit__(self, *_):
                print("leaving", flush=True)
                go.wait(20)
        go = threading.Event()
        try:
            with parallel(Manager("a")).parallel(Slow("b")):
                pass
        except KeyboardInterrupt:
            go.set()
            print("interrupted")
    """
    status, lines, errors = run(code, "leaving")
    assert (status, errors) == (0, "")
    assert lines[-2:] == ["exit a KeyboardInterrupt", "interrupted"]


def test_a_second_ctrl_c_while_leaving_exits_every_manager_once_all_the_same() -> None:
    code = """
        class Slow(Manager):
            def __exit__(self, *details):
                say("leaving", self.name)
                go.wait(20)
                super().__exit__(*details)
        go = threading.Event()
        try:
            with parallel(Manager("first")).parallel(Slow("second")).parallel(Slow("third")):
                pass
        except KeyboardInterrupt:
            say("interrupted")
            go.set()
    """
    status, lines, errors = run(code, "leaving third", "leaving second")
    assert (status, errors) == (0, "")
    exits = ["exit first KeyboardInterrupt", "exit second KeyboardInterrupt", "exit third None"]
    assert sorted(line for line in lines if line.startswith("exit")) == exits
    assert lines.index("interrupted") < lines.index("exit third None")


def test_a_second_ctrl_c_while_leaving_in_parallel_exits_every_manager_once() -> None:
    code = """
        class Slow(Manager):
            def __exit__(self, *details):
                say("leaving", self.name)
                assert go.wait(20)
                super().__exit__(*details)
        def interrupt(*details):
            say("interrupt")
            signal.default_int_handler(*details)
        signal.signal(signal.SIGINT, interrupt)
        go = threading.Event()
        try:
            with parallel(Manager("first"), parallel_exit=True).parallel(Slow("second")).parallel(Slow("third")):
                pass
        except KeyboardInterrupt as error:
            say("interrupted", type(error.__context__).__name__)
            go.set()
    """
    status, lines, errors = run(code, "leaving second", "interrupt")
    assert (status, errors) == (0, "")
    assert lines.count("interrupt") == 2
    exits = ["exit first None", "exit second None", "exit third None"]
    assert sorted(line for line in lines if line.startswith("exit")) == exits
    interrupted = lines.index("interrupted KeyboardInterrupt")
    assert lines.index("exit first None") < interrupted
    assert sorted(lines[interrupted + 1 :]) == exits[1:]


@pytest.mark.parametrize("parallel_exit", [False, True])
def test_a_second_ctrl_c_after_an_interrupted_enter_leaves_nothing_entered(parallel_exit: bool) -> None:
    code = f"""
        class Slow(Manager):
            def __exit__(self, *details):
                say("leaving", self.name)
                assert go.wait(20)
                super().__exit__(*details)
        class Straggler(Manager):
            def __enter__(self):
                while len(entered) < 2:  # The others.
                    time.sleep(0.001)
                return super().__enter__()
        go = threading.Event()
        block = parallel(Manager("first"), parallel_exit={parallel_exit})
        try:
            with block.parallel(Slow("second")).parallel(Straggler("third", go)):
                say("body")
        except KeyboardInterrupt as error:
            say("interrupted", type(error.__context__).__name__)
            go.set()
    """
    status, lines, errors = run(code, "entering third", "leaving second")
    assert (status, errors) == (0, "")
    assert "body" not in lines
    exits = [f"exit {name} KeyboardInterrupt" for name in ("first", "second", "third")]
    assert sorted(line for line in lines if line.startswith("exit")) == exits
    interrupted = lines.index("interrupted KeyboardInterrupt")
    assert lines.index(exits[0]) < interrupted
    assert sorted(lines[interrupted + 1 :]) == exits[1:]


OUTLIVE_MAIN_THREAD = """
def outlive_main_thread():
    while threading.main_thread().is_alive():
        time.sleep(0.01)
    say("waited for")
    time.sleep(60)
"""


def reported(errors: str) -> set[str]:
    """What a process complained of, without where that came from."""
    lines = errors.splitlines()
    return {line.rstrip(": ") for line in lines if not line.startswith((" ", "Traceback", "Exception ignored"))}


@starts_threads_at_exit
def test_ctrl_c_at_the_exit_gives_up_waiting_for_calls() -> None:
    status, lines, errors = run(OUTLIVE_MAIN_THREAD + "parallel(outlive_main_thread)()", "waited for")
    assert lines == ["waited for"]
    assert status in (0, 1, -signal.SIGINT)
    assert reported(errors) <= {"KeyboardInterrupt"}


@starts_threads_at_exit
def test_a_second_ctrl_c_after_the_main_program_gives_up_waiting_for_calls() -> None:
    code = """
        calls = parallel(outlive_main_thread)()
        say("waiting")
        calls.results()
    """
    status, lines, errors = run(OUTLIVE_MAIN_THREAD + textwrap.dedent(code), "waiting", "waited for")
    assert lines == ["waiting", "waited for"]
    assert status in (1, -signal.SIGINT)
    assert reported(errors) == {"KeyboardInterrupt"}
