"""The four primitives. A scripted moment stands for a signal handler, which may run between any two opcodes."""

from __future__ import annotations

import sys
import threading
from typing import Any

import pytest

from helpers import ERRORS, LIMIT, PYPY, ScriptedLock, moments
from parallel import ParallelExecutor, _sync, parallel_map
from parallel._sync import CountDownLatch, Latch, Once, Wakeup, _LockWakeup, _QueueWakeup


def assert_free(latch: Latch) -> None:
    """Every thread passes, and the latch stays open."""
    assert latch.is_open
    assert not latch._lock.locked()
    assert latch.wait(0)


# Latch


@pytest.mark.parametrize("timeout", [-1, 0, 0.01])
def test_closed_latch_is_waited_for_no_longer_than_the_limit(timeout: float) -> None:
    latch = Latch()
    assert latch.wait(timeout) is False
    latch.open()
    assert latch.wait(timeout) is True
    assert latch.wait(timeout) is True


def test_latch_may_be_opened_again() -> None:
    latch = Latch()
    assert not latch.is_open
    for _ in range(3):
        latch.open()
        assert_free(latch)


def test_waiting_threads_pass_one_after_the_other() -> None:
    latch = Latch()
    lock = ScriptedLock(latch, 3)
    waiting = parallel_map(latch.wait, [None, LIMIT, LIMIT])
    lock.wait_for_threads()
    latch.open()
    assert waiting.results(timeout=LIMIT / 3) == (True,) * 3
    assert_free(latch)


def test_thread_that_passes_lets_the_next_thread_pass() -> None:
    latch = Latch()
    ScriptedLock(latch, 3)
    waiting = parallel_map(latch.wait, [LIMIT] * 3)
    assert latch.wait(LIMIT)
    assert waiting.results(timeout=LIMIT / 3) == (True,) * 3
    assert_free(latch)


def test_signal_handler_passes_while_its_own_thread_is_passing() -> None:
    latch = Latch()
    latch.open()
    assert latch._lock.acquire(False)  # The thread that has just passed holds it.
    assert ParallelExecutor.execute_one(latch.wait).result(LIMIT / 3)


def test_latch_that_opens_as_the_time_passes_is_open() -> None:
    latch = Latch()

    class LateLock:
        def __init__(self, lock: threading.Lock) -> None:
            self.release, self.locked = lock.release, lock.locked

        def acquire(self, *_: object) -> bool:
            latch.open()
            return False

    vars(latch)["_lock"] = LateLock(latch._lock)
    assert latch.wait(0.01)
    assert not latch._lock.locked()


def test_lock_that_another_thread_has_just_released_is_no_error() -> None:
    latch = Latch()

    class ReleasedLock:
        def __init__(self, lock: threading.Lock) -> None:
            self.release = lock.release

        def locked(self) -> bool:
            self.release()  # Another thread does it as soon as this thread has looked.
            return True

    lock, vars(latch)["_lock"] = latch._lock, ReleasedLock(latch._lock)
    latch.open()
    vars(latch)["_lock"] = lock
    assert_free(latch)


def test_thread_interrupted_anywhere_in_a_wait_holds_nobody_up() -> None:
    for moment in moments(_sync):
        latch = Latch()
        ScriptedLock(latch, 2)
        waiting = parallel_map(latch.wait, [LIMIT] * 2)
        try:
            moment.interrupt(KeyboardInterrupt, latch.wait, LIMIT)
            if not latch.is_open:  # The thread was interrupted before it could pass.
                latch.open()
            assert waiting.results(timeout=LIMIT / 3) == (True,) * 2
        finally:
            latch.open()


def test_all_pass_when_an_interrupted_open_is_repeated() -> None:
    for moment in moments(_sync):
        latch = Latch()
        lock = ScriptedLock(latch, 2)
        waiting = parallel_map(latch.wait, [LIMIT] * 2)
        lock.wait_for_threads()
        try:
            moment.interrupt(KeyboardInterrupt, latch.open)
        finally:
            latch.open()
        assert waiting.results(timeout=LIMIT / 3) == (True,) * 2


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("is_open", [False, True])
@pytest.mark.parametrize("method", ["open", "wait"])
def test_latch_swallows_no_exception_and_stays_usable(error: type[BaseException], is_open: bool, method: str) -> None:
    arguments = [0] if method == "wait" else []
    for moment in moments(_sync):
        latch = Latch()
        if is_open:
            latch.open()
        moment.interrupt(error, getattr(latch, method), *arguments)
        getattr(latch, method)(*arguments)
        assert latch.is_open is (is_open or method == "open")
        latch.open()
        assert_free(latch)


@pytest.mark.parametrize("method", ["open", "wait"])
def test_latch_may_be_opened_in_the_middle_of_its_methods(method: str) -> None:
    arguments = [LIMIT] if method == "wait" else []
    for moment in moments(_sync):
        latch = Latch()
        ScriptedLock(latch, 0)  # The wait ends, if nothing else ends it.
        moment.during(getattr(latch, method), *arguments, happen=latch.open)
        assert_free(latch)


def test_latch_may_be_waited_for_in_the_middle_of_its_methods() -> None:
    for method in ["open", "wait"]:
        for moment in moments(_sync):
            latch = Latch()
            ScriptedLock(latch, 0)  # As above.
            seen: list[bool] = []

            def wait() -> None:
                # A closed latch is waited for in vain: the thread that opens it is this one.
                was_open = latch.is_open  # noqa: B023  # It is called here, and so below.
                seen.append(latch.wait(LIMIT if was_open else 0) or not was_open)  # noqa: B023

            moment.during(getattr(latch, method), *[LIMIT] * (method == "wait"), happen=wait)
            assert seen == [True] * moment.has_come
            assert_free(latch)


# CountDownLatch


def test_count_down_latch_opens_at_the_last_event() -> None:
    latch = CountDownLatch(3)
    waiting = ParallelExecutor.execute_one(latch.wait, LIMIT)
    for _ in range(2):
        latch.count_down()
        assert not latch.wait(0)
    assert not waiting.done()
    latch.count_down()
    assert waiting.result(LIMIT)


def test_count_down_latch_of_no_events_is_open() -> None:
    assert_free(CountDownLatch(0))


def test_events_after_the_last_one_change_nothing() -> None:
    latch = CountDownLatch(1)
    for _ in range(3):
        latch.count_down()
        assert_free(latch)


def test_count_down_latch_may_be_opened_early() -> None:
    latch = CountDownLatch(2)
    latch.open()
    assert_free(latch)
    for _ in range(3):
        latch.count_down()
        assert_free(latch)


def test_events_on_many_threads_at_once_are_all_counted() -> None:
    for _ in range(50):
        barrier, latch = threading.Barrier(8), CountDownLatch(9)

        def count(_: int) -> None:
            barrier.wait(LIMIT)  # noqa: B023  # It is called here.
            latch.count_down()  # noqa: B023  # As above.

        parallel_map(count, range(8)).results(timeout=LIMIT)
        assert not latch.is_open
        latch.count_down()
        assert_free(latch)


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("left", [0, 1, 2])
def test_count_down_swallows_no_exception_and_may_be_repeated(error: type[BaseException], left: int) -> None:
    for moment in moments(_sync):
        latch = CountDownLatch(left)
        moment.interrupt(error, latch.count_down)
        for _ in range(max(left, 1)):
            latch.count_down()
        assert_free(latch)


def test_all_pass_when_an_interrupted_count_down_is_repeated() -> None:
    for moment in moments(_sync):
        latch = CountDownLatch(1)
        lock = ScriptedLock(latch, 2)
        waiting = parallel_map(latch.wait, [LIMIT] * 2)
        lock.wait_for_threads()
        try:
            moment.interrupt(KeyboardInterrupt, latch.count_down)
            latch.count_down()
            assert waiting.results(timeout=LIMIT / 3) == (True,) * 2
        finally:
            latch.open()


@pytest.mark.parametrize("total", [1, 2, 3])
def test_events_in_the_middle_of_a_count_down_are_counted(total: int) -> None:
    for moment in moments(_sync):
        latch = CountDownLatch(total)
        moment.during(latch.count_down, happen=latch.count_down)
        assert latch.is_open is (total <= 1 + moment.has_come)
        for _ in range(total):
            latch.count_down()
        assert_free(latch)


# Wakeup


@pytest.fixture(params=[_LockWakeup] if PYPY else [_LockWakeup, _QueueWakeup])
def cls(request: pytest.FixtureRequest) -> Any:
    return request.param


def test_wakeup_of_this_build_does_not_spin_without_a_gil() -> None:
    assert Wakeup is (_QueueWakeup if "t" in getattr(sys, "abiflags", "") else _LockWakeup)


def test_wakeup_that_is_set_twice_ends_one_wait(cls: Any) -> None:
    wakeup = cls()
    for _ in range(3):
        wakeup.set()
        wakeup.set()
        assert wakeup.wait(LIMIT) is True
        assert wakeup.wait(0) is False


@pytest.mark.parametrize("timeout", [0, 0.01])
def test_wakeup_that_is_not_set_is_waited_for_up_to_the_limit(cls: Any, timeout: float) -> None:
    wakeup = cls()
    assert wakeup.wait(timeout) is False
    wakeup.set()
    assert wakeup.wait(timeout) is True
    assert wakeup.wait(timeout) is False


def test_wakeup_ends_a_wait_without_limit(cls: Any) -> None:
    wakeup = cls()
    waiting = ParallelExecutor.execute_one(wakeup.wait)
    wakeup.set()
    assert waiting.result(LIMIT) is True
    assert wakeup.wait(0) is False


def test_two_threads_wake_each_other_in_turn(cls: Any) -> None:
    ping, pong = cls(), cls()

    def answer() -> None:
        for _ in range(200):
            assert ping.wait(LIMIT)
            pong.set()

    answering = ParallelExecutor.execute_one(answer)
    for _ in range(200):
        ping.set()
        assert pong.wait(LIMIT)
    assert answering.result(LIMIT) is None


def test_wakeup_that_many_threads_set_at_once_is_set(cls: Any) -> None:
    for _ in range(50):
        barrier, wakeup = threading.Barrier(4), cls()

        def wake(_: int) -> None:
            barrier.wait(LIMIT)  # noqa: B023  # It is called here.
            wakeup.set()  # noqa: B023  # As above.

        waking = parallel_map(wake, range(4))
        assert wakeup.wait(LIMIT)
        waking.results(timeout=LIMIT)


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("is_set", [False, True])
@pytest.mark.parametrize("method", ["set", "wait"])
def test_wakeup_swallows_no_exception_and_stays_usable(
    cls: Any, error: type[BaseException], is_set: bool, method: str
) -> None:
    arguments = [0] if method == "wait" else []
    for moment in moments(_sync):
        wakeup = cls()
        if is_set:
            wakeup.set()
        moment.interrupt(error, getattr(wakeup, method), *arguments)
        getattr(wakeup, method)(*arguments)
        wakeup.set()
        assert wakeup.wait(0) is True
        assert wakeup.wait(0) is False


def test_wakeup_may_be_set_in_the_middle_of_a_set(cls: Any) -> None:
    for moment in moments(_sync):
        wakeup = cls()
        moment.during(wakeup.set, happen=wakeup.set)
        assert wakeup.wait(0) is True
        # Two threads that set the queue's wakeup at once may end a second wait, in vain.
        assert wakeup.wait(0) in ([False] if cls is _LockWakeup else [False, True])
        assert wakeup.wait(0) is False


def test_wakeup_may_be_set_in_the_middle_of_a_wait(cls: Any) -> None:
    for moment in moments(_sync):
        wakeup = cls()
        woken = moment.during(wakeup.wait, 0, happen=wakeup.set)
        assert [woken, wakeup.wait(0)].count(True) == moment.has_come
        assert wakeup.wait(0) is False


# Once


def test_first_claimant_is_first_however_often_it_asks() -> None:
    once: Once[str] = Once()
    assert once.holder is None
    for _ in range(3):
        assert once.claim("first") is True
        assert once.claim("second") is False
        assert once.holder == "first"


def test_equal_claimants_are_different_ones() -> None:
    class Equal:
        __hash__ = None  # type: ignore[assignment]  # Such classes exist.

        def __eq__(self, other: object) -> bool:
            return True

        def __bool__(self) -> bool:
            return False

    first, second = Equal(), Equal()
    once: Once[Equal] = Once()
    assert once.claim(first) is True
    assert once.claim(second) is False
    assert once.claim(first) is True
    assert once.holder is first


def test_one_of_eight_threads_is_first() -> None:
    for _ in range(50):
        barrier, once = threading.Barrier(8), Once[int]()

        def claim(number: int) -> bool:
            barrier.wait(LIMIT)  # noqa: B023  # It is called here.
            return once.claim(number)  # noqa: B023  # As above.

        answers = parallel_map(claim, range(8)).results(timeout=LIMIT)
        assert [number for number in range(8) if answers[number]] == [once.holder]


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("other_claims", ["", "before", "after"])
def test_interrupted_claimant_asks_again_and_is_told(error: type[BaseException], other_claims: str) -> None:
    for moment in moments(_sync):
        once: Once[str] = Once()
        if other_claims == "before":
            once.claim("other")
        moment.interrupt(error, once.claim, "first")
        was_first = once.holder == "first"
        if other_claims == "after":
            assert once.claim("other") is not was_first
        assert once.claim("first") is (once.holder == "first")
        assert once.claim("first") is (was_first if other_claims else True)


def test_claimant_in_the_middle_of_a_claim_is_first_or_not() -> None:
    for moment in moments(_sync):
        once: Once[str] = Once()
        answers: list[bool] = []
        answer = moment.during(once.claim, "outer", happen=lambda: answers.append(once.claim("inner")))  # noqa: B023
        assert answers == [not answer] * moment.has_come
        assert once.holder == ("outer" if answer else "inner")
