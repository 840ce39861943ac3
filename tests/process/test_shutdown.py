"""``shutdown(wait=True)``: all calls have ended, and no thread of the library is idle any more."""

from __future__ import annotations

import sys
import textwrap
import threading
from pathlib import Path

import pytest

from children import FORKS, STRICT, needs_fork, run
from helpers import LIMIT
from parallel import ParallelExecutor

# Calls are waited for


@pytest.mark.parametrize("earlier", [1, 3])
def test_shutdown_waits_for_a_call_though_earlier_ones_have_ended(earlier: int) -> None:
    gate, inside = threading.Event(), threading.Event()
    happened: list[str] = []

    def held() -> None:
        inside.set()
        assert gate.wait(LIMIT)
        happened.append("call ended")

    def shut_down() -> None:
        executor.shutdown()
        happened.append("shut down")

    executor = ParallelExecutor()
    thread = threading.Thread(target=shut_down)
    try:
        for number in range(earlier):
            assert executor.submit(abs, number).result(LIMIT) == number
        executor.submit(held)
        assert inside.wait(LIMIT)
        thread.start()
        thread.join(0.2)
        assert happened == []
    finally:
        gate.set()
        thread.join(LIMIT)
    assert happened == ["call ended", "shut down"]


def test_shutdown_waits_for_a_call_though_another_ends_meanwhile() -> None:
    gates = [threading.Event() for _ in range(3)]
    happened: list[object] = []

    def held(number: int) -> int:
        assert gates[number].wait(LIMIT)
        happened.append(number)
        return number

    def shut_down() -> None:
        executor.shutdown()
        happened.append("shut down")

    executor = ParallelExecutor()
    futures = [executor.submit(held, number) for number in range(3)]
    thread = threading.Thread(target=shut_down)
    try:
        thread.start()
        for number in (1, 0):
            gates[number].set()
            assert futures[number].result(LIMIT) == number
            thread.join(0.1)
        assert happened == [1, 0]
    finally:
        for gate in gates:
            gate.set()
        thread.join(LIMIT)
    assert happened == [1, 0, 2, "shut down"]


# Idle threads are gone

HELPERS = """
def tasks():
    # The threads as the system counts them.
    return len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else threading.active_count()

def assert_alone():
    assert threading.enumerate() == [threading.main_thread()], threading.enumerate()
    # Below 3.13, a thread that has been joined may take a moment to leave the system.
    wait_until(lambda: tasks() == 1, limit=8)
"""
SHUTDOWNS = {
    "shutdown": "executor = ParallelExecutor()\nexecutor.submit(int).result()\nexecutor.shutdown(wait=True)",
    "with": "with ParallelExecutor() as executor: executor.submit(int)",
    "many calls": "with ParallelExecutor() as executor: list(executor.map(abs, range(100)))",
    "calls that end during shutdown": """
with ParallelExecutor() as executor:
    go = threading.Event()
    for _ in range(20): executor.submit(go.wait, 15)
    go.set()
""",
    "done-callbacks": """
with ParallelExecutor() as executor:
    executor.submit(int).add_done_callback(lambda _: time.sleep(0.1))
""",
    "calls that fail": "with ParallelExecutor() as executor: executor.submit(fail)",
    "no call at all": "with ParallelExecutor(): pass",
    "a second shutdown": """
executor = ParallelExecutor()
executor.shutdown(wait=False)
executor.shutdown(wait=True)
""",
}


@pytest.mark.parametrize("shutdown", SHUTDOWNS.values(), ids=SHUTDOWNS.keys())
@pytest.mark.parametrize("before", ["", "threads = make_idle_threads(10)\n"], ids=["alone", "beside idle threads"])
def test_no_thread_of_the_library_is_left_after_shutdown(shutdown: str, before: str) -> None:
    assert run(HELPERS + before + shutdown + "\nassert_alone()\n") == []


OTHERS = {
    "chain": "parallel(int)().parallel(str)().results()",
    "map": "parallel_map(abs, range(20)).results()",
    "block": "with parallel(threading.Lock()).parallel(threading.Lock()): pass",
    "block that fails": """
try:
    with parallel(threading.Lock()).parallel(threading.Lock()): fail()
except ValueError: pass
""",
    "executor that is not shut down": "executor = ParallelExecutor()\nexecutor.submit(int).result()",
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS.keys())
def test_threads_that_others_have_just_used_are_soon_gone_after_shutdown(other: str) -> None:
    # A thread that has given its result is idle a moment later; what shutdown finds idle it ends.
    code = """
wait_until(lambda: ParallelExecutor().shutdown(wait=True) or tasks() == 1, limit=8)
"""
    assert run(HELPERS + other + code) == []


def test_calls_after_shutdown_have_threads_again() -> None:
    code = """
    for _ in range(5):
        make_idle_threads(5)
        ParallelExecutor().shutdown(wait=True)
        assert_alone()
        use_everything()
        barrier = threading.Barrier(20)
        assert len(parallel_map(lambda _: barrier.wait(15), range(20)).results(timeout=15)) == 20
    """
    assert run(HELPERS + textwrap.dedent(code)) == []


def test_what_idle_threads_keep_in_thread_locals_is_freed_by_shutdown() -> None:
    code = """
    import gc, weakref
    class Connection: pass
    local, connections = threading.local(), []
    def connect(_):
        local.connection = Connection()
        connections.append(weakref.ref(local.connection))
        barrier.wait(15)
    barrier = threading.Barrier(5)
    with ParallelExecutor() as executor: executor.map(connect, range(5))
    # Threads that were not ended would wait for ten seconds before they do.
    wait_until(lambda: (gc.collect(), not any(connection() for connection in connections))[1], limit=8)
    """
    assert run(code) == []


@needs_fork
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="only Linux tells the threads of a process")
def test_fork_after_shutdown_is_that_of_a_program_with_one_thread() -> None:
    code = """
    make_idle_threads(10)
    with ParallelExecutor() as executor: executor.submit(int)
    assert_alone()
    child = os.fork()  # From 3.12 on it warns where there are threads; warnings are errors here.
    if child == 0:
        signal.alarm(20)
        use_everything()
        os._exit(7)
    assert os.waitpid(child, 0)[1] == 7 << 8
    use_everything()
    """
    assert run(HELPERS + textwrap.dedent(code), flags=STRICT) == []


@pytest.mark.skipif(
    not (sys.platform.startswith("linux") and sys.version_info >= (3, 12)), reason="3.12 on Linux has os.unshare"
)
def test_unshare_after_shutdown_is_allowed_as_for_one_thread() -> None:
    code = """
    def unshare():
        child = os.fork()
        if child == 0:
            try: os.unshare(os.CLONE_NEWUSER)
            except OSError as error: os._exit(error.errno)
            os._exit(0)
        return os.waitpid(child, 0)[1] >> 8
    allowed = unshare()
    make_idle_threads(5)
    ParallelExecutor().shutdown(wait=True)
    assert_alone()
    if allowed == 0: os.unshare(os.CLONE_NEWUSER)
    """
    assert run(HELPERS + textwrap.dedent(code), flags=FORKS) == []


# From inside, and beside others

INSIDE = {
    "a call": "parallel(ParallelExecutor().shutdown)().results(timeout=15)",
    "a submitted call of another executor": "ParallelExecutor().submit(ParallelExecutor().shutdown).result(15)",
    "a nested call": "parallel(lambda: parallel(ParallelExecutor().shutdown)().results())().results(timeout=15)",
    "two calls at once": """
barrier = threading.Barrier(2)
def meet_and_shut_down(_):
    barrier.wait(15)
    ParallelExecutor().shutdown(wait=True)
    return barrier.wait(15)
assert sorted(parallel_map(meet_and_shut_down, range(2)).results(timeout=15)) == [0, 1]
""",
    "a done-callback": """
done, gate = threading.Event(), threading.Event()
future = ParallelExecutor.execute_one(gate.wait, 15)
future.add_done_callback(lambda _: (ParallelExecutor().shutdown(wait=True), done.set()))
gate.set()
assert done.wait(15)
""",
    "managers": """
class ShutsDown:
    def __enter__(self): ParallelExecutor().shutdown(wait=True)
    def __exit__(self, *_): ParallelExecutor().shutdown(wait=True)
with parallel(ShutsDown(), timeout=15).parallel(ShutsDown()): ParallelExecutor().shutdown(wait=True)
""",
    "a with block": """
with parallel(threading.Lock()).parallel(threading.Lock()):
    ParallelExecutor().shutdown(wait=True)
    use_everything()
""",
}


@pytest.mark.parametrize("inside", INSIDE.values(), ids=INSIDE.keys())
def test_shutdown_inside_other_calls_of_the_library_does_not_deadlock(inside: str) -> None:
    assert run("make_idle_threads(5)\n" + inside + "\nuse_everything()\n") == []


def test_shutdown_waits_for_no_call_of_others() -> None:
    code = """
    go = threading.Event()
    inside = threading.Barrier(6)
    def held(_):
        inside.wait(15)
        return go.wait(25)
    calls = parallel_map(held, range(5))
    try:
        inside.wait(15)
        make_idle_threads(8)
        with parallel(threading.Lock()).parallel(threading.Lock()):
            with ParallelExecutor() as executor: executor.submit(int)
            # Five calls and two managers are left beside the main thread.
            assert threading.active_count() == 8, threading.enumerate()
            assert not any(future.done() for future in calls.futures)
    finally:
        go.set()
    assert calls.results(timeout=15) == (True,) * 5
    """
    assert run(code) == []


def test_no_call_is_lost_while_executors_are_shut_down() -> None:
    code = """
    def call_often():
        for number in range(150):
            assert ParallelExecutor.execute_one(abs, -number).result(15) == number
            assert parallel(abs)(-1).parallel(abs)(-2).results(timeout=15) == (1, 2)
    def shut_down_often():
        for _ in range(100):
            with ParallelExecutor() as executor: executor.submit(int)
            ParallelExecutor().shutdown(wait=True)
    jobs = [call_often, call_often, shut_down_often, shut_down_often]
    errors = []
    def run_job(job):
        try: job()
        except BaseException as error: errors.append(error)
    threads = [threading.Thread(target=run_job, args=(job,)) for job in jobs]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    assert not errors, errors
    """
    assert run(code, limit=60) == []
