"""The future of a call: as the standard's, whichever of the two classes is used."""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import subprocess
import sys
import threading
from concurrent.futures import FIRST_COMPLETED, Future, InvalidStateError, as_completed, wait
from typing import Any, Iterator

import pytest

from helpers import ERRORS, LIMIT, PYPY, InterruptError, ScriptedLock, moments, wait_until
from parallel import ParallelExecutor, _call_future, _sync, parallel_map
from parallel._call_future import CallFuture, _LatchFuture, _PlainFuture, _works

IS_AS_KNOWN = _works(_LatchFuture)
"""Whether this interpreter's futures are made as the library knows them."""

needs_latch_future = pytest.mark.skipif(
    not IS_AS_KNOWN, reason="this interpreter's futures differ, so the library uses the standard ones"
)


class Waiter:
    """Notes what it is told of; like the waiters of ``concurrent.futures``."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def add_result(self, _: Future[Any], /) -> None:
        self.told.append("result")

    def add_exception(self, _: Future[Any], /) -> None:
        self.told.append("exception")

    def add_done(self, future: Future[Any], /) -> None:
        self.told.append("result" if future.exception(0) is None else "exception")


# The latch at which threads wait for the outcome


class FutureLock(ScriptedLock):
    """The lock of a future's latch: the future is set as soon as enough threads wait."""

    def __init__(self, future: _LatchFuture, number: int) -> None:
        super().__init__(future._latch, number)
        self._future = future

    def wait_for_threads(self) -> None:
        super().wait_for_threads()
        self._future._result = "result"
        self._future._state = "FINISHED"


@needs_latch_future
def test_thread_that_gets_the_result_lets_the_next_thread_get_it() -> None:
    future = _LatchFuture()
    FutureLock(future, 3)
    others = parallel_map(future.result, [LIMIT] * 3)
    assert future.result(LIMIT) == "result"
    assert others.results(timeout=LIMIT / 3) == ("result",) * 3


@needs_latch_future
def test_thread_interrupted_anywhere_in_its_wait_holds_nobody_up() -> None:
    for moment in moments(_call_future, _sync):
        future = _LatchFuture()
        lock = FutureLock(future, 2)
        others = parallel_map(future.result, [LIMIT] * 2)
        moment.interrupt(InterruptError, future.result, LIMIT)
        if not future._latch.is_open:  # The thread was interrupted before it could pass.
            lock.wait_for_threads()
            future._latch.open()
        assert others.results(timeout=LIMIT / 3) == ("result",) * 2
        assert future.result(LIMIT) == "result"


@needs_latch_future
def test_interrupted_wait_leaves_the_future_as_it_was() -> None:
    for moment in moments(_call_future, _sync):
        future = _LatchFuture()
        try:
            moment.interrupt(InterruptError, future.result, 0)
        except concurrent.futures.TimeoutError:
            assert not moment.has_come
        assert future.running()
        with pytest.raises(concurrent.futures.TimeoutError):
            future.result(0)
        future.set_result("result")
        assert future.result(LIMIT) == "result"


# Setting the outcome, with something else in the middle

MODULES = (_call_future, _sync, concurrent.futures._base)


@needs_latch_future
@pytest.mark.parametrize("before", [0, 1])
def test_callback_added_while_the_future_is_being_set_is_called_once(before: int) -> None:
    for moment in moments(*MODULES):
        future = _LatchFuture()
        called: list[Any] = []
        for _ in range(before):
            future.add_done_callback(called.append)
        moment.during(future.set_result, 1, happen=lambda: future.add_done_callback(called.append))  # noqa: B023
        assert called == [future] * (before + moment.has_come)


@needs_latch_future
@pytest.mark.parametrize("outcome", ["result", "exception"])
def test_waiter_added_while_the_future_is_being_set_is_told_once(outcome: str) -> None:
    for moment in moments(*MODULES):
        future, waiters = _LatchFuture(), [Waiter(), Waiter()]
        future.add_waiter(waiters[0])
        set_it = future.set_result if outcome == "result" else future.set_exception
        moment.during(set_it, ValueError(), happen=lambda: future.add_waiter(waiters[1]))  # noqa: B023
        assert waiters[0].told == [outcome]
        assert waiters[1].told == [outcome] * moment.has_come


@needs_latch_future
def test_waiter_is_told_once_when_a_thread_sets_the_future_meanwhile() -> None:
    for moment in moments(*MODULES):
        future, waiter = _LatchFuture(), Waiter()
        setting: list[Any] = []

        def set_it() -> None:
            setting.append(ParallelExecutor.execute_one(future.set_result, 1))  # noqa: B023  # It is called in this round.

        moment.during(future.add_waiter, waiter, happen=set_it)
        if not moment.has_come:
            set_it()
        assert setting[0].result(LIMIT) is None
        assert waiter.told == ["result"]


@needs_latch_future
def test_standards_functions_may_be_used_while_the_future_is_being_set() -> None:
    for moment in moments(*MODULES):
        future: Any = _LatchFuture()
        other: Future[None] = Future()
        seen: list[Any] = []

        def use() -> None:
            done = future.done()  # noqa: B023  # It is called in this round.
            seen.append(wait([future, other], 0).done == ({future} if done else set()))  # noqa: B023  # As above.
            seen.append(not done or next(as_completed([other, future], LIMIT)) is future)  # noqa: B023  # As above.
            seen.append(not done or future.result(0) == 1)  # noqa: B023  # As above.

        moment.during(future.set_result, 1, happen=use)
        assert seen == [True] * 3 * moment.has_come
        assert future.result(0) == 1


@needs_latch_future
def test_outcome_set_while_the_future_is_being_set_stays_or_is_refused() -> None:
    for moment in moments(*MODULES):
        future = _LatchFuture()
        others: list[bool] = []
        set_other = lambda: others.append(future.try_to_set("other", None))  # noqa: B023  # It is called in this round.
        is_set = moment.during(future.try_to_set, "result", None, happen=set_other)
        if not is_set:
            assert others == [True]
            assert future.result(0) == "other"
        assert future.done()


@needs_latch_future
@pytest.mark.parametrize("error", ERRORS)
def test_interrupted_setting_is_repeated_and_all_who_wait_pass(error: type[BaseException]) -> None:
    for moment in moments(_call_future, _sync):
        future = _LatchFuture()
        moment.interrupt(error, future.try_to_set, 1, None)
        first = future._state == "FINISHED"
        assert future.try_to_set(2, None) is not first
        assert future.result(0) == (1 if first else 2)
        assert future._latch.is_open
        assert not future._latch._lock.locked()


class TellingLock:
    """A lock that tells when another thread than the one that made it is about to acquire it."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.arrived = threading.Event()
        self._main = threading.get_ident()

    def __enter__(self) -> None:
        if threading.get_ident() != self._main:
            self.arrived.set()
        self.lock.acquire()

    def __exit__(self, *_: object) -> None:
        self.lock.release()

    def _is_owned(self) -> Any:
        return self.lock._is_owned()  # type: ignore[attr-defined]  # It is in no stub.


@needs_latch_future
@pytest.mark.parametrize("ask", ["done", "running", "__repr__"])
def test_signal_handler_that_asks_in_the_middle_of_a_wait_changes_nothing(ask: str) -> None:
    waiter = Waiter()
    future: Any = _LatchFuture()
    lock = future._condition = TellingLock()
    with future._condition:
        # As concurrent.futures.wait does, in the middle of which a handler comes.
        assert future._state == "RUNNING"
        setting = ParallelExecutor.execute_one(future.set_result, 1)
        assert lock.arrived.wait(LIMIT)
        getattr(future, ask)()
        future._waiters.append(waiter)
    assert setting.result(LIMIT) is None
    assert waiter.told == ["result"]
    assert future.done()


@needs_latch_future
def test_waiter_that_is_told_finds_the_future_done() -> None:
    seen: list[Any] = []

    class Asking(Waiter):
        def add_result(self, future: Any) -> None:
            seen.append((future.done(), future.result(0), future.exception(0)))

    future = _LatchFuture()
    future.add_waiter(Asking())
    future.set_result("result")
    future.add_waiter(Asking())
    assert seen == [(True, "result", None)] * 2


@needs_latch_future
def test_signal_handler_that_waits_with_the_lock_lets_go_of_it_meanwhile() -> None:
    future: Any = _LatchFuture()
    for timeout in [0, 0.01]:
        with future._condition, future._condition:
            with pytest.raises(concurrent.futures.TimeoutError):
                future.result(timeout)
            assert future._condition._is_owned()
        assert not future._condition._is_owned()


FINALIZED_IN_THE_MIDDLE = """
import gc
from parallel._call_future import CallFuture

class Asks:
    def __init__(self, future, seen):
        self.itself, self.future, self.seen = self, future, seen
    def __del__(self):
        self.future.add_done_callback(self.seen.append)

def check(count, set_it):
    future, seen = CallFuture(), []
    gc.collect()
    Asks(future, seen)
    # No dictionary lies ready now, so that one has to be made, which may be when garbage is collected.
    kept.append([{1: 2} for _ in range(200)])
    gc.set_threshold(gc.get_count()[0] + count)
    gc.enable()
    if set_it:
        future.set_exception(error)
    future.add_done_callback(seen.append)
    gc.disable()
    gc.collect()
    if not set_it:
        future.set_exception(error)
    assert seen == [future] * 2 and future.exception() is error

gc.disable()
kept, error = [], ValueError()
# They leave no room for attributes that objects of the class have not had yet.
kept.append([CallFuture() for _ in range(100)])
for count in range(1, 30):
    check(count, False)
    check(count, True)
    gc.collect()
"""


def run_child(program: str, **environment: str) -> str:
    """Runs a program that must say nothing on its error stream; returns what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=LIMIT * 5,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.skipif(PYPY, reason="PyPy has no counts at which it collects garbage")
def test_finalizer_may_run_in_the_middle_of_everything() -> None:
    # With this allocator, a process that uses memory that has been freed crashes.
    run_child(FINALIZED_IN_THE_MIDDLE, PYTHONMALLOC="debug")


# Which class


def test_future_is_of_the_class_that_works_here() -> None:
    assert CallFuture.__mro__[1] is (_LatchFuture if IS_AS_KNOWN else _PlainFuture)


def test_class_with_other_attributes_than_the_standards_does_not_work() -> None:
    class WithOneMore(_LatchFuture):
        def __init__(self) -> None:
            super().__init__()
            self._added_later = None

    class WithOneLess(_LatchFuture):
        def __init__(self) -> None:
            super().__init__()
            del self._waiters

    assert not _works(WithOneMore)
    assert not _works(WithOneLess)


@needs_latch_future
@pytest.mark.parametrize("name", ["_is_owned", "_release_save", "_acquire_restore"])
def test_class_whose_lock_cannot_be_restored_does_not_work(name: str) -> None:
    class Lock:
        """A reentrant lock without one of its private methods."""

        def __init__(self) -> None:
            lock: Any = threading.RLock()
            self.acquire, self.release, self.__dict__["_entered"] = lock.acquire, lock.release, lock
            for each in {"_is_owned", "_release_save", "_acquire_restore"} - {name}:
                setattr(self, each, getattr(lock, each))

        def __enter__(self) -> Any:
            return self.acquire()

        def __exit__(self, *_: object) -> None:
            self.release()

    class WithOtherLock(_LatchFuture):
        def __init__(self) -> None:
            super().__init__()
            self._condition = Lock()

    assert not _works(WithOtherLock)


ONE_MORE_ATTRIBUTE = """
from concurrent.futures import Future

make = Future.__init__

def make_and_add(self):
    make(self)
    self._added_later = None

Future.__init__ = make_and_add
"""

LOCK_THAT_CANNOT_BE_RESTORED = """
import threading

make_lock = threading.RLock

class RLock:
    def __init__(self):
        self._lock = make_lock()
        self.acquire, self.release, self._is_owned = self._lock.acquire, self._lock.release, self._lock._is_owned
        if hasattr(self._lock, "locked"):
            self.locked = self._lock.locked
    def __enter__(self):
        return self.acquire()
    def __exit__(self, *_):
        self.release()

threading.RLock = RLock
"""

USES_THE_LIBRARY = """
import asyncio, concurrent.futures, threading
from concurrent.futures import as_completed, wait
from parallel import ParallelExecutor, ReturnWhen, parallel, parallel_contexts, parallel_map
from parallel._call_future import CallFuture, _PlainFuture

assert issubclass(CallFuture, _PlainFuture)

def fail():
    raise ValueError("failed")

release = threading.Event()

# Chains, also with time limits and until the first failure.
assert parallel(int)().parallel(str)().results() == (0, "")
assert parallel_map(int, "123").results(timeout=30) == (1, 2, 3)
try:
    parallel(release.wait)().results(timeout=0.01)
except TimeoutError:
    pass
try:
    parallel(release.wait)().parallel(fail)().results(return_when=ReturnWhen.FIRST_EXCEPTION)
except ValueError as error:
    assert str(error) == "failed"

# The standard's functions.
calls = [ParallelExecutor.execute_one(release.wait), ParallelExecutor.execute_one(int)]
assert next(as_completed(calls, 30)) is calls[1]
assert wait(calls, 0.01).not_done == {calls[0]}
try:
    calls[0].result(0.01)
except concurrent.futures.TimeoutError:
    pass
called = threading.Event()
calls[0].add_done_callback(lambda _: called.set())
release.set()
assert wait(calls, 30).done == set(calls) and called.wait(30)

# An event loop, and managers.
async def main():
    return await parallel(int)().parallel(str)()

assert asyncio.run(main()) == (0, "")

class Manager:
    def __enter__(self):
        return self
    def __exit__(self, *_):
        print("exit")

with parallel_contexts([Manager(), Manager()]) as managers:
    assert len(managers) == 2
"""


@pytest.mark.parametrize("change", [ONE_MORE_ATTRIBUTE, LOCK_THAT_CANNOT_BE_RESTORED], ids=["attribute", "lock"])
def test_library_works_where_the_standards_future_is_another(change: str) -> None:
    assert run_child(change + USES_THE_LIBRARY) == "exit\nexit\n"


# Either future


@pytest.fixture(
    params=[
        pytest.param(_LatchFuture, marks=needs_latch_future),
        _PlainFuture,
    ]
)
def future(request: pytest.FixtureRequest) -> Iterator[Any]:
    future = request.param()
    yield future
    if not future.done():
        future.set_result(None)  # A call of the test may wait.


def test_future_is_running_and_cannot_be_cancelled(future: Any) -> None:
    assert future.running()
    assert not future.done()
    assert not future.cancel()
    assert not future.cancelled()
    assert future.running()
    assert "state=running" in repr(future)
    with pytest.raises(concurrent.futures.TimeoutError):
        future.result(0)
    with pytest.raises(concurrent.futures.TimeoutError):
        future.exception(0.01)


def test_result_is_given_to_all_threads_that_wait(future: Any) -> None:
    calls = parallel_map(lambda ask: ask(LIMIT), [future.result, future.result, future.exception])
    future.set_result("result")
    assert calls.results(timeout=LIMIT) == ("result", "result", None)
    assert future.done()
    assert not future.running()
    assert future.result() == "result"


def test_signal_handler_may_wait_in_the_middle_of_its_methods(future: Any) -> None:
    with future._condition:  # As add_done_callback() has it when the signal comes.
        setting = ParallelExecutor.execute_one(future.set_result, "result")
        assert future.result(LIMIT) == "result"
    assert setting.result(LIMIT) is None


def test_state_does_not_change_while_the_lock_is_held(future: Any) -> None:
    # wait() looks twice: which futures are done, and how many.
    with future._condition:
        setting = ParallelExecutor.execute_one(future.set_result, "result")
        assert not wait([setting], 0.05).done
        assert future._state == "RUNNING"
    assert setting.result(LIMIT) is None
    assert future._state == "FINISHED"


def test_exception_is_raised_and_returned(future: Any) -> None:
    error = OSError()
    asked = ParallelExecutor.execute_one(future.exception, LIMIT)
    future.set_exception(error)
    assert asked.result(LIMIT) is error
    with pytest.raises(OSError) as caught:
        future.result()
    assert caught.value is error


def test_outcome_is_set_once(future: Any) -> None:
    future.set_result(1)
    with pytest.raises(InvalidStateError, match="^FINISHED: <.* state=finished returned int>$"):
        future.set_result(2)
    with pytest.raises(InvalidStateError, match="^FINISHED: "):
        future.set_exception(OSError())
    assert future.result() == 1


def test_first_outcome_that_is_tried_is_set(future: Any) -> None:
    error = OSError()
    assert future.try_to_set(None, error) is True
    assert future.try_to_set(1, None) is False
    assert future.try_to_set(None, ValueError()) is False
    assert future.exception() is error


@pytest.mark.parametrize("outcome", ["result", "exception"])
def test_waiter_is_told_of_the_outcome_before_and_after(future: Any, outcome: str) -> None:
    before, after = Waiter(), Waiter()
    future.add_waiter(before)
    assert before.told == []
    getattr(future, f"set_{outcome}")(ValueError())
    future.add_waiter(after)
    assert before.told == after.told == [outcome]


def test_many_threads_set_the_outcome_once(future: Any) -> None:
    barrier = threading.Barrier(4)

    def set_at_once(number: int) -> bool:
        barrier.wait(LIMIT)
        is_set: bool = future.try_to_set(number, None)
        return is_set

    answers = parallel_map(set_at_once, range(4)).results(timeout=LIMIT)
    assert [number for number in range(4) if answers[number]] == [future.result(0)]


def test_callbacks_are_called_once_in_their_order(future: Any) -> None:
    seen: list[Any] = []
    future.add_done_callback(lambda done: seen.append((1, done)))
    future.add_done_callback(lambda done: seen.append((2, done.result())))
    assert seen == []
    future.set_result("result")
    assert seen == [(1, future), (2, "result")]
    future.add_done_callback(lambda done: seen.append((3, done)))
    assert seen[2:] == [(3, future)]


def test_standards_functions_wait_for_it(future: Any) -> None:
    other: Future[None] = Future()
    assert wait([future, other], 0).not_done == {future, other}
    with pytest.raises(concurrent.futures.TimeoutError):
        next(as_completed([future], 0))
    waiting = ParallelExecutor.execute_one(wait, [future, other], LIMIT, FIRST_COMPLETED)
    completed = ParallelExecutor.execute_one(lambda: next(as_completed([other, future], LIMIT)))
    wait_until(lambda: len(future._waiters) == 2)
    future.set_result(None)
    assert waiting.result(LIMIT).done == {future}
    assert completed.result(LIMIT) is future


def test_event_loop_waits_for_it(future: Any) -> None:
    async def main() -> Any:
        wrapped = asyncio.wrap_future(future)
        ParallelExecutor.execute_one(future.set_result, "result")
        return await asyncio.wait_for(wrapped, LIMIT)

    assert asyncio.run(main()) == "result"


def test_state_has_changed_before_the_lock_is_released() -> None:
    class Recorder:
        """A lock that notes the state of the future when it is released."""

        def __enter__(self) -> None:
            states.append(future._state)

        def __exit__(self, *_: object) -> None:
            states.append(future._state)

    states: list[str] = []
    future: Any = _LatchFuture()
    future._condition = Recorder()
    future.set_result(1)
    assert states == ["RUNNING", "FINISHED"]
