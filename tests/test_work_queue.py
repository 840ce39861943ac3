from __future__ import annotations

import threading
from collections import deque
from typing import Any, Callable

import pytest

from conftest import LIMIT, wait_until
from parallel import ParallelExecutor, parallel_map
from parallel._queue_signal import QueueSignal
from parallel._work_queue import WorkQueue, _acquired_lock


class InterruptError(BaseException):
    """What a signal handler raises."""


def nothing() -> None:
    pass


class ScriptedSignal:
    """A signal that tells who waits, and in which something else can happen, as when a signal comes there."""

    def __init__(self, signal: Any) -> None:
        self._signal = signal
        self.waiting: list[None] = []
        self.sent: list[None] = []
        self.before_wait: Callable[[], object] = nothing
        self.after_wait: Callable[[], object] = nothing
        self.before_send: Callable[[], object] = nothing
        self.after_send: Callable[[], object] = nothing

    def acquire(self, blocking: bool, timeout: float) -> bool:
        self.before_wait()
        self.waiting.append(None)
        woken: bool = self._signal.acquire(blocking, timeout)
        self.waiting.pop()
        self.after_wait()
        return woken

    def release(self) -> None:
        self.before_send()
        self.sent.append(None)
        self._signal.release()
        self.after_send()


def once(handler: Callable[[], object]) -> Callable[[], None]:
    """Makes what calls ``handler`` the first time."""
    handlers = [handler]

    def call() -> None:
        if handlers:
            handlers.pop()()

    return call


@pytest.fixture(params=[_acquired_lock, QueueSignal])
def signal(request: pytest.FixtureRequest) -> ScriptedSignal:
    return ScriptedSignal(request.param())


@pytest.fixture
def queue(signal: ScriptedSignal) -> WorkQueue[int]:
    queue: WorkQueue[int] = WorkQueue()
    queue._signal = signal  # type: ignore[assignment]  # What a test can script.
    return queue


def waiting_gets(queue: WorkQueue[int], number: int) -> list[Any]:
    """Starts calls that wait for an item each."""
    signal: Any = queue._signal
    futures = [ParallelExecutor.execute_one(queue.get, LIMIT) for _ in range(number)]
    wait_until(lambda: len(signal.waiting) == number)
    return futures


def results_of(futures: list[Any]) -> list[Any]:
    return sorted(future.result(LIMIT / 2) for future in futures)


def test_items_come_in_the_order_in_which_they_were_put(queue: WorkQueue[int]) -> None:
    for number in range(5):
        queue.put(number)
    assert [queue.get() for _ in range(5)] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("timeout", [0, 0.01])
def test_an_empty_queue_says_so_in_time(queue: WorkQueue[int], timeout: float) -> None:
    with pytest.raises(TimeoutError):
        queue.get(timeout)
    queue.put(1)
    assert queue.get(timeout) == 1


def test_without_a_timeout_it_is_waited_for_ever(queue: WorkQueue[int], signal: ScriptedSignal) -> None:
    future = ParallelExecutor.execute_one(queue.get)
    wait_until(lambda: signal.waiting)
    queue.put(1)
    assert future.result(LIMIT) == 1


def test_a_burst_wakes_one_who_wakes_the_next(queue: WorkQueue[int], signal: ScriptedSignal) -> None:
    woken: list[None] = []
    may_look = threading.Semaphore(0)

    def hold() -> None:
        woken.append(None)
        assert may_look.acquire(True, LIMIT)

    futures = waiting_gets(queue, 3)
    signal.after_wait = hold
    for number in range(3):
        queue.put(number)
    for number in range(1, 4):
        wait_until(lambda: len(woken) == number)  # noqa: B023  # It is called here.
        assert len(signal.sent) == number
        may_look.release()
    assert results_of(futures) == [0, 1, 2]
    assert len(signal.sent) == 3


def test_who_is_woken_for_an_item_that_another_takes_waits_for_the_next(
    queue: WorkQueue[int], signal: ScriptedSignal
) -> None:
    woken, may_look = threading.Event(), threading.Event()

    def hold() -> None:
        woken.set()
        assert may_look.wait(LIMIT)

    (future,) = waiting_gets(queue, 1)
    signal.after_wait = hold
    queue.put(1)
    assert woken.wait(LIMIT)
    assert queue.get() == 1
    may_look.set()
    wait_until(lambda: signal.waiting)
    queue.put(2)
    assert future.result(LIMIT / 2) == 2


def test_items_and_takers_of_many_threads_meet() -> None:
    queue: WorkQueue[int] = WorkQueue()

    def take(_: int) -> list[int]:
        return [queue.get(LIMIT) for _ in range(200)]

    def put(first: int) -> None:
        for number in range(first, first + 200):
            queue.put(number)

    takers = parallel_map(take, range(4))
    parallel_map(put, range(0, 800, 200)).results(timeout=LIMIT)
    assert sorted(number for taken in takers.results(timeout=LIMIT) for number in taken) == list(range(800))


# In the middle of each other


@pytest.mark.parametrize("moment", ["before_send", "after_send"])
def test_who_puts_an_item_in_the_middle_of_a_put_can_wait_until_it_is_taken(
    queue: WorkQueue[int], signal: ScriptedSignal, moment: str
) -> None:
    futures = waiting_gets(queue, 2)

    def put() -> None:
        queue.put(2)
        assert results_of(futures) == [1, 2]

    setattr(signal, moment, once(put))
    queue.put(1)
    assert results_of(futures) == [1, 2]


def test_an_item_that_is_put_as_a_get_is_about_to_wait_is_taken(queue: WorkQueue[int], signal: ScriptedSignal) -> None:
    signal.before_wait = once(lambda: queue.put(1))
    assert ParallelExecutor.execute_one(queue.get, LIMIT).result(LIMIT / 2) == 1


def test_an_item_that_is_put_as_the_time_passes_is_taken(queue: WorkQueue[int], signal: ScriptedSignal) -> None:
    signal.after_wait = once(lambda: queue.put(1))
    assert queue.get(0) == 1


class InterruptedDeque(deque):  # type: ignore[type-arg]  # Below 3.9 it cannot be subscribed.
    """A deque after whose ``append`` a signal handler raises."""

    def append(self, item: Any) -> None:
        super().append(item)
        raise InterruptError


def test_a_put_that_is_interrupted_once_the_item_is_in_wakes_somebody(queue: WorkQueue[int]) -> None:
    queue._items = InterruptedDeque()
    futures = waiting_gets(queue, 2)
    for number in (1, 2):
        with pytest.raises(InterruptError):
            queue.put(number)
    assert results_of(futures) == [1, 2]


@pytest.mark.parametrize("moment", ["before_send", "after_send"])
def test_a_put_that_is_interrupted_as_it_wakes_somebody_does_so(
    queue: WorkQueue[int], signal: ScriptedSignal, moment: str
) -> None:
    def interrupt() -> None:
        raise InterruptError

    futures = waiting_gets(queue, 2)
    setattr(signal, moment, once(interrupt))
    with pytest.raises(InterruptError):
        queue.put(1)
    queue.put(2)
    assert results_of(futures) == [1, 2]
