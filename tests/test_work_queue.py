from __future__ import annotations

import threading
from collections import deque
from typing import Any, Callable, cast

import pytest

from conftest import LIMIT, wait_until
from parallel import ParallelExecutor, parallel_map
from parallel._queue_signal import QueueSignal
from parallel._work_queue import WorkQueue, _acquired_lock, new_signal


class InterruptError(BaseException):
    """What a signal handler raises."""


def nothing() -> None:
    pass


class Script:
    """Tells who waits at signals and who is woken, and lets something else happen there, as when a signal comes."""

    def __init__(self, make_signal: Callable[[], Any]) -> None:
        self.make_signal = make_signal
        self.waiting: list[ScriptedSignal] = []
        self.sent: list[ScriptedSignal] = []
        self.before_wait: Callable[[], object] = nothing
        self.after_wait: Callable[[], object] = nothing
        self.before_send: Callable[[], object] = nothing
        self.after_send: Callable[[], object] = nothing


class ScriptedSignal:
    """A signal that follows a script."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._signal = script.make_signal()

    def acquire(self, blocking: bool, timeout: float) -> bool:
        self._script.before_wait()
        self._script.waiting.append(self)
        woken: bool = self._signal.acquire(blocking, timeout)
        self._script.waiting.remove(self)
        self._script.after_wait()
        return woken

    def release(self) -> None:
        self._script.before_send()
        self._script.sent.append(self)
        self._signal.release()
        self._script.after_send()


def once(handler: Callable[[], object]) -> Callable[[], None]:
    """Makes what calls ``handler`` the first time."""
    handlers = [handler]

    def call() -> None:
        if handlers:
            handlers.pop()()

    return call


@pytest.fixture(params=[_acquired_lock, QueueSignal])
def script(request: pytest.FixtureRequest) -> Script:
    return Script(request.param)


@pytest.fixture
def queue() -> WorkQueue[int]:
    return WorkQueue()


@pytest.fixture
def signal(script: Script) -> Any:
    """What the test itself would wait at."""
    return ScriptedSignal(script)


def waiting_gets(queue: WorkQueue[int], script: Script, number: int) -> list[Any]:
    """Starts calls that wait for an item each, one after the other."""
    futures = []
    before = len(script.waiting)
    for count in range(before + 1, before + number + 1):
        futures.append(ParallelExecutor.execute_one(queue.get, cast("Any", ScriptedSignal(script)), LIMIT))
        wait_until(lambda: len(script.waiting) == count)  # noqa: B023  # It is called here.
    return futures


def results_of(futures: list[Any]) -> list[Any]:
    return sorted(future.result(LIMIT / 2) for future in futures)


def test_items_come_in_the_order_in_which_they_were_put(queue: WorkQueue[int], signal: Any) -> None:
    for number in range(5):
        queue.put(number)
    assert [queue.get(signal) for _ in range(5)] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("timeout", [0, 0.01])
def test_an_empty_queue_says_so_in_time(queue: WorkQueue[int], signal: Any, timeout: float) -> None:
    with pytest.raises(TimeoutError):
        queue.get(signal, timeout)
    queue.put(1)
    assert queue.get(signal, timeout) == 1


def test_without_a_timeout_it_is_waited_for_ever(queue: WorkQueue[int], script: Script, signal: Any) -> None:
    future = ParallelExecutor.execute_one(queue.get, signal)
    wait_until(lambda: script.waiting)
    queue.put(1)
    assert future.result(LIMIT) == 1


def test_a_burst_wakes_one_who_wakes_the_next(queue: WorkQueue[int], script: Script) -> None:
    woken: list[None] = []
    may_look = threading.Semaphore(0)

    def hold() -> None:
        woken.append(None)
        assert may_look.acquire(True, LIMIT)

    futures = waiting_gets(queue, script, 3)
    script.after_wait = hold
    for number in range(3):
        queue.put(number)
    for number in range(1, 4):
        wait_until(lambda: len(woken) == number)  # noqa: B023  # It is called here.
        assert len(script.sent) == number
        may_look.release()
    assert results_of(futures) == [0, 1, 2]
    assert len(script.sent) == 3


def test_who_is_woken_for_an_item_to_come_takes_it_without_being_woken_again(
    queue: WorkQueue[int], script: Script
) -> None:
    may_look = threading.Event()
    futures = waiting_gets(queue, script, 2)
    script.after_wait = lambda: may_look.wait(LIMIT)
    queue.wake_one()
    queue.put(1)
    assert len(script.sent) == 1
    may_look.set()
    wait_until(lambda: any(future.done() for future in futures))
    queue.put(2)
    assert results_of(futures) == [1, 2]


def test_who_is_woken_before_the_item_is_there_waits_and_is_woken_again(queue: WorkQueue[int], script: Script) -> None:
    futures = waiting_gets(queue, script, 1)
    came_back = threading.Event()
    script.before_wait = came_back.set
    queue.wake_one()
    assert came_back.wait(LIMIT)
    wait_until(lambda: script.waiting)
    queue.put(1)
    assert results_of(futures) == [1]
    assert len(script.sent) == 2


def test_nobody_is_woken_where_nobody_waits(queue: WorkQueue[int], script: Script, signal: Any) -> None:
    queue.wake_one()
    queue.put(1)
    assert queue.get(signal) == 1
    assert not script.sent


def test_who_is_woken_for_an_item_that_another_takes_waits_for_the_next(
    queue: WorkQueue[int], script: Script, signal: Any
) -> None:
    woken, may_look = threading.Event(), threading.Event()

    def hold() -> None:
        woken.set()
        assert may_look.wait(LIMIT)

    (future,) = waiting_gets(queue, script, 1)
    script.after_wait = hold
    queue.put(1)
    assert woken.wait(LIMIT)
    assert queue.get(signal) == 1
    may_look.set()
    wait_until(lambda: script.waiting)
    queue.put(2)
    assert future.result(LIMIT / 2) == 2


def test_the_last_to_come_is_woken_first(queue: WorkQueue[int], script: Script) -> None:
    # However many there are: each at a signal of its own.
    futures = waiting_gets(queue, script, 200)
    signals = list(script.waiting)
    for number in reversed(range(200)):
        queue.put(number)
        assert futures[number].result(LIMIT / 2) == number
    assert script.sent == signals[::-1]
    assert len(set(signals)) == 200


def test_who_has_come_back_is_woken_again(queue: WorkQueue[int], script: Script) -> None:
    (earlier,) = waiting_gets(queue, script, 1)
    for number in range(3):
        (later,) = waiting_gets(queue, script, 1)
        queue.put(number)
        assert later.result(LIMIT / 2) == number
    assert not earlier.done()
    queue.put(3)
    assert earlier.result(LIMIT / 2) == 3


@pytest.mark.parametrize("number", [0, 1, 2])
def test_who_gives_up_is_not_woken_any_more(queue: WorkQueue[int], script: Script, signal: Any, number: int) -> None:
    # As the first to come, in the middle, and as the last.
    futures = waiting_gets(queue, script, number)
    gives_up, noted = threading.Event(), threading.Event()

    class SignalThatTimesOut:
        def acquire(self, _: bool, __: float) -> bool:
            noted.set()
            assert gives_up.wait(LIMIT)
            return False

    late = ParallelExecutor.execute_one(queue.get, cast("Any", SignalThatTimesOut()), LIMIT)
    assert noted.wait(LIMIT)
    futures += waiting_gets(queue, script, 2 - number)
    gives_up.set()
    with pytest.raises(TimeoutError):
        late.result(LIMIT / 2)
    for item in (1, 2):
        queue.put(item)
    assert results_of(futures) == [1, 2]
    with pytest.raises(TimeoutError):
        queue.get(signal, 0)


def test_items_and_takers_of_many_threads_meet() -> None:
    queue: WorkQueue[int] = WorkQueue()

    def take(_: int) -> list[int]:
        signal = new_signal()
        return [queue.get(signal, LIMIT) for _ in range(200)]

    def put(first: int) -> None:
        for number in range(first, first + 200):
            queue.put(number)

    takers = parallel_map(take, range(4))
    parallel_map(put, range(0, 800, 200)).results(timeout=LIMIT)
    assert sorted(number for taken in takers.results(timeout=LIMIT) for number in taken) == list(range(800))


# In the middle of each other


@pytest.mark.parametrize("moment", ["before_send", "after_send"])
def test_who_puts_an_item_in_the_middle_of_a_put_can_wait_until_it_is_taken(
    queue: WorkQueue[int], script: Script, moment: str
) -> None:
    futures = waiting_gets(queue, script, 2)

    def put() -> None:
        queue.put(2)
        assert results_of(futures) == [1, 2]

    setattr(script, moment, once(put))
    queue.put(1)
    assert results_of(futures) == [1, 2]


def test_an_item_that_is_put_as_a_get_is_about_to_wait_is_taken(
    queue: WorkQueue[int], script: Script, signal: Any
) -> None:
    script.before_wait = once(lambda: queue.put(1))
    assert ParallelExecutor.execute_one(queue.get, signal, LIMIT).result(LIMIT / 2) == 1


class DequeThatIsLate(deque):  # type: ignore[type-arg]  # Below 3.9 it cannot be subscribed.
    """A deque before whose additions something else happens, once."""

    def __init__(self, happen: Callable[[], object]) -> None:
        super().__init__()
        self._happen = once(happen)

    def append(self, item: Any) -> None:
        self._happen()
        super().append(item)

    def appendleft(self, item: Any) -> None:
        self._happen()
        super().appendleft(item)


def test_an_item_that_is_put_before_it_is_known_that_somebody_waits_is_taken(
    queue: WorkQueue[int], script: Script, signal: Any
) -> None:
    def fail() -> None:
        pytest.fail("it waits, although it is there")

    script.before_wait = fail
    queue._waiting = DequeThatIsLate(lambda: queue.put(1))
    assert queue.get(signal, 0) == 1


def test_who_has_left_is_not_counted_any_more(queue: WorkQueue[int], signal: Any) -> None:
    with pytest.raises(TimeoutError):
        queue.get(signal, 0)
    assert not queue._waiting


def test_an_item_that_is_put_as_the_time_passes_is_taken(queue: WorkQueue[int], script: Script, signal: Any) -> None:
    script.after_wait = once(lambda: queue.put(1))
    assert queue.get(signal, 0) == 1


class InterruptedDeque(deque):  # type: ignore[type-arg]  # Below 3.9 it cannot be subscribed.
    """A deque after whose ``append`` a signal handler raises."""

    def append(self, item: Any) -> None:
        super().append(item)
        raise InterruptError


def test_a_put_that_is_interrupted_once_the_item_is_in_wakes_somebody(queue: WorkQueue[int], script: Script) -> None:
    queue._items = InterruptedDeque()
    futures = waiting_gets(queue, script, 2)
    for number in (1, 2):
        with pytest.raises(InterruptError):
            queue.put(number)
    assert results_of(futures) == [1, 2]


@pytest.mark.parametrize("moment", ["before_send", "after_send"])
def test_a_put_that_is_interrupted_as_it_wakes_somebody_does_so(
    queue: WorkQueue[int], script: Script, moment: str
) -> None:
    def interrupt() -> None:
        raise InterruptError

    futures = waiting_gets(queue, script, 2)
    setattr(script, moment, once(interrupt))
    with pytest.raises(InterruptError):
        queue.put(1)
    queue.put(2)
    assert results_of(futures) == [1, 2]
