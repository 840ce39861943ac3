"""A reused thread is as good as a new one, and the surplus of a burst goes away."""

from __future__ import annotations

import ctypes
import sys
import sysconfig
import textwrap

import pytest

from children import run
from helpers import IS_NIGHTLY

# The surplus

# Less than the ten seconds after which idle threads end anyway; but free-threaded builds take long to end a thread.
SECONDS_TO_END = 40 if sysconfig.get_config_var("Py_GIL_DISABLED") else 8


@pytest.mark.parametrize("number", [2_000, 3_000, 5_000] if IS_NIGHTLY else [2_000])
def test_surplus_of_a_wide_map_is_gone_within_seconds(number: int) -> None:
    code = f"""
    before = threading.active_count()
    assert sum(parallel_map(abs, range({number})).results()) == sum(range({number}))
    wait_until(lambda: threading.active_count() - before <= 1_100, limit={SECONDS_TO_END})
    """
    assert run(code, limit=90) == []


def test_calls_after_a_wide_map_are_made_and_none_is_lost() -> None:
    code = """
    parallel_map(abs, range(2_000)).results()
    for number in range(1_000):
        assert ParallelExecutor.execute_one(abs, -number).result(20) == number
    assert parallel_map(abs, range(1_500)).results(timeout=20) == tuple(range(1_500))
    """
    assert run(code, limit=60) == []


# The size of the stack


def has_pthread_attributes() -> bool:
    """Whether the system's library tells how large the stack of a thread is."""
    return sys.platform.startswith("linux") and hasattr(ctypes.CDLL(None), "pthread_getattr_np")


needs_pthread_attributes = pytest.mark.skipif(
    not has_pthread_attributes(), reason="only the C library of Linux tells the size of a thread's stack"
)
MEASURE = """
import ctypes
libc = ctypes.CDLL(None)
libc.pthread_self.restype = ctypes.c_void_p
MIB = 1 << 20
SMALL, LARGE, HUGE = 1 * MIB, 64 * MIB, 256 * MIB

def stack(*_):
    attributes, size = ctypes.create_string_buffer(512), ctypes.c_size_t()
    assert libc.pthread_getattr_np(ctypes.c_void_p(libc.pthread_self()), attributes) == 0
    assert libc.pthread_attr_getstacksize(attributes, ctypes.byref(size)) == 0
    assert libc.pthread_attr_destroy(attributes) == 0
    return size.value

def plain_stack():
    sizes = []
    thread = threading.Thread(target=lambda: sizes.append(stack()))
    thread.start()
    thread.join()
    return sizes[0]

def is_like_a_new_thread(size):
    # The system rounds, and may hand out again a stack that is up to four times as large.
    return plain_stack() / 4 <= size <= 4 * plain_stack()

class Measures:
    def __enter__(self):
        return stack()
    def __exit__(self, *_):
        assert stack() == self.entered
"""
WAYS = {
    "execute_one": "ParallelExecutor.execute_one(stack).result(15)",
    "execute": "min(each.result(15) for each in ParallelExecutor.execute(stack, stack))",
    "submit": "ParallelExecutor().submit(stack).result(15)",
    "chain": "min(parallel(stack)().parallel(stack)().results(timeout=15))",
    "parallel_map": "min(parallel_map(stack, range(4)).results(timeout=15))",
    "manager": "enter()",
}
ENTER = """
def enter():
    managers = Measures(), Measures()
    with parallel(managers[0]).parallel(managers[1]) as sizes:
        for manager, size in zip(managers, sizes): manager.entered = size
    return min(sizes)
"""


@needs_pthread_attributes
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
def test_stack_size_holds_for_the_next_call_though_threads_are_idle(way: str) -> None:
    code = f"""
    make_idle_threads(6)
    threading.stack_size(LARGE)
    assert {way} >= LARGE
    make_idle_threads(6)
    assert {way} >= LARGE
    threading.stack_size(HUGE)
    assert {way} >= HUGE
    # Back to what it was.
    threading.stack_size(0)
    assert is_like_a_new_thread({way})
    assert threading.stack_size(0) == 0
    """
    assert run(MEASURE + ENTER + textwrap.dedent(code)) == []


@needs_pthread_attributes
def test_small_stack_size_is_not_ignored_for_threads_with_large_stacks() -> None:
    code = """
    threading.stack_size(HUGE)
    make_idle_threads(4)
    threading.stack_size(SMALL)
    assert SMALL <= ParallelExecutor.execute_one(stack).result(15) <= 4 * SMALL
    assert max(parallel_map(stack, range(8)).results(timeout=15)) <= 4 * SMALL
    """
    assert run(MEASURE + textwrap.dedent(code)) == []


@needs_pthread_attributes
@pytest.mark.parametrize("size", ["0", "SMALL", "LARGE"])
def test_calls_leave_the_stack_size_of_other_threads_alone(size: str) -> None:
    code = f"""
    size = {size}
    threading.stack_size(size)
    for _ in range(5):
        use_everything()
        make_idle_threads(3)
        # Put back by the question itself: without a number, it is set to 0.
        assert threading.stack_size(size) == size
        assert plain_stack() >= size
    assert {size} == 0 or plain_stack() <= 4 * size
    """
    assert run(MEASURE + textwrap.dedent(code)) == []


@needs_pthread_attributes
def test_stack_size_set_inside_a_call_holds_for_the_calls_after_it() -> None:
    code = """
    make_idle_threads(3)
    def set_and_call():
        threading.stack_size(LARGE)
        return parallel(stack)().results(timeout=15)
    assert parallel(set_and_call)().results(timeout=15)[0][0] >= LARGE
    assert threading.stack_size(0) == LARGE
    assert is_like_a_new_thread(parallel(stack)().results(timeout=15)[0])
    """
    assert run(MEASURE + textwrap.dedent(code)) == []


def test_no_call_is_lost_while_the_stack_size_changes() -> None:
    code = """
    barrier = threading.Barrier(5)
    for number in range(60):
        threading.stack_size([0, 1 << 20, 16 << 20][number % 3])
        assert ParallelExecutor.execute_one(abs, -number).result(15) == number
        assert parallel_map(lambda _: barrier.wait(15) >= 0, range(5)).results(timeout=15) == (True,) * 5
        with parallel(Manager(1)).parallel(Manager(2)) as values: assert values == (1, 2)
    """
    lines = run(code)
    assert lines == ["left 2 None", "left 1 None"] * 60


RECURSION = """
import functools
sys.setrecursionlimit(10**6)
def recurse(depth):
    # Through C at each step: that takes the stack of the system.
    return functools.reduce(lambda _, __: recurse(depth - 1), [0, 0]) + 1 if depth else 0
def outcome():
    try: return recurse(20_000)
    except (RecursionError, MemoryError) as error: return type(error).__name__
"""


def test_deep_recursion_has_the_stack_that_was_set_as_in_a_new_thread() -> None:
    code = """
    make_idle_threads(2)
    threading.stack_size(512 << 20)
    outcomes = []
    thread = threading.Thread(target=lambda: outcomes.append(outcome()))
    thread.start()
    thread.join()
    make_idle_threads(2)
    for _ in range(3): outcomes.append(ParallelExecutor.execute_one(outcome).result(20))
    assert outcomes == outcomes[:1] * 4, outcomes
    """
    assert run(RECURSION + textwrap.dedent(code), limit=60) == []


def test_deep_recursion_on_idle_threads_of_before_does_not_crash() -> None:
    code = """
    make_idle_threads(3)
    threading.stack_size(512 << 20)
    first = ParallelExecutor.execute_one(outcome).result(20)
    outcomes = []
    thread = threading.Thread(target=lambda: outcomes.append(outcome()))
    thread.start()
    thread.join()
    assert outcomes == [first], (outcomes, first)
    """
    assert run(RECURSION + textwrap.dedent(code), limit=60) == []
