"""Debuggers, profilers and coverage see every call, as if each had a new thread; and so do thread names."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Callable, Iterator

import pytest

from helpers import IDLE_NAME, LIMIT, Uncaught, count_idle_threads, getprofile, gettrace, wait_for_idle_threads
from parallel import ParallelExecutor, parallel, parallel_contexts, parallel_map


@pytest.fixture(autouse=True)
def trace_functions_are_restored() -> Iterator[None]:
    """Leaves no trace function to other tests, and takes that of coverage away for the time of one."""
    trace, profile = gettrace(), getprofile()
    threading.settrace(None)
    threading.setprofile(None)
    yield
    threading.settrace(trace)
    threading.setprofile(profile)


class Tracer:
    """Notes which functions of this file were called, and which of their lines ran, relative to their first."""

    def __init__(self) -> None:
        self.called: list[str] = []
        self.lines: list[int] = []

    def __call__(self, frame: FrameType, event: str, argument: object) -> Tracer:
        if frame.f_code.co_filename == __file__:
            if event == "call":
                self.called.append(frame.f_code.co_name)
            elif event == "line":
                self.lines.append(frame.f_lineno - frame.f_code.co_firstlineno)
        return self


def first() -> None:
    pass


def second() -> None:
    pass


def branching(number: int) -> int:
    if number < 0:
        number = -number
    else:
        number += 1
    return number


class Manager:
    def __enter__(self) -> str:
        return threading.current_thread().name

    def __exit__(self, *_: object) -> None:
        pass


def call(func: Callable[..., object], *args: object) -> None:
    """Makes a call on a thread that has run one before, and waits until it is idle again."""
    wait_for_idle_threads()
    assert count_idle_threads() or ParallelExecutor.execute_one(int).result(LIMIT) == 0
    wait_for_idle_threads()
    ParallelExecutor.execute_one(func, *args).exception(LIMIT)
    wait_for_idle_threads()


SETTERS: dict[str, tuple[Callable[[Any], None], Callable[[Any], None], Callable[[], Any]]] = {
    "trace": (threading.settrace, sys.settrace, sys.gettrace),
    "profile": (threading.setprofile, sys.setprofile, sys.getprofile),
}
both_kinds = pytest.mark.parametrize(("set_for_threads", "set_here", "get_here"), SETTERS.values(), ids=SETTERS.keys())
Setter = Callable[[Any], None]
Getter = Callable[[], Any]


@both_kinds
def test_every_call_is_traced_on_new_and_on_reused_threads(
    set_for_threads: Setter, set_here: Setter, get_here: Getter
) -> None:
    tracer = Tracer()
    call(first)
    set_for_threads(tracer)
    call(first)
    barrier = threading.Barrier(10)

    def meet(_: int) -> None:
        barrier.wait(LIMIT)

    parallel_map(meet, range(10)).results()
    set_for_threads(None)
    assert tracer.called.count("first") == 1
    assert tracer.called.count("meet") == 10


@both_kinds
def test_a_reused_thread_keeps_no_stale_function(set_for_threads: Setter, set_here: Setter, get_here: Getter) -> None:
    old, new = Tracer(), Tracer()
    seen: list[Any] = []
    for function in (old, new, None):
        set_for_threads(function)
        call(lambda: seen.append(get_here()))
    assert seen == [old, new, None]


@both_kinds
def test_a_function_that_a_call_sets_is_gone_with_the_call(
    set_for_threads: Setter, set_here: Setter, get_here: Getter
) -> None:
    left = Tracer()
    seen: list[Any] = []
    for _ in range(3):
        call(lambda: set_here(left))
        call(lambda: seen.append(get_here()))
        call(first)
    assert seen == [None] * 3
    assert left.called == []


@both_kinds
def test_a_function_that_a_call_takes_away_is_there_for_the_next(
    set_for_threads: Setter, set_here: Setter, get_here: Getter
) -> None:
    tracer = Tracer()
    seen: list[Any] = []
    set_for_threads(tracer)
    for _ in range(3):
        call(lambda: set_here(None))
        call(lambda: seen.append(get_here()))
    assert seen == [tracer] * 3


@both_kinds
def test_managers_are_traced_entering_and_exiting(set_for_threads: Setter, set_here: Setter, get_here: Getter) -> None:
    tracer = Tracer()
    call(first)
    set_for_threads(tracer)
    with parallel(Manager()).parallel(Manager()):
        assert tracer.called.count("__enter__") == 2
        assert tracer.called.count("__exit__") == 0
    wait_for_idle_threads()
    set_for_threads(None)
    assert tracer.called.count("__exit__") == 2


def test_every_line_of_every_call_is_seen() -> None:
    # What measuring the coverage of calls takes.
    for number, lines in ((-1, [1, 2, 5]), (1, [1, 4, 5]), (-1, [1, 2, 5])):
        tracer = Tracer()
        threading.settrace(tracer)
        call(branching, number)
        assert tracer.called == ["branching"]
        assert tracer.lines == lines


def test_done_callbacks_are_traced() -> None:
    tracer = Tracer()
    threading.settrace(tracer)
    go = threading.Event()
    future = ParallelExecutor.execute_one(go.wait, LIMIT)
    future.add_done_callback(lambda _: first())
    go.set()
    wait_for_idle_threads()
    assert tracer.called.count("first") == 1


def test_a_trace_function_that_raises_fails_the_call_and_takes_no_thread_down(uncaught: list[Uncaught]) -> None:
    class TraceError(Exception):
        pass

    def raising(frame: FrameType, event: str, argument: object) -> Any:
        if frame.f_code is second.__code__:
            raise TraceError
        return None

    threading.settrace(raising)
    with pytest.raises(TraceError):
        ParallelExecutor.execute_one(second).result(LIMIT)
    wait_for_idle_threads()
    threading.settrace(None)  # type: ignore[arg-type, unused-ignore]  # It may be None.
    call(second)
    assert uncaught == []


@pytest.mark.skipif(sys.version_info < (3, 12), reason="3.12 brought settrace_all_threads")
def test_a_trace_function_set_for_all_running_threads_is_neither_lost_nor_left() -> None:
    tracer = Tracer()
    call(first)
    threading.settrace_all_threads(tracer)  # type: ignore[attr-defined, unused-ignore]  # As above.
    try:
        call(first)
    finally:
        threading.settrace_all_threads(None)  # type: ignore[attr-defined, unused-ignore]  # As above.
    call(first)
    assert tracer.called.count("first") == 1


COVERED = """
import threading
from parallel import ParallelExecutor, parallel

def on_a_new_thread():
    return threading.get_ident()  # seen

def on_a_reused_thread():
    return threading.get_ident()  # seen

def never_called():
    return 0  # unseen

class Manager:
    def __enter__(self):
        self.thread = threading.get_ident()  # seen

    def __exit__(self, *_):
        if self.thread != threading.get_ident():  # seen
            return True  # unseen

ident = ParallelExecutor.execute_one(on_a_new_thread).result()
while ParallelExecutor.execute_one(on_a_reused_thread).result() != ident:
    pass  # The thread was not idle yet.
with parallel(Manager()).parallel(Manager()):
    pass
"""


broken_by_tracing = pytest.mark.skipif(
    sys.version_info < (3, 9), reason="3.8 loses a part of typing_extensions that is imported while a function traces"
)


@pytest.mark.parametrize("core", ["default", pytest.param("pytrace", marks=broken_by_tracing)])
def test_coverage_sees_the_lines_of_calls_and_managers(tmp_path: Path, core: str) -> None:
    coverage = pytest.importorskip("coverage")
    program, data = tmp_path / "program.py", tmp_path / "data"
    program.write_text(COVERED, encoding="utf-8")
    command = [sys.executable, "-m", "coverage", "run", f"--data-file={data}", "--include=program.py", str(program)]
    environment = dict(os.environ)
    if core != "default":  # From 3.14 on, that needs no trace function.
        environment["COVERAGE_CORE"] = core
    subprocess.run(command, cwd=tmp_path, env=environment, timeout=LIMIT, check=True)
    found = coverage.CoverageData(str(data))
    found.read()
    (file,) = found.measured_files()
    marks = {number: line.rpartition("# ")[2] for number, line in enumerate(COVERED.splitlines(), start=1)}
    ran = [marks[number] for number in sorted(found.lines(file))]
    assert ran.count("seen") == list(marks.values()).count("seen") == 4
    assert "unseen" not in ran


# Names


def name() -> str:
    return threading.current_thread().name


class Names:
    def method(self) -> str:
        return name()

    def __call__(self) -> str:
        return name()

    @staticmethod
    def static() -> str:
        return name()


def local_function() -> Callable[[], str]:
    def inner() -> str:
        return name()

    return inner


NAMED = [
    (name, "name"),
    (Names().method, "Names.method"),
    (Names.static, "Names.static"),
    (Names(), "Names"),
    (lambda: name(), "<lambda>"),
    (local_function(), "inner"),
    (functools.partial(functools.partial(name)), "name"),
]


@pytest.mark.parametrize(("func", "expected"), NAMED)
def test_a_thread_is_named_after_the_function_that_it_runs(func: Callable[[], str], expected: str) -> None:
    with ParallelExecutor() as executor:
        assert executor.submit(func).result(LIMIT) == expected
    assert ParallelExecutor.execute_one(func).result(LIMIT) == expected
    assert ParallelExecutor.execute(func)[0].result(LIMIT) == expected
    assert parallel(func)().results() == (expected,)


def test_each_call_of_a_map_is_named_after_the_function() -> None:
    def of_the_map(_: int) -> str:
        return name()

    assert parallel_map(of_the_map, range(3)).results() == ("of_the_map",) * 3


def test_the_thread_of_a_manager_has_its_name_from_enter_to_exit() -> None:
    seen: list[str] = []

    @contextmanager
    def connection() -> Iterator[str]:
        yield name()
        seen.append(name())

    with parallel(Manager()).parallel(connection()) as values:
        assert values == ("Manager", "connection")
        names = [thread.name for thread in threading.enumerate()]
        assert "Manager" in names
        assert "connection" in names
    assert seen == ["connection"]


def test_a_thread_has_an_idle_name_between_calls_whatever_a_call_sets() -> None:
    threads: list[threading.Thread] = []

    def rename() -> None:
        threads.append(threading.current_thread())
        threads[0].name = "renamed by a call"

    call(rename)
    assert threads[0].name == IDLE_NAME
    call(first)
    assert "renamed by a call" not in [thread.name for thread in threading.enumerate()]
    assert name() == threading.main_thread().name


@pytest.mark.parametrize("odd", ["", " ", "a\0b", "\ud800", "ü" * 500, 7, None])
def test_an_odd_name_takes_no_thread_down(odd: Any) -> None:
    class Odd:
        def __call__(self) -> int:
            return 1

    func = Odd()
    func.__qualname__ = odd  # type: ignore[attr-defined]  # Objects take attributes.
    assert ParallelExecutor.execute_one(func).result(LIMIT) == 1
    with parallel_contexts([Manager()]):
        pass


@pytest.mark.skipif(
    sys.version_info < (3, 14) or not Path("/proc/self/task").exists(), reason="3.14 names the system's threads"
)
def test_the_systems_tools_see_the_names() -> None:
    def seen_by_top() -> str:
        return Path(f"/proc/self/task/{threading.get_native_id()}/comm").read_text(encoding="utf-8").strip()

    def another() -> str:
        return seen_by_top()

    def renames() -> str:
        seen = seen_by_top()
        threading.current_thread().name = "by its call"
        return seen

    wait_for_idle_threads()
    again = 2 * (count_idle_threads() + 1)  # However idle threads take turns.
    for func in [*[seen_by_top] * again, another, *[renames] * again, another]:
        wait_for_idle_threads()
        assert ParallelExecutor.execute_one(func).result(LIMIT) == func.__name__
