"""The exit of the process, forks, subinterpreters and the end of memory, each in a process of its own.

All run in development mode, with warnings as errors, and print nothing that they were not told to.
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from functools import partial

import pytest

import children
from children import FORKS, starts_threads_at_exit
from helpers import LIMIT, PYPY

PRELUDE = f"""{children.PRELUDE}
class Manager:
    def __init__(self, name="", enter=0, leave=0):
        self.name, self.enter, self.leave = name, enter, leave
    def __enter__(self):
        self.thread = threading.get_ident()
        time.sleep(self.enter)
        return self.name
    def __exit__(self, kind, *_):
        time.sleep(self.leave)
        same = self.thread == threading.get_ident()
        say("left", self.name, kind and kind.__name__, "on its thread" if same else "on another thread")
"""

run_to_end = partial(children.run_to_end, flags=FORKS, prelude=PRELUDE)
run = partial(children.run, flags=FORKS, prelude=PRELUDE)


# The exit


@starts_threads_at_exit
@pytest.mark.parametrize("registered_first", [False, True])
def test_calls_and_what_comes_of_them_end_before_atexit_handlers(registered_first: bool) -> None:
    register = 'import atexit; atexit.register(lambda: print("atexit", flush=True))\n'
    code = """
    def late():
        time.sleep(0.2)
        say("call")
        ParallelExecutor.execute_one(nested).add_done_callback(lambda _: (time.sleep(0.1), say("callback")))
    def nested():
        time.sleep(0.1)
        say("nested call")
    parallel(late)()
    try:
        with parallel(Manager("straggler", enter=0.3), timeout=0.01): pass
    except TimeoutError:
        say("timeout")
    """
    done = subprocess.run(
        [
            sys.executable,
            *FORKS,
            "-c",
            (register if registered_first else "")
            + PRELUDE
            + textwrap.dedent(code)
            + ("" if registered_first else register),
        ],
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=True,
    )
    lines = done.stdout.splitlines()
    assert lines[-1] == "atexit"
    assert sorted(lines[:-1]) == sorted(
        ["timeout", "call", "nested call", "callback", "left straggler TimeoutError on its thread"]
    )
    assert done.stderr == ""


@pytest.mark.parametrize(("end", "exit_code"), [("", 0), ("sys.exit(3)", 3), ("sys.exit(0)", 0)])
def test_the_exit_code_is_the_main_programs(end: str, exit_code: int) -> None:
    run("parallel(time.sleep)(0.1).parallel(sys.exit)(5)\n" + end, exit_code=exit_code)


def test_a_call_that_exits_is_raised_by_results_and_ends_the_program_with_its_code() -> None:
    run("parallel(sys.exit)(5).results()", exit_code=5)


@starts_threads_at_exit
def test_only_the_error_of_a_failed_main_program_is_printed_when_its_calls_end() -> None:
    code = """
    parallel(lambda: (threading.main_thread().join(), say("call")))()
    raise ValueError("of the main program")
    """
    done = run_to_end(code)
    assert done.returncode == 1
    assert done.stdout.splitlines() == ["call"]
    first, *entries, last = done.stderr.splitlines()
    assert first == "Traceback (most recent call last):"
    assert all(entry.startswith("  ") for entry in entries)
    assert last == "ValueError: of the main program"


def test_idle_threads_do_not_delay_the_exit() -> None:
    code = """
    barrier = threading.Barrier(100)
    parallel_map(lambda _: barrier.wait(), range(100)).results()
    for _ in range(900): ParallelExecutor.execute_one(int).result()
    say(time.time())
    """
    (main_program_ended,) = run(code)
    # An idle thread would go on for ten seconds.
    assert time.time() - float(main_program_ended) < 5


@starts_threads_at_exit
def test_a_thread_that_outlives_the_main_thread_uses_the_library_as_before() -> None:
    code = """
    def outlive():
        threading.main_thread().join()
        for _ in range(200): use_everything()
        ParallelExecutor.execute_one(lambda: (time.sleep(0.2), say("last call")))
    threading.Thread(target=outlive).start()
    """
    assert run(code) == ["last call"]


@starts_threads_at_exit
def test_a_call_can_wait_for_the_end_of_the_main_thread() -> None:
    assert run("parallel(lambda: (threading.main_thread().join(), say('call')))()") == ["call"]


def test_a_call_that_the_exit_cannot_wait_for_is_refused() -> None:
    code = """
    def outlive():
        threading.main_thread().join()
        refuse, threading.Thread.start = RuntimeError("no thread"), lambda thread: fail(refuse)
        # There is an idle thread that would take the call, but none for the exit to wait on.
        try: ParallelExecutor.execute_one(say, "called")
        except RuntimeError as error: say(error)
    def fail(error): raise error
    parallel(int)().results()
    threading.Thread(target=outlive).start()
    """
    assert run(code) == ["no thread"]


def test_in_an_atexit_handler_calls_are_refused_and_what_is_there_can_be_used() -> None:
    code = """
    block = parallel(Manager("first")).parallel(Manager("second"))
    block.__enter__()
    calls = parallel(int)()
    def handler():
        assert calls.results() == (0,)
        block.__exit__(None, None, None)
        executor = ParallelExecutor()
        for start in [
            lambda: ParallelExecutor.execute_one(int), lambda: ParallelExecutor.execute(int, int),
            lambda: executor.submit(int), parallel(int), calls.parallel(int), lambda: parallel_map(int, [1]),
            lambda: parallel(Manager()).__enter__(),
        ]:
            try: start()
            except RuntimeError as error: say(error)
        assert calls.results() == (0,)
        executor.shutdown()
    atexit.register(handler)
    """
    assert run(code) == [
        "left second None on its thread",
        "left first None on its thread",
        *["cannot schedule new futures after interpreter shutdown"] * 6,
        "cannot enter context managers after interpreter shutdown",
    ]


@pytest.mark.parametrize(
    "code",
    [
        "block = parallel(Manager()).parallel(Manager()); block.__enter__()",
        "parallel(Manager()).parallel(Manager()).__enter__()",
        "threading.Thread(target=lambda: parallel(Manager()).__enter__()).start()",
        """
        import tempfile
        def generator():
            with parallel(threading.Lock()).parallel(tempfile.TemporaryFile()) as values: yield values
        suspended = generator()
        next(suspended)
        """,
        "calls = parallel(int)()",
        "def forget():\n    calls = parallel(int)()\n    calls.itself = calls\nforget()",
        "executor = ParallelExecutor(); executor.submit(time.sleep, 0.1)",
    ],
)
def test_what_is_never_left_nor_asked_neither_hangs_nor_complains(code: str) -> None:
    assert run(code) == []


FINALIZER = """
def keep(where, parallel, ParallelExecutor, Lock):
    calls, lock = parallel(int)(), Lock()
    block = parallel(lock).parallel(Lock())
    block.__enter__()
    def enter():
        with parallel(Lock()).parallel(Lock()): say("entered")
    def leave():
        block.__exit__(None, None, None)
        return "still locked" if lock.locked() else "left"
    class Uses:
        def __del__(self):
            for use in [
                lambda: ParallelExecutor.execute_one(int).result(), lambda: parallel(int)().results(),
                lambda: calls.parallel(int)(), enter, calls.results, leave,
            ]:
                try: say(use())
                except RuntimeError as error: say(error)
                except (AttributeError, TypeError): say("modules emptied")
    where.kept = Uses()
"""
NO_NEW_CALLS = "cannot schedule new futures after interpreter shutdown"
NO_NEW_ENTERS = "cannot enter context managers after interpreter shutdown"
runs_finalizers_at_exit = pytest.mark.skipif(PYPY, reason="PyPy runs no finalizers at the exit")


@runs_finalizers_at_exit
def test_a_finalizer_at_the_end_is_refused_new_calls_and_can_ask_and_leave_old_ones() -> None:
    code = FINALIZER + 'keep(sys.modules["__main__"], parallel, ParallelExecutor, threading.Lock)'
    assert run(code) == [*[NO_NEW_CALLS] * 3, NO_NEW_ENTERS, "(0,)", "left"]


@runs_finalizers_at_exit
def test_a_finalizer_that_runs_when_modules_have_been_emptied_does_not_hang() -> None:
    *refusals, results, leaving = run(FINALIZER + "keep(threading, parallel, ParallelExecutor, threading.Lock)")
    assert len(refusals) == 4
    assert set(refusals) <= {NO_NEW_CALLS, NO_NEW_ENTERS, "modules emptied"}
    assert results in {"(0,)", "modules emptied"}
    assert leaving in {"left", "modules emptied"}


# Forks

posix = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
FORK = """
def fork(do):
    child = os.fork()
    if child == 0:
        signal.alarm(20)  # Ends it should it hang.
        code = 1
        try:
            do()
            code = 0
        finally:
            if code: sys.excepthook(*sys.exc_info())
            os._exit(code)
    return child
def wait_for(child):
    _, status = os.waitpid(child, 0)
    assert status == 0, status
"""


@posix
@pytest.mark.parametrize(
    "before",
    [
        "",
        "use_everything()",
        "go = threading.Event(); calls = parallel_map(lambda _: go.wait(10), range(5))",
    ],
    ids=["unused", "idle threads", "running calls"],
)
def test_a_child_uses_the_library_at_once_and_the_parent_is_unaffected(before: str) -> None:
    code = (
        FORK
        + textwrap.dedent(before)
        + textwrap.dedent("""
    for _ in range(3): wait_for(fork(use_everything))
    wait_for(fork(lambda: wait_for(fork(use_everything))))
    use_everything()
    if "go" in globals():
        go.set()
        assert calls.results() == (True,) * 5
    say("ended")
    """)
    )
    assert run(code) == ["ended"]


@posix
def test_a_child_forked_from_a_call_or_a_manager_uses_the_library_at_once() -> None:
    code = FORK + textwrap.dedent("""
    class Forks:
        def __enter__(self): wait_for(fork(use_everything))
        def __exit__(self, *_): wait_for(fork(use_everything))
    for _ in range(3): parallel(lambda: wait_for(fork(use_everything)))().results()
    with parallel(Forks()): pass
    use_everything()
    say("ended")
    """)
    assert run(code) == ["ended"]


@posix
def test_a_child_forked_from_a_call_may_return_from_it() -> None:
    code = """
    def call():
        child = os.fork()
        if child == 0:
            signal.alarm(20)
            return None
        return os.waitpid(child, 0)[1]
    assert parallel(call)().results() == (0,)
    use_everything()
    say("ended")
    """
    assert run(code) == ["ended"]


@posix
def test_a_child_forked_from_an_enter_may_return_from_it() -> None:
    code = """
    class Forks(Manager):
        def __enter__(self):
            child = os.fork()
            if child == 0:
                signal.alarm(20)
            super().__enter__()
            return child
    with parallel(Forks("parent")) as (child,):
        assert os.waitpid(child, 0)[1] == 0
    use_everything()
    """
    assert run(code) == ["left parent None on its thread"]


@posix
def test_a_child_leaves_a_block_on_its_own_thread_and_the_parent_on_theirs() -> None:
    code = FORK + textwrap.dedent("""
    block = parallel(Manager("first")).parallel(Manager("second"))
    block.__enter__()
    def leave():
        block.__exit__(None, None, None)
        block.__exit__(None, None, None)
        use_everything()
    wait_for(fork(leave))
    say("parent")
    block.__exit__(None, None, None)
    """)
    assert run(code) == [
        "left second None on another thread",
        "left first None on another thread",
        "parent",
        "left second None on its thread",
        "left first None on its thread",
    ]


@posix
@pytest.mark.parametrize("parallel_exit", [False, True])
@pytest.mark.parametrize("suppresses", [False, True])
def test_a_childs_exception_reaches_the_exits_in_the_child_only(suppresses: bool, parallel_exit: bool) -> None:
    code = FORK + textwrap.dedent(f"""
    class Suppresses(Manager):
        def __exit__(self, *details):
            super().__exit__(*details)
            return {suppresses}
    block = parallel(Manager("first"), parallel_exit={parallel_exit})
    block = block.parallel(Suppresses("second")).parallel(Manager("third"))
    raised = False
    try:
        with block:
            child = os.fork()
            if child == 0:
                signal.alarm(20)
                raise ValueError
            wait_for(child)
            say("parent")
    except ValueError:
        raised = True
    if child == 0:
        assert raised is not {suppresses}
        use_everything()
        os._exit(0)
    assert not raised
    use_everything()
    """)
    lines = run(code)
    first = "None" if suppresses and not parallel_exit else "ValueError"
    assert lines[:4] == [
        "left third ValueError on another thread",
        "left second ValueError on another thread",
        f"left first {first} on another thread",
        "parent",
    ]
    assert sorted(lines[4:]) == [f"left {name} None on its thread" for name in ("first", "second", "third")]


@posix
def test_a_child_can_shut_an_executor_down_that_has_calls_in_the_parent() -> None:
    code = FORK + textwrap.dedent("""
    go = threading.Event()
    with ParallelExecutor() as executor:
        executor.submit(go.wait, 10)
        def leave():
            executor.submit(int).result()
            executor.shutdown()
        wait_for(fork(leave))
        go.set()
    say("ended")
    """)
    assert run(code) == ["ended"]


@posix
def test_a_child_that_ends_by_itself_waits_for_no_call_of_its_parent() -> None:
    code = """
    go = threading.Event()
    calls = parallel(go.wait)(10)
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        parallel(lambda: (time.sleep(0.1), say("call of the child")))()
        sys.exit(4)
    assert os.waitpid(child, 0)[1] == 4 << 8
    go.set()
    assert calls.results() == (True,)
    """
    assert run(code) == ["call of the child"]


@posix
def test_multiprocessing_with_fork_works_outside_and_inside_a_block() -> None:
    code = """
    import multiprocessing
    def double(number):
        return parallel(lambda: 2 * number)().results()[0]
    def double_all():
        with multiprocessing.get_context("fork").Pool(2) as pool:
            assert pool.map(double, range(10)) == list(range(0, 20, 2))
            pool.close()
            pool.join()
    use_everything()
    double_all()
    with parallel(Manager("first")).parallel(Manager("second")):
        double_all()
    parallel(double_all)().results()
    """
    assert run(code) == ["left second None on its thread", "left first None on its thread"]


@posix
def test_subprocesses_can_be_run_from_many_calls_at_once() -> None:
    code = """
    import subprocess
    program = [sys.executable, "-S", "-c", "print(1)"]
    outputs = parallel_map(lambda _: subprocess.check_output(program), range(8)).results()
    assert outputs == (b"1" + os.linesep.encode(),) * 8
    """
    assert run(code) == []


# No memory for threads


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only on Linux the test can limit memory")
def test_without_memory_for_threads_nothing_is_half_started_and_later_all_works() -> None:
    code = """
    import resource
    os.environ["MALLOC_ARENA_MAX"] = "1"
    ran, entered, left = [], [], []
    class Counts:
        def __enter__(self): entered.append(1)
        def __exit__(self, *_): left.append(1)
    calls = parallel(ran.append)(1)
    calls.results()
    threading.stack_size(64 << 20)
    with open("/proc/self/statm") as statm: used = int(statm.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (300 << 20), resource.RLIM_INFINITY))
    go = threading.Event()
    held = []
    try:
        while len(held) < 100: held.append(ParallelExecutor.execute_one(go.wait, 20))
    except (RuntimeError, MemoryError):
        pass
    assert 0 < len(held) < 100, len(held)
    executor = ParallelExecutor()
    for start in [
        lambda: ParallelExecutor.execute_one(ran.append, 2),
        lambda: calls.parallel(ran.append)(2),
        lambda: ParallelExecutor.execute(*[lambda: ran.append(2)] * 50),
        lambda: parallel_map(ran.append, [2] * 50),
        lambda: executor.submit(ran.append, 2),
        lambda: parallel_contexts([Counts() for _ in range(30)]).__enter__(),
    ]:
        try: start()
        except (RuntimeError, MemoryError): say("refused")
    assert calls.results() == (None,)
    # Some threads are free, so that some of what is asked for could be started, but not all.
    go.set()
    for future in held: assert future.result()
    wait_for_idle_threads()
    for start in [
        lambda: ParallelExecutor.execute(*[lambda: ran.append(2)] * 50),
        lambda: parallel_map(ran.append, [2] * 50),
        lambda: parallel_contexts([Counts() for _ in range(30)]).__enter__(),
    ]:
        try: start()
        except (RuntimeError, MemoryError): say("refused")
    executor.shutdown()
    wait_for_idle_threads()
    assert ran == [1] and entered == left == [], (ran, entered, left)
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    threading.stack_size(0)
    assert calls.parallel(int)().results() == (None, 0)
    barrier = threading.Barrier(50)
    parallel_map(lambda _: barrier.wait(20), range(50)).results()
    with parallel_contexts([Counts() for _ in range(30)]): pass
    use_everything()
    """
    assert run(code) == ["refused"] * 9


# Subinterpreters

INTERPRETERS = """
def run_in_interpreter(code):
    if sys.version_info >= (3, 14):
        from concurrent import interpreters
        interpreter = interpreters.create()
        interpreter.exec(code)
        interpreter.close()
    else:
        import _interpreters
        interpreter = _interpreters.create()
        failure = _interpreters.exec(interpreter, code)
        assert failure is None, failure
        _interpreters.destroy(interpreter)
"""
needs_interpreters = pytest.mark.skipif(
    sys.version_info < (3, 13) or PYPY, reason="before 3.13 a subinterpreter with threads ends the whole process"
)


@needs_interpreters
@pytest.mark.parametrize(
    "end",
    [
        "pass",
        "parallel(lambda: (time.sleep(0.2), say('late call')))()",
        "block = parallel(threading.Lock()).parallel(threading.Lock()); block.__enter__()",
    ],
    ids=["idle threads", "a running call", "a block never left"],
)
def test_a_subinterpreter_uses_the_library_and_ends_at_once(end: str) -> None:
    code = f"""
    use_everything()
    run_in_interpreter({PRELUDE + "use_everything()" + chr(10) + end + chr(10) + "say(time.time())"!r})
    use_everything()
    """
    main_program_ended, *lines = run(INTERPRETERS + textwrap.dedent(code))
    assert lines == (["late call"] if "late" in end else [])
    # An idle thread would go on for ten seconds.
    assert time.time() - float(main_program_ended) < 5


@needs_interpreters
def test_a_thread_uses_the_library_after_the_end_of_its_subinterpreters_main_thread() -> None:
    inside = """
def outlive():
    time.sleep(0.3)
    for _ in range(20): use_everything()
    say("outlived")
threading.Thread(target=outlive).start()
"""
    started = time.monotonic()
    assert run(INTERPRETERS + f"\nrun_in_interpreter({PRELUDE + inside!r})\n") == ["outlived"]
    # Nothing waits for idle threads.
    assert time.monotonic() - started < 9


# Signals


@posix
def test_a_signal_handler_can_use_everything_during_waits_and_at_the_exit() -> None:
    code = """
    signal.signal(signal.SIGUSR1, lambda *_: (use_everything(), say("handled")))
    def kill():
        time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGUSR1)
        time.sleep(0.1)
    parallel(kill)().results()
    with parallel(Manager("slow", leave=0.3)).parallel(Manager("slower", enter=0.3)):
        parallel(kill)().results()
    """
    lines = run(code)
    assert lines.count("handled") == 2
    assert len(lines) == 4


@pytest.mark.skipif(sys.version_info < (3, 10), reason="before 3.10 Thread.start itself waits for that lock")
def test_a_signal_handler_can_start_a_call_in_the_middle_of_threading_enumerate() -> None:
    run("""
    calls = []
    signal.signal(signal.SIGUSR1, lambda *_: calls.append(ParallelExecutor.execute_one(int)))
    with threading._active_limbo_lock:  # As enumerate() does, and a new thread before it begins its work.
        os.kill(os.getpid(), signal.SIGUSR1)
        while not calls:
            pass
    assert calls[0].result() == 0
    """)


@posix
def test_the_process_ends_after_signal_handlers_raised_in_the_middle_of_starts() -> None:
    code = """
    import warnings
    class Interrupt(BaseException): pass
    where = os.path.dirname(sys.modules["parallel"].__file__)
    armed = False
    def interrupt(number, frame):
        global armed
        if armed and os.path.dirname(frame.f_code.co_filename) == where:
            armed = False
            raise Interrupt
    sys.unraisablehook = lambda report: None
    signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.0007)
    end, interrupted, started, ran = time.monotonic() + 15, 0, 0, []
    while interrupted < 30:
        assert time.monotonic() < end, interrupted
        try:
            armed = True
            ParallelExecutor.execute_one(ran.append, 1)
            started += 1
            with parallel(threading.Lock()).parallel(threading.Lock()): pass
        except Interrupt:
            interrupted += 1
        armed = False
    signal.setitimer(signal.ITIMER_REAL, 0)
    atexit.register(lambda: say(len(ran) >= started))
    """
    assert run(code) == ["True"]
