"""Who changes the interpreter beside the library: gevent, debuggers, profilers and coverage."""

from __future__ import annotations

import importlib.util
import sys
import textwrap

import pytest

from children import run

# Threads that somebody else makes cooperative

needs_gevent = pytest.mark.skipif(
    importlib.util.find_spec("gevent") is None, reason="gevent is not installed; the group `integrations` has it"
)
PATCH = """
from gevent import monkey
monkey.patch_all()
import gevent, threading, time
"""
UNDER_GEVENT = {
    "results": """
    assert parallel(abs)(-1).parallel(str)(2).results() == (1, "2")
    assert parallel(lambda: time.sleep(0.05) or 1)().parallel(int)().results(timeout=10) == (1, 0)
    calls = parallel(time.sleep)(0.3)
    try: calls.results(timeout=0.01)
    except TimeoutError: say("timeout")
    assert calls.results() == (None,)
    try: parallel(fail)().parallel(int)().results()
    except ValueError: say("error")
    """,
    "nested calls": """
    def nest(depth): return parallel(nest)(depth - 1).results()[0] + 1 if depth else 0
    assert parallel(nest)(20).results() == (20,)
    """,
    "calls at once": """
    barrier = threading.Barrier(20)
    assert sorted(parallel_map(lambda _: barrier.wait(10), range(20)).results()) == list(range(20))
    """,
    "many calls in turn": """
    for number in range(200): assert ParallelExecutor.execute_one(abs, -number).result(10) == number
    """,
    "with blocks": """
    for _ in range(2):
        with parallel(Manager("first"), timeout=10).parallel(Manager("second")) as values:
            assert values == ("first", "second")
    try:
        with parallel(Manager("outer"), parallel_exit=True): fail()
    except ValueError: say("error")
    """,
    "a thread pool": """
    from concurrent.futures import ThreadPoolExecutor
    with ThreadPoolExecutor(3) as pool:
        assert parallel(abs, executor=pool)(-1).parallel(str)(2).results() == (1, "2")
        assert parallel_map(abs, range(-9, 0), executor=pool).results() == tuple(range(9, 0, -1))
        try: parallel(fail, executor=pool)().results()
        except ValueError: say("error")
    """,
    "an executor": """
    ended = []
    with ParallelExecutor() as executor:
        executor.submit(lambda: (time.sleep(0.1), ended.append(1)))
        assert list(executor.map(abs, [-1, -2])) == [1, 2]
    assert ended == [1]
    executor = ParallelExecutor()
    call = executor.submit(executor.shutdown)
    try: call.result(10)
    except RuntimeError: say("refused")
    """,
    "greenlets": """
    def use(number): return parallel(abs)(-number).parallel(str)(number).results()
    jobs = [gevent.spawn(use, number) for number in range(10)]
    gevent.joinall(jobs, timeout=10, raise_error=True)
    assert [job.value for job in jobs] == [(number, str(number)) for number in range(10)]
    """,
}
PRINTED = {
    "results": ["timeout", "error"],
    "with blocks": [*["left second None", "left first None"] * 2, "left outer ValueError", "error"],
    "a thread pool": ["error"],
    "an executor": ["refused"],
}


@needs_gevent
@pytest.mark.parametrize("program", UNDER_GEVENT)
def test_gevent_may_patch_after_the_library_is_imported(program: str) -> None:
    code = PATCH + textwrap.dedent(UNDER_GEVENT[program]) + "\nsay('end')\n"
    # What gevent itself warns of is not looked at.
    assert run(code, flags=["-W", "ignore"], limit=15) == [*PRINTED.get(program, []), "end"]


STAND_INS = """
import queue
waits = {}  # By thread, the wait at a stand-in that it is in.
real_ident = threading.get_ident
def at_stand_in(wait, *args, **kwargs):
    me = real_ident()
    outer, waits[me] = waits.get(me), object()
    try: return wait(*args, **kwargs)
    finally: waits[me] = outer

def sleeps_at_stand_in(real):
    # Not on its way through one.
    wait = waits.get(real)
    time.sleep(0.1)
    return wait is not None and waits.get(real) is wait

class StandIn:
    def __init__(self, *args, **kwargs): self.real = self.make(*args, **kwargs)
    def __getattr__(self, name): return getattr(self.real, name)

class LockStandIn(StandIn):
    def acquire(self, *args, **kwargs): return at_stand_in(self.real.acquire, *args, **kwargs)
    def __enter__(self): return self.acquire()
    def __exit__(self, *_): self.real.release()
def stand_in_for(real):
    return type(real.__name__, (LockStandIn,), {"make": staticmethod(real)})

class QueueStandIn(StandIn):
    make = queue.SimpleQueue
    def get(self, *args, **kwargs): return at_stand_in(self.real.get, *args, **kwargs)

gate, inside = threading.Event(), threading.Event()  # Made before.
threading.Lock, threading.RLock = stand_in_for(threading.Lock), stand_in_for(threading.RLock)
threading._allocate_lock = threading.Lock  # What conditions and events wait at.
queue.SimpleQueue = QueueStandIn
main = threading.main_thread().ident
# Other numbers for all threads but this, as greenlets have.
idents = {main: main}
threading.get_ident = lambda: idents.setdefault(real_ident(), (1 << 40) + len(idents))

def held():
    inside.set()
    assert gate.wait(20)

def open_gate_when_main_thread_waits():
    # Not by a thread of the standard's own, which the names above have been replaced for too.
    import _thread
    def watch():
        try:
            wait_until(lambda: inside.is_set() and sleeps_at_stand_in(main), limit=8)
            say("waits at a stand-in")
        except AssertionError:
            say("waits elsewhere")
        finally:
            gate.set()
    _thread.start_new_thread(watch, ())
"""
WAITS = {
    "results": "open_gate_when_main_thread_waits()\nparallel(held)().results()",
    "results with a limit": "open_gate_when_main_thread_waits()\nparallel(held)().results(timeout=15)",
    "results until an exception": """
open_gate_when_main_thread_waits()
parallel(held)().results(return_when=ReturnWhen.FIRST_EXCEPTION)
""",
    "a future's result": "open_gate_when_main_thread_waits()\nParallelExecutor.execute_one(held).result()",
    "shutdown": """
open_gate_when_main_thread_waits()
with ParallelExecutor() as executor: executor.submit(held)
""",
    "enters": """
class Slow(Manager):
    def __enter__(self): held()
    def __exit__(self, *_): pass
open_gate_when_main_thread_waits()
with parallel(Slow()).parallel(Slow()): pass
""",
    "exits": """
class Slow(Manager):
    def __exit__(self, *_): held()
open_gate_when_main_thread_waits()
with parallel(Slow()).parallel(Slow()): pass
""",
    "managers between enter and exit": """
class Ident:
    def __enter__(self): return real_ident()
    def __exit__(self, *_): pass
with parallel(Ident()).parallel(Ident()) as idents_of_managers:
    for each in idents_of_managers: wait_until(lambda: sleeps_at_stand_in(each))
say("waits at a stand-in")
""",
    "idle threads": """
for each in parallel_map(lambda _: real_ident(), range(3)).results(): wait_until(lambda: sleeps_at_stand_in(each))
say("waits at a stand-in")
""",
}


@pytest.mark.parametrize("program", WAITS.values(), ids=WAITS.keys())
def test_waits_use_the_locks_that_replaced_the_standards_later(program: str) -> None:
    assert run(STAND_INS + program) == ["waits at a stand-in"]


def test_idents_are_those_that_replaced_the_standards_later() -> None:
    code = """
    executor = ParallelExecutor()
    try: executor.submit(executor.shutdown).result(15)
    except RuntimeError as error: say(error)
    use_everything()
    with parallel(Manager("first")).parallel(Manager("second")): pass
    executor.shutdown()
    """
    assert run(STAND_INS + textwrap.dedent(code)) == [
        "cannot join current thread",
        "left second None",
        "left first None",
    ]


# Trace functions

RECORD = """
names = "settrace", "setprofile"
recorded = []
def record(name):
    real = getattr(sys, name)
    def recording(function):
        recorded.append((name, function, threading.current_thread()))
        real(function)
    setattr(sys, name, recording)
for each in names: record(each)
"""
both_kinds = pytest.mark.parametrize("kind", ["trace", "profile"])


def test_trace_functions_are_never_touched_while_none_is_set() -> None:
    code = """
    for _ in range(5):
        use_everything()
        make_idle_threads(5)
        with parallel(Manager(1)).parallel(Manager(2)): pass
        try: parallel(fail)().results()
        except ValueError: pass
    ParallelExecutor().shutdown()
    assert recorded == [], recorded
    """
    assert run(RECORD + textwrap.dedent(code)) == ["left 2 None", "left 1 None"] * 5


@both_kinds
def test_trace_function_in_place_is_set_once_a_thread(kind: str) -> None:
    code = f"""
    def hook(frame, event, _):
        if frame.f_code.co_name == "called": seen.append(event)
        return hook
    def called(): return sys.get{kind}() is hook
    seen = []
    make_idle_threads(2)
    threading.set{kind}(hook)
    for _ in range(20):
        assert parallel(called)().results() == (True,)
        make_idle_threads(1)
    threading.set{kind}(None)
    assert seen.count("call") == 20, seen
    threads = [thread for _, _, thread in recorded]
    assert all(threads.count(thread) == 1 for thread in threads), recorded
    assert parallel(lambda: sys.get{kind}())().results() == (None,)
    """
    assert run(RECORD + textwrap.dedent(code)) == []


REPLACES_ITSELF = """
class Tracer:
    def __init__(self): self.calls = []
    def __call__(self, frame, event, _):
        if event == "call": self.calls.append(frame.f_code.co_name)
        return self
tracers = {{}}
def hook(frame, event, argument):
    # As coverage does: this is called once a thread, and then the tracer is there.
    tracer = Tracer()
    tracers.setdefault(threading.current_thread(), []).append(tracer)
    sys.set{kind}(tracer)
    return tracer(frame, event, argument)
def called():
    now.append((threading.current_thread(), sys.get{kind}()))
now = []
def call(times):
    for _ in range(times):
        assert parallel(called)().results() == (None,)
        make_idle_threads(1)
"""


@both_kinds
@pytest.mark.parametrize("before", ["", "make_idle_threads(3)"], ids=["new threads", "idle threads"])
def test_tracer_that_replaced_its_hook_stays_between_calls(kind: str, before: str) -> None:
    code = f"""
    {before}
    threading.set{kind}(hook)
    call(20)
    threading.set{kind}(None)
    assert len(now) == 20
    for thread, tracer in now: assert [tracer] == tracers[thread], (thread, tracer, tracers[thread])
    assert sum(tracer.calls.count("called") for (tracer,) in tracers.values()) == 20
    """
    assert run(REPLACES_ITSELF.format(kind=kind) + textwrap.dedent(code)) == []


@both_kinds
def test_tracer_that_replaced_its_hook_gives_way_to_the_next_hook(kind: str) -> None:
    code = f"""
    threading.set{kind}(hook)
    call(3)
    old = {{tracer for _, tracer in now}}
    threading.set{kind}(None)
    del now[:]
    call(3)
    assert [tracer for _, tracer in now] == [None] * 3, now
    threading.set{kind}(hook)
    del now[:]
    call(3)
    threading.set{kind}(None)
    new = [tracer for _, tracer in now]
    assert all(isinstance(tracer, Tracer) for tracer in new), new
    assert not old.intersection(new)
    """
    assert run(REPLACES_ITSELF.format(kind=kind) + textwrap.dedent(code)) == []


@both_kinds
@pytest.mark.parametrize("hook", ["None", "other"])
def test_trace_function_that_a_call_sets_does_not_reach_the_next(kind: str, hook: str) -> None:
    code = f"""
    def other(*_): return None
    def leaking(*_):
        leaked.append(1)
        return leaking
    leaked, seen = [], []
    def set_here():
        sys.set{kind}(leaking)
        return threading.current_thread()
    def look():
        seen.append(sys.get{kind}())
        return threading.current_thread()
    make_idle_threads(1)
    threading.set{kind}({hook})
    for func in (set_here, look) * 5:
        thread = ParallelExecutor.execute_one(func).result(15)
        wait_until(lambda: thread.name not in (func.__name__, func.__qualname__))
    threading.set{kind}(None)
    del leaked[:]
    assert seen == [{hook}] * 5, seen
    use_everything()
    assert not leaked, leaked
    """
    assert run(textwrap.dedent(code)) == []


@pytest.mark.skipif(sys.version_info < (3, 12), reason="3.12 brought settrace_all_threads")
@both_kinds
def test_trace_function_set_for_idle_threads_from_outside_is_left_in_place(kind: str) -> None:
    code = f"""
    def hook(*_): return hook
    threads = make_idle_threads(3)
    threading.set{kind}_all_threads(hook)
    for _ in range(5):
        assert parallel(lambda: sys.get{kind}())().results() == (hook,)
        make_idle_threads(3)
    again = [thread for _, _, thread in recorded if thread in threads]
    threading.set{kind}_all_threads(None)
    assert not again, recorded
    assert parallel(lambda: sys.get{kind}())().results() == (None,)
    """
    assert run(RECORD + textwrap.dedent(code)) == []
