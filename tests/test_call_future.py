"""The future of a call, and the lock that it has for a condition: as the standard's, whichever of the two is used."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from concurrent.futures import FIRST_COMPLETED, Future, InvalidStateError, as_completed, wait
from types import SimpleNamespace
from typing import Any, Iterator

import pytest

from conftest import LIMIT, wait_until
from parallel import ParallelExecutor, _call_future, parallel_map
from parallel._call_future import WaitableLock, _choose, _FastFuture, _PlainFuture


class InterruptError(BaseException):
    """What a signal handler raises."""


# The lock


def is_free(lock: Any) -> bool:
    """Whether another thread, which is none of the library's, could have it."""
    taken: list[bool] = []

    def try_it() -> None:
        taken.append(lock.acquire(False))
        if taken[0]:
            lock.release()

    thread = threading.Thread(target=try_it)
    thread.start()
    thread.join(LIMIT)
    return taken[0]


@pytest.mark.parametrize("timeout", [0.01, 0, -1])
def test_a_wait_that_nobody_ends_ends_in_time_and_leaves_nothing(timeout: float) -> None:
    lock = WaitableLock()
    with lock:
        assert lock.wait(timeout) is False
        assert not lock._waiting
        lock.notify_all()
        assert not is_free(lock)
    assert is_free(lock)


def test_all_that_wait_are_notified_and_hold_the_lock_in_turn() -> None:
    lock = WaitableLock()
    inside: list[int] = []

    def enter_and_wait(number: int) -> bool:
        with lock:
            notified: bool = lock.wait(LIMIT)
            inside.append(number)
            assert len(inside) == 1
            return bool(inside.pop() == number and notified)

    calls = parallel_map(enter_and_wait, range(5))
    wait_until(lambda: len(lock._waiting or ()) == 5)
    with lock:
        lock.notify_all()
        # They wait for the lock now.
        assert not wait(calls.futures, 0).done
    assert calls.results(timeout=LIMIT) == (True,) * 5
    assert lock._waiting is None


def test_a_wait_gives_up_a_lock_that_was_acquired_several_times_and_takes_it_back_as_often() -> None:
    lock = WaitableLock()

    def notify() -> None:
        with lock:
            lock.notify_all()

    with lock, lock, lock:
        notifying = ParallelExecutor.execute_one(notify)
        assert lock.wait(LIMIT) is True
        notifying.result(LIMIT)
        for _ in range(2):
            lock.release()
            assert not is_free(lock)
        lock.release()
        assert is_free(lock)
        for _ in range(3):
            lock.acquire()


def test_a_wait_that_is_interrupted_before_it_gives_up_the_lock_has_it_still(monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted(WaitableLock):
        def _release_save(self) -> None:
            raise InterruptError

    lock = Interrupted()
    with lock:
        with pytest.raises(InterruptError):
            lock.wait(LIMIT)
        assert not lock._waiting
        assert not is_free(lock)
    assert is_free(lock)


def test_a_wait_that_is_interrupted_takes_the_lock_back(monkeypatch: pytest.MonkeyPatch) -> None:
    free_during_wait: list[bool] = []

    class InterruptedLock:
        def acquire(self, *arguments: Any) -> bool:
            if arguments:
                free_during_wait.append(is_free(lock))
                raise InterruptError
            return True

    lock = WaitableLock()
    with lock, lock:
        with monkeypatch.context() as patch:
            # Only what this file takes from the module: the whole test uses locks.
            patch.setattr(
                _call_future, "threading", SimpleNamespace(Lock=InterruptedLock, get_ident=threading.get_ident)
            )
            with pytest.raises(InterruptError):
                lock.wait(LIMIT)
        assert free_during_wait == [True]
        assert not lock._waiting
        lock.release()
        assert not is_free(lock)
        lock.acquire()
    assert is_free(lock)


def test_a_wait_that_is_interrupted_as_it_takes_the_lock_back_has_it_in_the_end() -> None:
    raises = [InterruptError]

    class Interrupted(WaitableLock):
        def _is_owned(self) -> bool:
            owned: bool = super()._is_owned()
            if raises:
                raise raises.pop()
            return owned

    lock = Interrupted()
    with lock:
        with pytest.raises(InterruptError):
            lock.wait(0.01)
        assert not is_free(lock)
    assert is_free(lock)


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
    # Until they have begun to wait, wherever this future keeps them.
    condition = future._condition
    wait_until(lambda: len(condition._waiting or ()) == 3 if isinstance(condition, WaitableLock) else True)
    future.set_result("result")
    assert calls.results(timeout=LIMIT) == ("result", "result", None)
    assert future.done()
    assert not future.running()
    assert future.result() == "result"


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
    with pytest.raises(InvalidStateError):
        future.set_result(2)
    with pytest.raises(InvalidStateError):
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
