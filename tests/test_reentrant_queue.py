"""The queue that stands in for the standard's on PyPy; it is plain Python, so all Pythons can test it."""

from __future__ import annotations

import threading
from collections import deque
from queue import Empty
from typing import Any, Callable

import pytest

from conftest import LIMIT, wait_until
from parallel import ParallelExecutor, _reentrant_queue, parallel_map
from parallel._reentrant_queue import ReentrantQueue


class InterruptError(BaseException):
    """What a signal handler raises."""


class InterruptedDeque(deque):  # type: ignore[type-arg]  # Below 3.9 it cannot be subscribed.
    """A deque before one of whose methods, for once, something else happens, as when a signal comes there."""

    def __init__(self, method: str, handler: Callable[[], object]) -> None:
        super().__init__()
        self._method = method
        self._handler: Callable[[], object] | None = handler

    def _interrupt(self, method: str) -> None:
        if self._method == method and self._handler is not None:
            handler, self._handler = self._handler, None
            handler()

    def append(self, item: Any) -> None:
        self._interrupt("append")
        super().append(item)

    def popleft(self) -> Any:
        self._interrupt("popleft")
        return super().popleft()

    def remove(self, item: Any) -> None:
        self._interrupt("remove")
        super().remove(item)


def waiting_gets(queue: ReentrantQueue[Any], number: int) -> list[Any]:
    """Starts calls that wait for an item each."""
    futures = []
    for count in range(number):
        futures.append(ParallelExecutor.execute_one(queue.get, True, LIMIT))
        wait_until(lambda: len(queue._waiting) == count + 1)  # noqa: B023  # It is called here.
    return futures


def results_of(futures: list[Any]) -> list[Any]:
    return sorted(future.result(LIMIT) for future in futures)


def test_items_come_in_the_order_in_which_they_were_put() -> None:
    queue: ReentrantQueue[int] = ReentrantQueue()
    for number in range(5):
        queue.put(number)
    assert [queue.get() for _ in range(5)] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("options", [(False,), (True, 0.0), (True, 0.01), (True, -1.0)])
def test_an_empty_queue_says_so_in_time_and_nobody_is_left_waiting(options: Any) -> None:
    queue: ReentrantQueue[int] = ReentrantQueue()
    with pytest.raises(Empty):
        queue.get(*options)
    assert not queue._waiting
    queue.put(1)
    assert queue.get(*options) == 1


def test_each_item_wakes_one_that_waits() -> None:
    queue: ReentrantQueue[int] = ReentrantQueue()
    futures = waiting_gets(queue, 3)
    queue.put(1)
    wait_until(lambda: sum(future.done() for future in futures) == 1)
    # One that was woken on the way to the item waits again.
    wait_until(lambda: len(queue._waiting) == 2)
    queue.put(2)
    queue.put(3)
    assert results_of(futures) == [1, 2, 3]


def test_items_and_takers_of_many_threads_meet() -> None:
    queue: ReentrantQueue[int] = ReentrantQueue()

    def take(_: int) -> list[int]:
        return [queue.get(True, LIMIT) for _ in range(200)]

    def put(first: int) -> None:
        for number in range(first, first + 200):
            queue.put(number)

    takers = parallel_map(take, range(4))
    parallel_map(put, range(0, 800, 200)).results(timeout=LIMIT)
    assert sorted(number for taken in takers.results(timeout=LIMIT) for number in taken) == list(range(800))


# In the middle of each other


@pytest.mark.parametrize(("attribute", "method"), [("_items", "append"), ("_waiting", "popleft")])
def test_a_put_in_the_middle_of_a_put_loses_nothing(attribute: str, method: str) -> None:
    queue: ReentrantQueue[int] = ReentrantQueue()
    setattr(queue, attribute, InterruptedDeque(method, lambda: queue.put(2)))
    futures = waiting_gets(queue, 2)
    ParallelExecutor.execute_one(queue.put, 1).result(LIMIT)
    assert results_of(futures) == [1, 2]


@pytest.mark.parametrize(("attribute", "method"), [("_items", "popleft"), ("_waiting", "append")])
def test_a_put_in_the_middle_of_a_get_is_seen_by_it(attribute: str, method: str) -> None:
    queue: ReentrantQueue[int] = ReentrantQueue()
    setattr(queue, attribute, InterruptedDeque(method, lambda: queue.put(1)))
    assert ParallelExecutor.execute_one(queue.get, True, LIMIT / 3).result(LIMIT / 4) == 1


def test_a_get_whose_time_passes_as_an_item_is_meant_for_it_takes_it() -> None:
    queue: ReentrantQueue[int] = ReentrantQueue()
    # It is about to take itself off the list, from which the put takes it.
    queue._waiting = InterruptedDeque("remove", lambda: queue.put(1))
    assert queue.get(True, 0.01) == 1


def test_an_item_for_a_get_that_is_interrupted_goes_to_another_that_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    class InterruptedLock:
        def __init__(self) -> None:
            self._lock = threading.Lock()
            self.release = self._lock.release

        def acquire(self, *arguments: Any) -> None:
            self._lock.acquire(*arguments)
            if arguments:
                raise InterruptError

    locks: list[Any] = [threading.Lock(), InterruptedLock()]

    def next_lock() -> Any:
        # On PyPy, the library's own idle threads wait at such a queue too.
        return locks.pop() if threading.current_thread().name == "ReentrantQueue.get" else threading.Lock()

    monkeypatch.setattr(_reentrant_queue, "Lock", next_lock)
    queue: ReentrantQueue[int] = ReentrantQueue()
    interrupted, other = waiting_gets(queue, 2)
    queue.put(1)
    assert isinstance(interrupted.exception(LIMIT), InterruptError)
    assert other.result(LIMIT / 2) == 1


def test_an_item_whose_put_was_interrupted_is_taken_after_the_next_put() -> None:
    def interrupt() -> None:
        raise InterruptError

    queue: ReentrantQueue[int] = ReentrantQueue()
    queue._waiting = InterruptedDeque("popleft", interrupt)
    futures = waiting_gets(queue, 2)
    with pytest.raises(InterruptError):
        queue.put(1)
    queue.put(2)
    assert sorted(future.result(LIMIT / 2) for future in futures) == [1, 2]


def test_who_takes_an_item_wakes_another_for_the_next() -> None:
    queue: ReentrantQueue[int] = ReentrantQueue()
    (waiting,) = waiting_gets(queue, 1)
    queue._items.extend([1, 2])  # As two puts leave it that were interrupted before they woke anybody.
    assert queue.get() == 1
    assert waiting.result(LIMIT / 2) == 2
