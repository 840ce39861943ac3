"""The future of a call: as the standard's, whichever of the two is used."""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import FIRST_COMPLETED, Future, InvalidStateError, as_completed, wait
from contextlib import suppress
from functools import partial
from typing import Any, Callable, Iterator, cast

import pytest

from conftest import LIMIT, PYPY, wait_until
from parallel import ParallelExecutor, _call_future, parallel_map
from parallel._call_future import _choose, _FastFuture, _MadeWhenAskedFor, _PlainFuture


class InterruptError(BaseException):
    """What a signal handler raises."""


def nothing() -> None:
    pass


# The gate at which threads wait for the outcome


class ScriptedGate:
    """A future's gate that tells who waits, and through which this thread gets first, perhaps to be interrupted."""

    def __init__(self, future: Any, *, interrupt: str = "") -> None:
        self.waiting: list[None] = []
        self._future = future
        self._lock = future._gate
        self._interrupt = interrupt
        self._script: list[Callable[[], object]] = []
        self._main = threading.get_ident()
        future._gate = self

    def acquire(self, *arguments: Any) -> bool:
        if threading.get_ident() != self._main:
            self.waiting.append(None)
            return bool(self._lock.acquire(*arguments))
        wait_until(lambda: self.waiting)
        self._script.append(nothing)  # What is opened now, this thread closes at once.
        self._future.set_result("result")
        self._interrupt_at("acquire")
        return True

    def release(self) -> None:
        if self._script:
            self._script.pop()()
        else:
            self._interrupt_at("release")
            self._lock.release()

    def _interrupt_at(self, moment: str) -> None:
        if self._interrupt == moment:
            self._interrupt = ""
            raise InterruptError


def test_who_gets_through_lets_the_next_through() -> None:
    future: Any = _FastFuture()
    ScriptedGate(future)
    others = parallel_map(future.result, [LIMIT] * 3)
    assert future.result(LIMIT) == "result"
    assert others.results(timeout=LIMIT / 3) == ("result",) * 3


@pytest.mark.parametrize("moment", ["acquire", "release"])
def test_who_is_interrupted_on_the_way_through_holds_nobody_up(moment: str) -> None:
    future: Any = _FastFuture()
    ScriptedGate(future, interrupt=moment)
    others = parallel_map(future.result, [LIMIT] * 3)
    with pytest.raises(InterruptError):
        future.result(LIMIT)
    assert others.results(timeout=LIMIT / 3) == ("result",) * 3
    assert future.result(LIMIT) == "result"


def test_a_wait_that_is_interrupted_leaves_the_future_as_it_was() -> None:
    class InterruptedGate:
        def acquire(self, *_: Any) -> bool:
            raise InterruptError

    future: Any = _FastFuture()
    gate = future._gate
    future._gate = InterruptedGate()
    with pytest.raises(InterruptError):
        future.result(LIMIT)
    future._gate = gate
    assert gate.locked()
    with pytest.raises(concurrent.futures.TimeoutError):
        future.result(0)
    future.set_result("result")
    assert future.result(LIMIT) == "result"


# What is made when it is asked for


def test_threads_that_ask_at_once_get_the_same() -> None:
    future: Any = _FastFuture()
    other: list[Any] = []

    def make() -> object:
        if not other:
            other.append(None)
            other[0] = attribute.__get__(future, _FastFuture)  # Another thread is quicker.
        return object()

    attribute = _MadeWhenAskedFor(make)
    attribute.__set_name__(_FastFuture, "made")
    assert attribute.__get__(future, _FastFuture) is other[0]


def test_the_lock_of_a_future_that_is_only_waited_for_is_never_made() -> None:
    future: Any = _FastFuture()
    future.set_result(1)
    assert future.result() == 1
    assert future._made == {"_condition": _call_future._NEVER_ASKED}


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
# What leaves no room for attributes that objects of the class have not had yet.
kept.append([CallFuture() for _ in range(100)])
for count in range(1, 30):
    check(count, False)
    check(count, True)
    gc.collect()
"""


@pytest.mark.skipif(PYPY, reason="has no counts at which it collects garbage")
def test_a_finalizer_may_run_in_the_middle_of_everything() -> None:
    # With this allocator, whoever uses memory that has been freed crashes.
    environment = {**os.environ, "PYTHONMALLOC": "debug"}
    done = subprocess.run(
        [sys.executable, "-c", FINALIZED_IN_THE_MIDDLE],
        env=environment,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


class ScriptedFuture(_FastFuture):
    """A future in which something else happens while it is being set."""

    def __init__(self, moment: str, happen: Callable[[ScriptedFuture], object]) -> None:
        super().__init__()
        self._gate = cast("Any", ScriptedOpening(self._gate, partial(self._at, "as the gate is opened")))
        self._moment = moment
        self._happen = happen

    def __delattr__(self, name: str) -> None:
        if name == "_unset":
            self._at("before it begins")
        super().__delattr__(name)
        if name == "_unset":
            self._at("when it has begun")

    def _tell(self, lock: Any) -> None:
        self._at("as the state is set")
        super()._tell(lock)

    def _at(self, moment: str) -> None:
        if moment == self._moment:
            self._moment = ""
            self._happen(self)


class ScriptedOpening:
    """A gate that tells when it is opened."""

    def __init__(self, gate: Any, open_: Callable[[], object]) -> None:
        self._gate = gate
        self._open = open_

    def release(self) -> None:
        self._open()
        self._gate.release()


@pytest.mark.parametrize(
    "moment", ["before it begins", "when it has begun", "as the state is set", "as the gate is opened"]
)
def test_a_callback_that_is_added_while_the_future_is_being_set_is_called_once(moment: str) -> None:
    seen: list[Any] = []
    future: Any = ScriptedFuture(moment, lambda future: future.add_done_callback(seen.append))
    future.add_done_callback(seen.append)
    future.set_result(1)
    assert seen == [future] * 2


@pytest.mark.parametrize("moment", ["before it begins", "when it has begun", "as the gate is opened"])
def test_the_first_callback_that_is_added_while_the_future_is_being_set_is_called_once(moment: str) -> None:
    seen: list[Any] = []
    future: Any = ScriptedFuture(moment, lambda future: future.add_done_callback(seen.append))
    future.set_result(1)
    assert seen == [future]


class ScriptedMade(dict):  # type: ignore[type-arg]  # Below 3.9 it cannot be subscribed.
    """What a future keeps what it makes in; something else happens at each use of it, once."""

    def __init__(self, moment: int, happen: Callable[[], object]) -> None:
        super().__init__()
        self._moment = moment
        self._happen = happen

    def calm(self) -> None:
        """Lets nothing happen any more."""
        self._moment = 0

    def _at(self) -> None:
        self._moment -= 1
        if self._moment == 0:
            self._happen()

    def setdefault(self, name: Any, value: Any = None) -> Any:
        self._at()
        value = super().setdefault(name, value)
        self._at()
        return value

    def get(self, *arguments: Any) -> Any:
        self._at()
        value = super().get(*arguments)
        self._at()
        return value

    def __contains__(self, name: object) -> bool:
        self._at()
        return super().__contains__(name)


def set_with(future: Any, moment: str) -> Callable[[], None]:
    """Begins to set a future, as a thread that is then held; gives what goes on with it."""
    if moment == "in between":
        del future._unset
        future._result = 1
        return cast("Callable[[], None]", future._finish)
    return partial(future.set_result, 1)


@pytest.mark.parametrize("moment", range(1, 20))
@pytest.mark.parametrize("when", ["before", "in between", "after"])
@pytest.mark.parametrize("waits", [False, True])
def test_who_asks_in_the_middle_of_anothers_asking_is_told_once(moment: int, when: str, waits: bool) -> None:
    to_be_told: list[None] = []

    class Waiter:
        def add_result(self, _: object) -> None:
            to_be_told.pop()

    def ask(future: Any) -> None:
        if not waits:
            to_be_told.append(None)
            future.add_done_callback(lambda _: to_be_told.pop())
            return
        with future._condition:
            # As concurrent.futures.wait does, which has a waiter at all futures, but counts those that are not done.
            if future._state != "FINISHED":
                to_be_told.append(None)
            future._waiters.append(Waiter())

    future: Any = _FastFuture()
    future._made = ScriptedMade(moment, lambda: ask(future))
    if when == "before":
        ask(future)
    go_on = set_with(future, when)
    if when == "in between":
        ask(future)
    go_on()
    ask(future)
    assert to_be_told == []


@pytest.mark.parametrize("moment", range(1, 20))
@pytest.mark.parametrize("when", ["in between", "after"])
def test_who_is_interrupted_while_asking_leaves_the_state_as_it_is_to_be(moment: int, when: str) -> None:
    def interrupt() -> None:
        raise InterruptError

    future: Any = _FastFuture()
    go_on = set_with(future, when)
    if when == "after":
        go_on()
    future._made, made = ScriptedMade(moment, interrupt), future._made
    future._made.update(made)
    with suppress(InterruptError):
        future.done()
    future._made.calm()
    if when == "in between":
        go_on()
    assert future.done()
    assert future.result(0) == 1


def test_a_finalizer_that_asks_for_what_is_there_does_not_wait_for_its_own_thread() -> None:
    results: list[object] = []
    future: Any = _FastFuture()
    # Its second moment is right after the future has been set: the gate is still closed, by this very thread.
    future._made = ScriptedMade(2, lambda: results.append(future.result(LIMIT)))
    began = time.monotonic()
    future.set_result(1)
    assert results == [1]
    assert time.monotonic() < began + LIMIT / 2


class TellingLock:
    """A lock that tells when another thread than the one that made it is about to take it."""

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


@pytest.mark.parametrize("ask", ["done", "running", "__repr__"])
def test_a_signal_handler_that_asks_before_its_thread_has_its_waiter_there_takes_nothing_from_it(ask: str) -> None:
    told = threading.Event()

    class Waiter:
        def add_result(self, _: object) -> None:
            told.set()

    future: Any = _FastFuture()
    lock = future._made["_condition"] = TellingLock()
    with future._condition:
        # As concurrent.futures.wait does, in the middle of which a handler comes.
        assert future._state == "RUNNING"
        setting = ParallelExecutor.execute_one(future.set_result, 1)
        assert lock.arrived.wait(LIMIT)
        getattr(future, ask)()
        future._waiters.append(Waiter())
    assert setting.result(LIMIT) is None
    assert told.is_set()
    assert future.done()


def test_a_future_that_says_that_it_is_done_can_be_asked_at_once_also_by_who_is_being_told() -> None:
    seen: list[Any] = []

    class Waiter:
        """As those of concurrent.futures.wait; a finalizer may run there just as well."""

        def add_result(self, future: Any) -> None:
            seen.append((future.done(), future.result(0), future.exception(0)))

    future: Any = _FastFuture()
    with future._condition:
        future._waiters.append(Waiter())
    future.set_result("result")
    assert seen == [(True, "result", None)]


def test_a_future_that_is_just_being_set_is_done_for_whoever_asks_first() -> None:
    future: Any = _FastFuture()
    future._result = "result"
    future._made.setdefault("_condition", _call_future._NEVER_ASKED)
    assert future.done()
    assert future.result(0) == "result"


# Which future


def test_a_future_that_is_made_otherwise_than_known_is_used_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    class NewerFuture(Future):  # type: ignore[type-arg]  # Below 3.9 it cannot be subscribed.
        def __init__(self) -> None:
            super().__init__()
            self._added_later = None

    monkeypatch.setattr(_call_future, "Future", NewerFuture)
    assert _choose() is _PlainFuture


# Either future

IS_AS_KNOWN = set(vars(Future())) == _call_future._ATTRIBUTES


@pytest.fixture(
    params=[
        pytest.param(_FastFuture, marks=pytest.mark.skipif(not IS_AS_KNOWN, reason="futures are made otherwise here")),
        _PlainFuture,
    ]
)
def future(request: pytest.FixtureRequest) -> Iterator[Any]:
    future = request.param()
    yield future
    if not future.done():
        future.set_result(None)  # Whoever may be waiting.


def test_it_is_running_and_cannot_be_cancelled(future: Any) -> None:
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


def test_it_gives_its_result_to_all_that_wait(future: Any) -> None:
    calls = parallel_map(lambda ask: ask(LIMIT), [future.result, future.result, future.exception])
    future.set_result("result")
    assert calls.results(timeout=LIMIT) == ("result", "result", None)
    assert future.done()
    assert not future.running()
    assert future.result() == "result"


def test_it_can_be_waited_for_by_a_signal_handler_in_the_middle_of_its_own_methods(future: Any) -> None:
    with future._condition:  # As add_done_callback() has it when the signal comes.
        setting = ParallelExecutor.execute_one(future.set_result, "result")
        assert future.result(LIMIT) == "result"
    assert setting.result(LIMIT) is None


def test_its_state_does_not_change_while_its_lock_is_held(future: Any) -> None:
    # wait() looks twice: which futures are done, and how many.
    with future._condition:
        setting = ParallelExecutor.execute_one(future.set_result, "result")
        if isinstance(future, _FastFuture):
            wait_until(lambda: future._result == "result")
        assert not wait([setting], 0.05).done
        assert future._state == "RUNNING"
    assert setting.result(LIMIT) is None
    assert future._state == "FINISHED"


def test_it_raises_its_exception(future: Any) -> None:
    error = OSError()
    asked = ParallelExecutor.execute_one(future.exception, LIMIT)
    future.set_exception(error)
    assert asked.result(LIMIT) is error
    with pytest.raises(OSError) as caught:
        future.result()
    assert caught.value is error


def test_it_is_set_once(future: Any) -> None:
    future.set_result(1)
    with pytest.raises(InvalidStateError, match="^FINISHED: <.* state=finished returned int>$"):
        future.set_result(2)
    with pytest.raises(InvalidStateError, match="^FINISHED: "):
        future.set_exception(OSError())
    assert future.result() == 1


def test_its_callbacks_are_called_once_in_their_order(future: Any) -> None:
    seen: list[Any] = []
    future.add_done_callback(lambda done: seen.append((1, done)))
    future.add_done_callback(lambda done: seen.append((2, done.result())))
    assert seen == []
    future.set_result("result")
    assert seen == [(1, future), (2, "result")]
    future.add_done_callback(lambda done: seen.append((3, done)))
    assert seen[2:] == [(3, future)]


def test_the_standards_functions_wait_for_it(future: Any) -> None:
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


def test_an_event_loop_waits_for_it(future: Any) -> None:
    async def main() -> Any:
        wrapped = asyncio.wrap_future(future)
        ParallelExecutor.execute_one(future.set_result, "result")
        return await asyncio.wait_for(wrapped, LIMIT)

    assert asyncio.run(main()) == "result"
