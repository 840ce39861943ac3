"""The end of a process: with many unfinished calls, in forked children, with blocks that nobody left."""

from __future__ import annotations

import sysconfig
import textwrap
import time
from pathlib import Path

import pytest

from children import FORKS, needs_fork, run, starts_threads_at_exit
from helpers import IS_NIGHTLY, IS_QUICK, PYPY

# Many unfinished calls

HELD_CALLS = """
end = time.time() + {number} / 1_000  # When the main thread has ended.
calls = parallel_map(lambda _: time.sleep(max(0, end - time.time())), range({number}))
say(max(end, time.time()))
"""


def seconds_to_end(number: int) -> float:
    """How long a program takes to end once its held calls end, all at one moment."""
    (released,) = run(HELD_CALLS.format(number=number), limit=60)
    return time.time() - float(released)


@starts_threads_at_exit
@pytest.mark.skipif(IS_QUICK, reason="takes long; the quick profile leaves it out")
def test_program_with_thousands_of_unfinished_calls_ends_soon() -> None:
    fewer, more = map(seconds_to_end, (2_000, 4_000) if IS_NIGHTLY else (500, 1_000))
    assert more < max(20, 3 * fewer)


SWITCH_INTERVALS = """
before = sys.getswitchinterval()
def hold(number):
    threading.main_thread().join()
    if number == 1_000:
        wait_until(lambda: sys.getswitchinterval() != before)
calls = parallel_map(hold, range({number}))
atexit.register(lambda: say(sys.getswitchinterval() == before))
"""


@starts_threads_at_exit
@pytest.mark.parametrize("number", [2, 1_001])
def test_switch_interval_is_what_it_was_when_atexit_handlers_run(number: int) -> None:
    assert run(SWITCH_INTERVALS.format(number=number), limit=60) == ["True"]


CALLS_THAT_END_IN_TURN = """
import itertools
steps = itertools.count()
library = os.path.dirname(sys.modules["parallel"].__file__)
def count_steps(frame, event, _):
    if not frame.f_code.co_filename.startswith(library):
        return None
    frame.f_trace_opcodes = True
    next(steps)
    return count_steps
threading.settrace(count_steps)
gates = [threading.Event() for _ in range({number})]
def held(gate):
    held_threads.append(threading.current_thread())
    assert gate.wait(20)
    ended.append(gate)
ended, held_threads = [], []
calls = parallel_map(held, gates)
def end_in_turn():
    threading.main_thread().join()
    for number, gate in enumerate(gates, start=1):
        gate.set()
        wait_until(lambda: len(ended) == number)
        time.sleep(0.001)
threading.Thread(target=end_in_turn).start()
atexit.register(lambda: say(next(steps)))
"""


@starts_threads_at_exit
@pytest.mark.skipif(PYPY, reason="PyPy has no steps of bytecode to count")
def test_end_of_program_takes_steps_in_proportion_to_its_calls() -> None:
    (fewer,), (more,) = (run(CALLS_THAT_END_IN_TURN.format(number=number)) for number in (40, 320))
    # Eight times as many calls: eight times as many steps, or sixty-four times where each end looks at all calls.
    assert int(more) < 16 * int(fewer)


# Children forked inside a call

FORK_IN_CALL = """
def fork_here(in_child=lambda: None):
    child = os.fork()
    if child == 0:
        signal.alarm(20)  # Ends it should it hang.
        in_child()
        return None
    begun = time.monotonic()
    status = os.waitpid(child, 0)[1]
    assert status == 0, status
    seconds = time.monotonic() - begun
    # Idle threads would keep it for ten seconds.
    assert seconds < 5, seconds
    return "ended soon"
"""
CHILDREN = {
    "no call of its own": "lambda: None",
    "calls of its own": "use_everything",
    "many calls of its own": "lambda: make_idle_threads(30)",
}
if not PYPY:  # Which does not drop the block at once, and so not its threads.
    CHILDREN["a block of its own"] = "lambda: parallel(Manager()).parallel(Manager()).__enter__() and None"


@needs_fork
@pytest.mark.parametrize("in_child", CHILDREN.values(), ids=CHILDREN.keys())
def test_child_forked_inside_a_call_ends_when_it_returns(in_child: str) -> None:
    code = f"""
    assert parallel(fork_here)({in_child}).results() == ("ended soon",)
    use_everything()
    """
    assert run(FORK_IN_CALL + textwrap.dedent(code), flags=FORKS) == []


WAYS_TO_FORK = {
    "a submitted call": "assert ParallelExecutor().submit(fork_here, use_everything).result() == 'ended soon'",
    "a call inside a call": """
    nested = lambda: parallel(fork_here)(use_everything).results()
    assert parallel(nested)().results() == (("ended soon",),)
    """,
    "a call on a reused thread": """
    make_idle_threads(3)
    assert parallel(fork_here)(use_everything).results() == ("ended soon",)
    """,
    "a call beside held calls": """
    go = threading.Event()
    held = parallel_map(lambda _: go.wait(20), range(5))
    try: assert parallel(fork_here)(use_everything).results() == ("ended soon",)
    finally: go.set()
    assert held.results() == (True,) * 5
    """,
    "an enter": """
    class Forks(Manager):
        def __enter__(self): return fork_here(use_everything)
        def __exit__(self, *_): pass
    with parallel(Forks()) as (outcome,): assert outcome == "ended soon"
    """,
    "a done-callback": """
    outcomes, gate = [], threading.Event()
    future = ParallelExecutor.execute_one(gate.wait, 20)
    future.add_done_callback(lambda _: outcomes.append(fork_here(use_everything)))
    gate.set()
    wait_until(lambda: outcomes)
    assert outcomes == ["ended soon"]
    """,
}


@needs_fork
@pytest.mark.parametrize("way", WAYS_TO_FORK.values(), ids=WAYS_TO_FORK.keys())
def test_child_that_made_calls_ends_when_what_forked_it_returns(way: str) -> None:
    assert run(FORK_IN_CALL + textwrap.dedent(way), flags=FORKS) == []


@needs_fork
def test_child_forked_inside_a_call_ends_after_its_own_calls() -> None:
    code = """
    def in_child():
        for seconds in (0.1, 0.3): parallel(lambda: (time.sleep(seconds), say("call of the child")))()
    assert parallel(fork_here)(in_child).results() == ("ended soon",)
    say("parent")
    """
    assert run(FORK_IN_CALL + textwrap.dedent(code), flags=FORKS) == [*["call of the child"] * 2, "parent"]


# Blocks whose managers begin to wait when the main thread has ended


@starts_threads_at_exit
@pytest.mark.parametrize(
    ("end", "lines"),
    [
        ("block.__exit__(None, None, None)", ["left second None", "left first None"]),
        ("block = None", []),
        ("kept.append(block)", []),
    ],
    ids=["left", "dropped", "kept"],
)
def test_block_entered_after_the_main_thread_does_not_hang_the_end(end: str, lines: list[str]) -> None:
    code = f"""
    kept = []
    def outlive():
        threading.main_thread().join()
        block = parallel(Manager("first")).parallel(Manager("second"))
        assert block.__enter__() == ("first", "second")
        {end}
    threading.Thread(target=outlive).start()
    """
    assert run(code) == lines


@starts_threads_at_exit
def test_enter_that_returns_after_the_main_thread_does_not_hang_the_end() -> None:
    code = """
    inside = threading.Event()
    class Slow(Manager):
        def __enter__(self):
            inside.set()
            threading.main_thread().join()
    block = parallel(Manager()).parallel(Slow())
    threading.Thread(target=block.__enter__).start()
    assert inside.wait(15)
    """
    assert run(code) == []


@starts_threads_at_exit
def test_call_that_ends_last_is_waited_for_beside_a_block_never_left() -> None:
    code = """
    def outlive():
        threading.main_thread().join()
        kept.append(parallel(Manager()))
        kept[0].__enter__()
        parallel(lambda: (time.sleep(0.2), say("last call")))()
    kept = []
    threading.Thread(target=outlive).start()
    """
    assert run(code) == ["last call"]


# Blocks that a generator is suspended in

FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))

SHOP = """
import os

class Cleaned:
    def __del__(self, write=os.write):
        write(1, b"module cleaned\\n")

class Manager:
    def __init__(self, name):
        self.name = name
    def __enter__(self):
        return self.name
    def __exit__(self, kind, *_):
        os.write(1, ("left %s %s\\n" % (self.name, kind and kind.__name__)).encode())

cleaned = Cleaned()
"""
PROGRAMS = {
    "generator of the module": """
def generator():
    with {block} as values: yield values
suspended = generator()
next(suspended)
""",
    "generator in a frame that a global holds": """
def generator():
    with {block} as values: yield values
def outer():
    inner = generator()
    yield next(inner)
suspended = outer()
next(suspended)
""",
    "generator in an attribute": """
class Service:
    def start(self):
        self.running = self.run()
        next(self.running)
    def run(self):
        with {block} as values: yield values
service = Service()
service.start()
""",
    "generator that says what closes it": """
def generator():
    try:
        with {block} as values: yield values
    except BaseException as error:
        say("closed by", type(error).__name__)
        raise
    finally:
        say("finally")
suspended = generator()
next(suspended)
""",
    "generator functions as managers": """
import contextlib
@contextlib.contextmanager
def resource(name):
    try: yield name
    finally: say("closed", name)
Manager = resource
def generator():
    with {block} as values: yield values
suspended = generator()
next(suspended)
""",
    "managers of another module": """
from shop import Manager
def generator():
    with {block} as values: yield values
suspended = generator()
next(suspended)
""",
    "generator of a class of another module": """
import shop
from shop import Manager
class Service(shop.Manager):
    def run(self):
        with {block} as values: yield values
shop.running = Service("service").run()
next(shop.running)
""",
}
NESTED, CHAINED = 'Manager("first"), Manager("second")', 'parallel(Manager("first")).parallel(Manager("second"))'


def exits(lines: list[str]) -> list[str]:
    """What the block did, without what the end of the program did beside it."""
    return [line for line in lines if line != "module cleaned"]


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS.keys())
def test_block_of_a_suspended_generator_is_left_as_with_leaves_it(program: str, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(SHOP, encoding="utf-8")
    nested, chained = (run(program.format(block=block), path=[tmp_path]) for block in (NESTED, CHAINED))
    if not FREE_THREADED:  # Which leaves the order of finalizers to the collector, of generators that are managers too.
        assert exits(chained) == exits(nested)
    assert sorted(chained) == sorted(nested)  # In which order unrelated objects are finalized is left to the collector.
    if not PYPY:  # Which closes no generator at the end.
        assert exits(chained)


ENTERED = {
    "nested": 'managers = [Manager("first"), Manager("second")]\nfor manager in managers: manager.__enter__()',
    "chained": 'block = parallel(Manager("first")).parallel(Manager("second"))\nblock.__enter__()',
}


@pytest.mark.parametrize("where", ["from shop import Manager", "import shop; Manager = shop.Manager"])
def test_block_never_left_keeps_no_module_from_being_cleaned(where: str, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(SHOP, encoding="utf-8")
    nested, chained = (run(f"{where}\n{entered}", path=[tmp_path]) for entered in ENTERED.values())
    assert chained == nested
    if not PYPY:  # Which runs no finalizer at the end.
        assert chained == ["module cleaned"]


@pytest.mark.skipif(PYPY, reason="PyPy closes no generator at the end")
def test_exits_at_once_are_run_for_a_suspended_generator() -> None:
    block = 'parallel(Manager("first"), parallel_exit=True).parallel(Manager("second"))'
    lines = run(PROGRAMS["generator of the module"].format(block=block))
    assert sorted(lines) == ["left first GeneratorExit", "left second GeneratorExit"]
