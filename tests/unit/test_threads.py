"""The accounting of threads: reuse, idle ends, surplus, and what exceptions leave."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from contextlib import suppress
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

from helpers import LIMIT, InterruptError, Rotation, Uncaught, moments, wait_until
from parallel import ParallelExecutor, _process, _sync, _thread, _threads, _work_queue, parallel, parallel_map
from parallel._thread import IDLE_NAME, ReusableThread
from parallel._threads import Threads
from parallel._work_queue import WorkQueue


class Task:
    """A runnable that calls a function."""

    is_suspended = False
    cancellable = None

    def __init__(self, func: Callable[[], object], name: str = "task") -> None:
        self.name = name
        self.has_run = False
        self.is_withdrawn = False
        self._func = [func]

    def run(self) -> None:
        with suppress(IndexError):
            func = self._func.pop()
            self.has_run = True
            func()

    def withdraw(self) -> bool:
        with suppress(IndexError):
            self._func.pop()
            self.is_withdrawn = True
            return True
        return False

    def dismiss(self) -> None:
        """Does nothing: a task is never suspended."""


class OwnThreads(Threads):
    """Threads that a test can count, and that end with it."""

    def __init__(self) -> None:
        self._before = set(threading.enumerate())
        self.unfinished: set[Any] = set()
        super().__init__(self.unfinished, {}, daemon=True)

    def start_task(self, func: Callable[[], object] = int, name: str = "task") -> Task:
        return self.start(Task, (func, name))

    def run(self, func: Callable[[], object]) -> None:
        """Runs ``func`` on a thread, and waits until that is idle."""
        self.start_task(func)
        wait_until(lambda: not self.unfinished)

    def run_together(self, number: int) -> None:
        """Has ``number`` threads run something at the same time, and then be idle."""
        barrier = threading.Barrier(number) if number else None
        for _ in range(number):
            assert barrier is not None
            self.start_task(partial(barrier.wait, LIMIT))
        wait_until(lambda: len(self._tokens) == self._queue.count_waiting() == number)

    def count(self) -> int:
        return len(set(threading.enumerate()) - self._before)

    def settle(self) -> None:
        """Waits until all threads are idle."""
        wait_until(lambda: not self.unfinished and self._queue.count_waiting() == self.count())

    def end(self) -> None:
        """Ends all threads."""
        self.settle()
        self.keep_none_idle()
        wait_until(lambda: not self.count())


@pytest.fixture
def threads() -> Iterator[OwnThreads]:
    """Threads of the test's own, so that none is idle yet."""
    own = OwnThreads()
    yield own
    own.end()


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> Iterator[_process.Pool]:
    """A pool of the test's own."""
    own = _process.Pool()
    with monkeypatch.context() as patch:
        patch.setattr(_process, "pool", own)
        yield own
    own.keep_none_idle()


def begin_and_wait(begun: threading.Event, release: threading.Event) -> None:
    begun.set()
    assert release.wait(LIMIT)


# Reuse


def test_idle_thread_takes_the_next_runnable(threads: OwnThreads) -> None:
    idents = set()
    for _ in range(20):
        threads.run(lambda: idents.add(threading.get_ident()))
    assert len(idents) == 1
    assert threads.count() == 1


WAYS_TO_CALL: list[Callable[[Callable[[], int]], Any]] = [
    ParallelExecutor.execute_one,
    ParallelExecutor().submit,
    lambda func: parallel(func)().futures[0],
    lambda func: parallel(int)().parallel(func)().futures[1],
    lambda func: parallel_map(lambda _: func(), range(2)).futures[1],
]
"""Each returns the future of the call."""


@pytest.mark.parametrize("start", WAYS_TO_CALL, ids=["execute_one", "submit", "parallel", "chain", "map"])
def test_every_way_to_call_reuses_idle_threads(pool: _process.Pool, start: Callable[..., Any]) -> None:
    idents = set()
    for _ in range(10):
        start(lambda: idents.add(threading.get_ident())).result(LIMIT)
        wait_until(lambda: not pool.unfinished)
    assert len(idents) <= 2


def test_runnable_is_performed_at_once_while_all_threads_are_busy(threads: OwnThreads) -> None:
    release = threading.Event()
    for number in range(1, 20):
        begun = threading.Event()
        threads.start_task(partial(begin_and_wait, begun, release))
        assert begun.wait(LIMIT)
        assert threads.count() == number
    release.set()


def test_one_thread_performs_what_little_there_is(threads: OwnThreads) -> None:
    # So the idle time of the others passes.
    threads.run_together(20)
    idents = set()
    for _ in range(40):
        threads.run(lambda: idents.add(threading.get_ident()))
        wait_until(lambda: threads._queue.count_waiting() == 20)
    assert len(idents) == 1


def test_thread_has_the_name_of_what_it_performs(threads: OwnThreads) -> None:
    names: list[str] = []
    note = lambda: names.append(threading.current_thread().name)
    for name in ["first", "second", "second", IDLE_NAME]:
        task = threads.start_task(note, name)
        wait_until(lambda: not threads.unfinished)
        assert task.has_run
    threads.start_all([Task(note, "third")])
    wait_until(lambda: not threads.unfinished)
    assert names == ["first", "second", "second", IDLE_NAME, "third"]
    (thread,) = set(threading.enumerate()) - threads._before
    assert isinstance(thread, ReusableThread)
    wait_until(lambda: thread.name == IDLE_NAME)


# The end of idle threads


def test_thread_ends_when_no_runnable_comes(threads: OwnThreads, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _threads.IDLE_SECONDS == 10  # It is promised.
    monkeypatch.setattr(_threads, "IDLE_SECONDS", 0.01)
    barrier = threading.Barrier(20)
    for _ in range(20):
        threads.start_task(lambda: barrier.wait(LIMIT))
    wait_until(lambda: not threads.count())
    assert len(threads._tokens) == 0
    threads.run(int)


def test_surplus_of_idle_threads_ends_at_once(threads: OwnThreads) -> None:
    assert threads._most_idle == _threads.MOST_IDLE == 1_000  # It is promised.
    threads._most_idle = 5
    releases = [threading.Event() for _ in range(20)]
    for release in releases:
        threads.start_task(partial(release.wait, LIMIT))
    for number, release in enumerate(releases, start=1):
        release.set()
        idle = min(number, 5)
        wait_until(lambda: len(threads._tokens) == idle and threads.count() == 20 - number + idle)  # noqa: B023
    threads.run(int)
    wait_until(lambda: threads.count() == len(threads._tokens) == 5)


def test_surplus_that_becomes_idle_together_ends(threads: OwnThreads) -> None:
    threads._most_idle = 2
    barrier = threading.Barrier(20)
    for _ in range(20):
        threads.start_task(lambda: barrier.wait(LIMIT))
    wait_until(lambda: threads.count() == len(threads._tokens) == 2)


def test_all_idle_threads_end_when_they_are_told_to(threads: OwnThreads) -> None:
    release, begun = threading.Event(), threading.Event()
    threads.run_together(5)
    threads.start_task(partial(begin_and_wait, begun, release))
    assert begun.wait(LIMIT)
    assert threads.end_idle().wait(LIMIT)
    wait_until(lambda: threads.count() == 1)
    release.set()
    wait_until(lambda: len(threads._tokens) == 1)
    assert threads.count() == 1
    assert threads.end_idle().wait(LIMIT)
    assert threads.end_idle().is_open  # No thread is left.


def test_busy_threads_end_later_when_none_may_be_idle(threads: OwnThreads) -> None:
    release = threading.Event()
    for _ in range(3):
        threads.start_task(partial(release.wait, LIMIT))
    threads.start_task()
    wait_until(lambda: len(threads._tokens) == 1)
    threads.keep_none_idle()
    wait_until(lambda: threads.count() == 3)
    release.set()
    wait_until(lambda: not threads.count())


class NotingQueue(WorkQueue[Any]):
    """A queue that notes for how long threads wait."""

    def __init__(self) -> None:
        super().__init__()
        self.timeouts: list[float | None] = []

    def get(self, wakeup: Any, timeout: float | None = None) -> Any:
        self.timeouts.append(timeout)
        return super().get(wakeup, timeout)


def assert_apart(timeouts: list[float | None]) -> None:
    seconds = [timeout for timeout in timeouts if timeout is not None]
    assert len(seconds) == 20
    assert seconds[0] == pytest.approx(10, rel=0.01)
    apart = [later - sooner for sooner, later in zip(seconds, seconds[1:])]
    assert apart == [pytest.approx(_threads.SECONDS_APART)] * 19


def test_threads_that_became_idle_together_do_not_end_together(threads: OwnThreads) -> None:
    queue = threads._queue = NotingQueue()
    releases = [threading.Event() for _ in range(20)]
    for release in releases:
        threads.start_task(partial(release.wait, LIMIT))
    wait_until(lambda: not queue.count_waiting() and not queue._items)
    queue.timeouts.clear()
    for number, release in enumerate(releases, start=1):
        release.set()
        wait_until(lambda: len(queue.timeouts) == number)  # noqa: B023  # It is called here.
    assert_apart(queue.timeouts)


def test_threads_that_are_started_together_do_not_end_together(
    threads: OwnThreads, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = threads._queue = NotingQueue()
    start = threading.Thread.start

    def start_and_wait(thread: threading.Thread) -> None:
        before = queue.count_waiting()
        start(thread)
        wait_until(lambda: queue.count_waiting() > before)

    with monkeypatch.context() as patch:
        patch.setattr(ReusableThread, "start", start_and_wait)
        threads.start_all([Task(int) for _ in range(20)])
    assert_apart(queue.timeouts[:20])


# Exceptions


def refuse() -> None:
    raise InterruptError


def test_runnable_that_is_refused_is_not_performed(threads: OwnThreads) -> None:
    for idle in [0, 1]:
        threads.run_together(idle)
        task = Task(int)
        with pytest.raises(InterruptError):
            threads.start(lambda: task, (), refuse)  # noqa: B023  # It is called here.
        threads.settle()
        assert task.is_withdrawn
        assert len(threads._tokens) == threads.count() == idle


def test_runnable_that_cannot_be_made_takes_no_token(threads: OwnThreads) -> None:
    for idle in [0, 1]:
        threads.run_together(idle)
        with pytest.raises(InterruptError):
            threads.start(refuse, ())  # type: ignore[type-var]  # It makes none.
        threads.settle()
        assert len(threads._tokens) == threads.count() == idle


def test_runnable_for_which_there_is_no_thread_is_not_performed(
    threads: OwnThreads, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start_none(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    task = Task(int)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start_none)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            threads.start(lambda: task, ())
    assert task.is_withdrawn
    assert not threads.unfinished
    assert not threads._tokens


def refuse_threads(patch: pytest.MonkeyPatch, *, after: int) -> None:
    """Has the system refuse a thread after so many."""
    count: list[None] = []
    start = threading.Thread.start

    def start_or_refuse(thread: threading.Thread) -> None:
        if len(count) == after:
            raise RuntimeError("can't start new thread")
        count.append(None)
        start(thread)

    patch.setattr(threading.Thread, "start", start_or_refuse)


def test_threads_that_were_started_in_vain_end(threads: OwnThreads, monkeypatch: pytest.MonkeyPatch) -> None:
    threads._most_idle = 5
    monkeypatch.setattr(_threads, "IDLE_SECONDS", 10 * LIMIT)
    with monkeypatch.context() as patch:
        refuse_threads(patch, after=20)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            threads.start_all([Task(int) for _ in range(21)])
    wait_until(lambda: threads.count() == len(threads._tokens) == 5)


def test_all_are_started_or_none(threads: OwnThreads, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_threads(monkeypatch, after=3)
    tasks = [Task(int) for _ in range(10)]
    with pytest.raises(RuntimeError, match="can't start new thread"):
        threads.start_all(tasks)
    assert all(task.is_withdrawn and not task.has_run for task in tasks)
    # Three threads are idle, and the system has no other.
    assert len(threads._tokens) == threads.count() == 3
    barrier = threading.Barrier(3)
    threads.start_all([Task(lambda: barrier.wait(LIMIT)) for _ in range(3)])
    wait_until(lambda: len(threads._tokens) == 3)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        threads.start_all([Task(int) for _ in range(4)])
    wait_until(lambda: len(threads._tokens) == 3)


MODULES = (_threads, _thread, _work_queue, _sync)
ROTATION: Rotation[type[BaseException]] = Rotation([KeyboardInterrupt, RuntimeError, IndexError])


def assert_accounting_holds(threads: OwnThreads, tasks: list[Task]) -> None:
    threads.settle()
    assert all(task.has_run is not task.is_withdrawn for task in tasks)
    assert len(threads._tokens) == threads.count()
    barrier = threading.Barrier(3)
    threads.start_all([Task(partial(barrier.wait, LIMIT)) for _ in range(2)])
    threads.start_task(partial(barrier.wait, LIMIT))
    threads.settle()
    assert not barrier.broken
    threads.end()


@pytest.mark.parametrize(("idle", "error"), ROTATION.pairs([0, 1, 2]))
def test_accounting_holds_when_a_start_is_interrupted_anywhere(error: type[BaseException], idle: int) -> None:
    for moment in moments(*MODULES):
        threads, task = OwnThreads(), Task(int)
        threads.run_together(idle)
        moment.interrupt(error, threads.start, lambda: task, (), int)  # noqa: B023  # It is called here.
        if task not in threads.unfinished and not task.has_run:
            task.withdraw()  # The exception came before the task was made.
        assert_accounting_holds(threads, [task])


@pytest.mark.parametrize(("idle", "error"), ROTATION.pairs([0, 1, 3]))
def test_accounting_holds_when_starts_are_interrupted_anywhere(error: type[BaseException], idle: int) -> None:
    for moment in moments(*MODULES):
        threads, tasks = OwnThreads(), [Task(int) for _ in range(2)]
        threads.run_together(idle)
        moment.interrupt(error, threads.start_all, tasks)
        for task in tasks:
            if task not in threads.unfinished and not task.has_run:
                task.withdraw()  # The exception came before anything was started.
        assert_accounting_holds(threads, tasks)


@pytest.mark.parametrize("idle", [0, 1, 2])
def test_accounting_holds_when_a_start_comes_in_the_middle_of_another(idle: int) -> None:
    for moment in moments(*MODULES):
        threads = OwnThreads()
        threads.run_together(idle)
        tasks: list[Task] = []

        def start_and_wait() -> None:
            # As a finalizer or a signal handler that waits for what it starts.
            task = threads.start_task()  # noqa: B023  # It is called in this round.
            tasks.append(task)  # noqa: B023  # As above.
            wait_until(lambda: task.has_run)

        tasks.append(moment.during(threads.start, Task, (int,), happen=start_and_wait))
        assert_accounting_holds(threads, tasks)


def test_threads_that_start_others_and_end_at_once_keep_the_accounting(threads: OwnThreads) -> None:
    numbers: list[int] = []

    def start_many(first: int) -> None:
        for number in range(first, first + 200):
            threads.start_task(partial(numbers.append, number))

    for first in range(0, 800, 200):
        threads.start_task(partial(start_many, first))
    threads.settle()
    assert sorted(numbers) == list(range(800))
    assert len(threads._tokens) == threads.count()


def test_exception_of_a_runnable_ends_no_thread(threads: OwnThreads, uncaught: list[Uncaught]) -> None:
    errors: list[BaseException] = [SystemExit(), KeyboardInterrupt(), GeneratorExit(), ValueError()]

    def fail(error: BaseException) -> None:
        raise error

    for error in errors:
        threads.run(partial(fail, error))
        wait_until(lambda: len(threads._tokens) == 1)
    assert [report.exc_value for report in uncaught] == errors
    assert {report.thread_name for report in uncaught} == {"task"}
    assert threads.count() == 1


# The process


def test_pool_can_be_waited_for_until_a_runnable_has_ended(pool: _process.Pool) -> None:
    release = threading.Event()
    task = pool.start(Task, partial(release.wait, LIMIT))
    waiting = ParallelExecutor.execute_one(pool.wait_for, task)
    wait_until(lambda: task in pool._awaited)
    assert not waiting.done()
    release.set()
    assert waiting.result(LIMIT) is None
    assert task not in pool.unfinished
    assert not pool._awaited


@pytest.mark.parametrize("idle", [0, 1])
def test_exit_waits_for_what_starts_as_the_main_thread_ends(pool: _process.Pool, idle: int) -> None:
    release = threading.Event()

    def make_task() -> Task:
        pool.end_with_main_thread()  # It sees nothing to wait for.
        return Task(partial(release.wait, LIMIT))

    def waits() -> bool:
        return any(thread.name == "parallel (exit)" for thread in threading.enumerate())

    if idle:
        pool.start(Task, int)
        wait_until(lambda: pool._threads._tokens)
    try:
        threading.Thread(target=pool.start, args=(make_task,)).start()
        wait_until(waits)
    finally:
        release.set()
    wait_until(lambda: not waits())


# Waits


PROGRAM = """
import os, threading
from parallel import ReturnWhen, _threads, parallel, parallel_contexts, parallel_map

_threads.IDLE_SECONDS = 600  # An idle thread does not end meanwhile.

def block(*_):
    print("blocks", flush=True)
    os.read(0, 1)  # For ever.

def nothing(*_):
    pass

class Manager:
    def __init__(self, enter=nothing, exit=nothing):
        self.enter, self.exit = enter, exit
    def __enter__(self):
        self.enter()
    def __exit__(self, *_):
        self.exit()
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
    "exiting": """
with parallel(Manager()).parallel(Manager(exit=block)).parallel(Manager()):
    pass
""",
    "exiting all at once": """
with parallel(Manager(), parallel_exit=True).parallel(Manager(exit=block)):
    pass
""",
    "the end of the interpreter": "calls = parallel(block)()",
}


def switches(process: int) -> dict[str, list[str]]:
    """Returns how often each thread has been given a processor, or has given it up."""
    found = {}
    for task in Path(f"/proc/{process}/task").iterdir():
        with suppress(OSError):  # It has just ended.
            lines = (task / "status").read_text(encoding="utf-8").splitlines()
            found[task.name] = [line for line in lines if "ctxt_switches" in line]
    return found


@lru_cache(maxsize=None)
def sleeping_programs() -> frozenset[str]:
    """Runs all programs; returns the names of those whose threads have slept for a while, all of them if in time."""
    programs: dict[str, subprocess.Popen[str]] = {}
    asleep: set[str] = set()

    def all_sleep() -> bool:
        # A thread may be on its way to wait. A thread that polls never sleeps for so long.
        before = {name: switches(program.pid) for name, program in programs.items()}
        time.sleep(0.3)
        asleep.update(name for name, program in programs.items() if switches(program.pid) == before[name])
        return len(asleep) == len(programs)

    try:
        for name, code in WAITS.items():
            command = [sys.executable, "-c", PROGRAM + code]
            programs[name] = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for program in programs.values():
            assert program.stdout is not None
            assert program.stdout.readline() == "blocks\n"
        with suppress(AssertionError):
            wait_until(all_sleep)
    finally:
        for program in programs.values():
            program.kill()
            program.communicate()
    return frozenset(asleep)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells the context switches of each thread")
@pytest.mark.parametrize("wait", WAITS)
def test_waiting_thread_does_not_wake_up(wait: str) -> None:
    assert wait in sleeping_programs()


def test_exception_of_a_handler_that_threading_hides_in_a_start_comes_out(monkeypatch: pytest.MonkeyPatch) -> None:
    class AlarmError(Exception):
        pass

    alarm = AlarmError()
    # As when a handler raises while start() waits, and Condition.wait() then releases a lock that it does not hold.
    source = """
def start(thread):
    try:
        raise alarm
    finally:
        raise RuntimeError("release unlocked lock")
"""
    namespace: dict[str, Any] = {"__name__": threading.__name__, "alarm": alarm}
    exec(source, namespace)  # noqa: S102  # Its frame has to be one of that module.
    monkeypatch.setattr(threading.Thread, "start", namespace["start"])
    thread = ReusableThread("never started", lambda _: None, daemon=True)
    with pytest.raises(AlarmError) as caught:
        thread.start_or_withdraw()
    assert caught.value is alarm
    assert thread.withdraw()
