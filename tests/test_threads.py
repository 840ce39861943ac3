from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections import deque
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, Callable

import pytest

from conftest import LIMIT, Uncaught, wait_for_idle_threads, wait_until
from parallel import ParallelExecutor, _threads, parallel, parallel_map
from parallel.parallel_executor import Call


class Task:
    """A work that calls a function."""

    def __init__(self, func: Callable[[], object], name: str = "task") -> None:
        self.name = name
        self.func = func

    def run(self) -> None:
        self.func()


class OwnThreads(_threads._Threads):
    """Threads that a test can count."""

    def __init__(self) -> None:
        super().__init__()
        self._before = set(threading.enumerate())

    def count(self) -> int:
        return len(set(threading.enumerate()) - self._before)


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> OwnThreads:
    """Threads of the test's own, so that none is idle yet."""
    own = OwnThreads()
    monkeypatch.setattr(_threads, "current", own)
    return own


def run(func: Callable[[], object]) -> None:
    """Runs ``func`` on a thread, and waits for it."""
    done = threading.Event()

    def call() -> None:
        func()
        done.set()

    _threads.current.start(Task(call))
    assert done.wait(LIMIT)
    wait_until(lambda: not _threads.current.unfinished())


def test_an_idle_thread_takes_the_next_work(threads: OwnThreads) -> None:
    idents = set()
    for _ in range(20):
        run(lambda: idents.add(threading.get_ident()))
        wait_until(lambda: threads._tokens)
    assert len(idents) == 1
    assert threads.count() == 1


WAYS_TO_CALL: list[Callable[[Callable[[], int]], Future[int]]] = [
    ParallelExecutor.execute_one,
    ParallelExecutor().submit,
    lambda func: parallel(func)().futures[0],
    lambda func: parallel(int)().parallel(func)().futures[1],
]
"""Each gives the future of the call."""


@pytest.mark.parametrize("start", WAYS_TO_CALL, ids=["execute_one", "submit", "parallel", "chain"])
def test_an_idle_thread_is_woken_before_the_call_is_made(
    threads: OwnThreads, monkeypatch: pytest.MonkeyPatch, start: Callable[[Callable[[], int]], Future[int]]
) -> None:
    happened: list[str] = []
    works: Any = threads._works
    make = Call.__init__

    class QueueThatNotes:
        get, waiting = works.get, works.waiting

        def wake_one(self) -> None:
            happened.append("woken")
            works.wake_one()

        def put(self, work: Any) -> None:
            happened.append("put")
            works.put(work)

    def make_and_note(call: Call, *args: Any) -> None:
        happened.append("made")
        make(call, *args)

    barrier = threading.Barrier(2)
    parallel_map(lambda _: barrier.wait(LIMIT), range(2)).results()
    wait_until(lambda: len(threads._tokens) == 2)
    threads._works = QueueThatNotes()  # type: ignore[assignment]  # What a test can script.
    monkeypatch.setattr(Call, "__init__", make_and_note)
    assert start(int).result(LIMIT) == 0
    assert happened[-3:] == ["woken", "made", "put"]


def test_nobody_is_woken_for_a_call_that_needs_a_new_thread(threads: OwnThreads) -> None:
    works: Any = threads._works

    class QueueThatRefuses:
        get, put, waiting = works.get, works.put, works.waiting

        def wake_one(self) -> None:
            raise AssertionError("nobody is idle")

    threads._works = QueueThatRefuses()  # type: ignore[assignment]  # What a test can script.
    assert ParallelExecutor.execute_one(int).result(LIMIT) == 0


def test_a_thread_ends_when_no_work_comes(threads: OwnThreads, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_threads, "IDLE_SECONDS", 0.01)
    before = threading.active_count()
    barrier = threading.Barrier(20)
    for _ in range(20):
        _threads.current.start(Task(lambda: barrier.wait(LIMIT)))
    wait_until(lambda: not threads.count())
    assert len(threads._tokens) == 0
    wait_until(lambda: threading.active_count() <= before)


def test_of_very_many_idle_threads_those_that_are_too_many_end_at_once(
    threads: OwnThreads, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _threads.MOST_IDLE == 1_000  # What is promised.
    monkeypatch.setattr(_threads, "MOST_IDLE", 5)
    monkeypatch.setattr(_threads, "IDLE_SECONDS", LIMIT * 2)
    gates = [threading.Event() for _ in range(20)]
    for gate in gates:
        threads.start(Task(partial(gate.wait, LIMIT)))
    for number, gate in enumerate(gates, start=1):
        gate.set()
        idle = min(number, 5)
        wait_until(lambda: len(threads._tokens) == idle and threads.count() == 20 - number + idle)  # noqa: B023  # It is called here.
    run(lambda: None)
    wait_until(lambda: threads.count() == len(threads._tokens) == 5)


def test_threads_that_became_idle_together_do_not_end_together(threads: OwnThreads) -> None:
    timeouts: list[float] = []
    works: Any = threads._works

    class QueueThatNotes:
        put, waiting = works.put, works.waiting

        def get(self, signal: Any, timeout: float) -> Any:
            timeouts.append(timeout)
            return works.get(signal, timeout)

    threads._works = QueueThatNotes()  # type: ignore[assignment]  # What a test can script.
    gates = [threading.Event() for _ in range(20)]
    for gate in gates:
        _threads.current.start(Task(partial(gate.wait, LIMIT)))
    for number, gate in enumerate(gates, start=1):
        gate.set()
        wait_until(lambda: len(timeouts) == number)  # noqa: B023  # It is called here.
    apart = [later - sooner for sooner, later in zip(timeouts, timeouts[1:])]
    assert apart == [pytest.approx(_threads.SECONDS_APART)] * 19
    assert timeouts[0] == pytest.approx(10, rel=0.01)  # What is promised.


def test_threads_that_are_started_together_do_not_end_together(
    threads: OwnThreads, monkeypatch: pytest.MonkeyPatch
) -> None:
    timeouts: list[float] = []
    works: Any = threads._works
    start = threading.Thread.start

    class QueueThatNotes:
        put, waiting = works.put, works.waiting

        def get(self, signal: Any, timeout: float) -> Any:
            timeouts.append(timeout)
            return works.get(signal, timeout)

    def start_and_wait(thread: threading.Thread) -> None:
        before = works.waiting()
        start(thread)
        wait_until(lambda: works.waiting() > before)

    threads._works = QueueThatNotes()  # type: ignore[assignment]  # What a test can script.
    with monkeypatch.context() as patch:
        patch.setattr(_threads._Thread, "start", start_and_wait)
        threads.start_all([Task(lambda: None) for _ in range(20)])
    apart = [later - sooner for sooner, later in zip(timeouts[:20], timeouts[1:20])]
    assert apart == [pytest.approx(_threads.SECONDS_APART)] * 19
    wait_for_idle_threads()


def test_one_thread_does_what_little_there_is_so_that_the_time_of_the_others_passes(threads: OwnThreads) -> None:
    barrier = threading.Barrier(20)
    for _ in range(20):
        _threads.current.start(Task(lambda: barrier.wait(LIMIT)))
    waiting = threads._works._waiting
    wait_until(lambda: len(waiting) == 20)
    idents = set()
    for _ in range(40):
        run(lambda: idents.add(threading.get_ident()))
        wait_until(lambda: len(waiting) == 20)
    assert len(idents) == 1


def test_who_starts_a_thread_is_woken_when_it_begins_its_work(
    threads: OwnThreads, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes: list[str] = []

    class Start(_threads._Start):
        def set(self) -> None:
            super().set()
            notes.append("runs, asleep" if self._gate.locked() else "runs, awake")

        def let_go(self) -> None:
            notes.append("begins")
            super().let_go()

        def wait(self) -> None:
            super().wait()
            notes.append("goes on")

    monkeypatch.setattr(_threads, "PATIENCE", LIMIT)
    monkeypatch.setattr(_threads, "_Start", Start)
    done = threading.Event()
    threads.start(Task(done.set))
    assert notes == ["runs, asleep", "begins", "goes on"]
    assert done.wait(LIMIT)


def test_who_starts_a_thread_goes_on_though_it_waits_for_the_starter_before_it_begins(threads: OwnThreads) -> None:
    gone_on, done = threading.Event(), threading.Event()
    in_time: list[bool] = []

    def trace(frame: FrameType, *_: object) -> None:
        if frame.f_code is _threads._Thread.run.__code__:
            in_time.append(gone_on.wait(LIMIT))

    threading.settrace(trace)
    try:
        threads.start(Task(done.set))
    finally:
        threading.settrace(None)  # type: ignore[arg-type, unused-ignore]  # It may be None.
    gone_on.set()
    assert done.wait(LIMIT)
    assert in_time == [True]


def test_all_are_started_or_none(threads: OwnThreads, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[int] = []
    count: list[None] = []
    start = threading.Thread.start

    def start_three(thread: threading.Thread) -> None:
        if len(count) == 3:
            raise RuntimeError("can't start new thread")
        count.append(None)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_three)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        _threads.current.start_all([Task(partial(started.append, number)) for number in range(10)])
    assert started == []
    # The accounting holds: three threads are free, and no more can be had.
    assert len(threads._tokens) == threads.count() == 3
    barrier = threading.Barrier(3)
    _threads.current.start_all([Task(lambda: barrier.wait(LIMIT)) for _ in range(3)])
    wait_until(lambda: len(threads._tokens) == 3)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        _threads.current.start_all([Task(lambda: None) for _ in range(4)])
    wait_until(lambda: len(threads._tokens) == 3)


PROGRAM = """
import os, threading
from parallel import ReturnWhen, _threads, parallel, parallel_contexts, parallel_map

_threads.IDLE_SECONDS = 600  # Who is idle, and polls, is not to end meanwhile.

def block(*_):
    print("blocks", flush=True)
    os.read(0, 1)  # For ever.

def nothing(*_):
    pass

class Manager:
    def __init__(self, enter=nothing, leave=nothing):
        self.enter, self.leave = enter, leave
    def __enter__(self):
        self.enter()
    def __exit__(self, *_):
        self.leave()
"""

WAITS = {
    "idle": """
barrier = threading.Barrier(50)
parallel_map(lambda _: barrier.wait(), range(50)).results()
block()
""",
    "entered": """
with parallel_contexts(Manager() for _ in range(50)):
    block()
""",
    "results": "parallel(int)().parallel(block)().results()",
    "results with a timeout": "parallel(int)().parallel(block)().results(timeout=600)",
    "results until an exception": "parallel(int)().parallel(block)().results(return_when=ReturnWhen.FIRST_EXCEPTION)",
    "entering": """
with parallel(Manager()).parallel(Manager(enter=block)):
    pass
""",
    "entering with a timeout": """
with parallel(Manager(), timeout=600).parallel(Manager(enter=block)):
    pass
""",
    "leaving": """
with parallel(Manager()).parallel(Manager(leave=block)).parallel(Manager()):
    pass
""",
    "leaving all at once": """
with parallel(Manager(), parallel_exit=True).parallel(Manager(leave=block)):
    pass
""",
    "the end of the interpreter": "calls = parallel(block)()",
}


def switches(process: int) -> dict[str, list[str]]:
    """How often each thread has been given a processor, or has given it up."""
    found = {}
    for task in Path(f"/proc/{process}/task").iterdir():
        with suppress(OSError):  # It has just ended.
            lines = (task / "status").read_text(encoding="utf-8").splitlines()
            found[task.name] = [line for line in lines if "ctxt_switches" in line]
    return found


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts context switches as Linux does")
@pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS.keys())
def test_nobody_who_waits_wakes_up(wait: str) -> None:
    def all_sleep() -> bool:
        before = switches(child.pid)
        time.sleep(0.3)
        return switches(child.pid) == before

    command = [sys.executable, "-c", PROGRAM + wait]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == "blocks\n"
            # It may be on its way to wait. Who polls never sleeps for so long.
            wait_until(all_sleep)
        finally:
            child.kill()


def test_what_a_work_raises_takes_no_thread_down(threads: OwnThreads, uncaught: list[Uncaught]) -> None:
    errors: list[BaseException] = [SystemExit(), KeyboardInterrupt(), GeneratorExit(), ValueError()]

    def fail(error: BaseException) -> None:
        raise error

    for error in errors:
        _threads.current.start(Task(partial(fail, error)))
        wait_until(lambda: len(threads._tokens) == 1)
    assert [report.exc_value for report in uncaught] == errors
    assert {report.thread_name for report in uncaught} == {"task"}
    assert threads.count() == 1


@pytest.mark.parametrize("idle", [0, 1])
def test_the_exit_waits_for_what_is_being_started_as_the_main_thread_ends(threads: OwnThreads, idle: int) -> None:
    class Tokens(deque):  # type: ignore[type-arg]  # Below 3.9 it cannot be subscribed.
        def pop(self) -> Any:  # type: ignore[override]  # It is called without an index.
            if not threads._main_thread_ended:
                threads.end_with_main_thread()  # It sees nothing to wait for.
            return super().pop()

    def waits() -> bool:
        return any(thread.name == "parallel (exit)" for thread in threading.enumerate())

    if idle:
        _threads.current.start(Task(lambda: None))
        wait_until(lambda: threads._tokens)
    threads._tokens = Tokens(threads._tokens)
    gate = threading.Event()
    try:
        _threads.current.start(Task(partial(gate.wait, LIMIT)))
        wait_until(waits)
    finally:
        gate.set()
    wait_until(lambda: not waits())
