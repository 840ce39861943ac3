"""The queue that wakes one thread at a time: who is woken, and what happens in the middle of its methods."""

from __future__ import annotations

import ctypes
import itertools
import threading
from collections import deque
from typing import Any, Callable

import pytest

from helpers import ERRORS, LIMIT, PYPY, InterruptError, moments, wait_until
from parallel import ParallelExecutor, _work_queue, parallel_map
from parallel._sync import Wakeup, _LockWakeup, _QueueWakeup
from parallel._work_queue import WorkQueue


def nothing() -> None:
    pass


def interrupt() -> None:
    raise InterruptError


class Script:
    """Notes which threads wait and which are woken, and has something else happen there, as a signal handler would."""

    def __init__(self, make_wakeup: Callable[[], Any]) -> None:
        self.make_wakeup = make_wakeup
        self.waiting: list[ScriptedWakeup] = []
        self.woken: list[ScriptedWakeup] = []
        self.before_wait: Callable[[], object] = nothing
        self.after_wait: Callable[[], object] = nothing
        self.before_set: Callable[[], object] = nothing
        self.after_set: Callable[[], object] = nothing


class ScriptedWakeup:
    """A wakeup that follows a script."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._wakeup = script.make_wakeup()

    def wait(self, timeout: float | None = None) -> bool:
        self._script.before_wait()
        self._script.waiting.append(self)
        try:
            woken: bool = self._wakeup.wait(timeout)
        finally:
            self._script.waiting.remove(self)
        self._script.after_wait()
        return woken

    def set(self) -> None:
        self._script.before_set()
        self._script.woken.append(self)
        self._wakeup.set()
        self._script.after_set()


def first_time(handler: Callable[[], object]) -> Callable[[], None]:
    """Makes a function that calls ``handler`` the first time."""
    handlers = [handler]

    def call() -> None:
        if handlers:
            handlers.pop()()

    return call


@pytest.fixture(params=[_LockWakeup] if PYPY else [_LockWakeup, _QueueWakeup])
def script(request: pytest.FixtureRequest) -> Script:
    return Script(request.param)


class Numbers(WorkQueue[int]):
    """A queue with a token for each number."""

    def put(self, number: int) -> bool:  # type: ignore[override]
        return super().put((number,), itertools.repeat(True))


@pytest.fixture
def queue() -> Numbers:
    return Numbers()


@pytest.fixture
def wakeup(script: Script) -> ScriptedWakeup:
    """The wakeup of the test's own thread."""
    return ScriptedWakeup(script)


def waiting_gets(queue: Numbers, script: Script, number: int) -> list[Any]:
    """Starts calls that wait for an item each, one after the other."""
    futures = []
    before = len(script.waiting)
    for count in range(before + 1, before + number + 1):
        futures.append(ParallelExecutor.execute_one(queue.get, ScriptedWakeup(script), LIMIT))
        wait_until(lambda: len(script.waiting) == count)  # noqa: B023  # It is called here.
    return futures


def results_of(futures: list[Any]) -> list[Any]:
    return sorted(future.result(LIMIT / 2) for future in futures)


def test_items_come_in_the_order_in_which_they_were_put(queue: Numbers, wakeup: Any) -> None:
    for number in range(5):
        queue.put(number)
    assert [queue.get(wakeup) for _ in range(5)] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("timeout", [0, 0.01])
def test_empty_queue_gives_nothing_in_time(queue: Numbers, wakeup: Any, timeout: float) -> None:
    assert queue.get(wakeup, timeout) is None
    queue.put(1)
    assert queue.get(wakeup, timeout) == 1
    assert queue.get(wakeup, timeout) is None


def test_get_without_limit_waits_until_an_item_comes(queue: Numbers, script: Script, wakeup: Any) -> None:
    future = ParallelExecutor.execute_one(queue.get, wakeup)
    wait_until(lambda: script.waiting)
    queue.put(1)
    assert future.result(LIMIT) == 1


def test_waiting_threads_are_counted(queue: Numbers, script: Script, wakeup: Any) -> None:
    assert queue.count_waiting() == 0
    futures = waiting_gets(queue, script, 2)
    assert queue.count_waiting() == 2
    for number in (1, 2):
        queue.put(number)
    assert results_of(futures) == [1, 2]
    assert queue.get(wakeup, 0) is None
    assert queue.count_waiting() == 0


def test_item_is_taken_back_once(queue: Numbers, wakeup: Any) -> None:
    for number in (1, 2, 3):
        queue.put(number)
    assert queue.take_back(2) is True
    assert queue.take_back(2) is False
    assert [queue.get(wakeup, 0) for _ in range(3)] == [1, 3, None]
    assert queue.take_back(1) is False


def test_thread_woken_for_an_item_taken_back_waits_for_the_next(queue: Numbers, script: Script) -> None:
    may_look, waits_again = threading.Event(), threading.Event()
    (future,) = waiting_gets(queue, script, 1)
    script.after_wait = first_time(lambda: may_look.wait(LIMIT))
    script.before_wait = waits_again.set
    queue.put(1)
    assert queue.take_back(1)
    may_look.set()
    assert waits_again.wait(LIMIT)
    queue.put(2)
    assert future.result(LIMIT / 2) == 2


def test_burst_wakes_one_thread_which_wakes_the_next(queue: Numbers, script: Script) -> None:
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
        assert len(script.woken) == number
        may_look.release()
    assert results_of(futures) == [0, 1, 2]
    assert len(script.woken) == 3


def test_thread_woken_for_an_item_to_come_takes_it(queue: Numbers, script: Script) -> None:
    may_look = threading.Event()
    futures = waiting_gets(queue, script, 2)
    script.after_wait = lambda: may_look.wait(LIMIT)
    queue.wake_one()
    queue.put(1)
    assert len(script.woken) == 1
    may_look.set()
    wait_until(lambda: any(future.done() for future in futures))
    queue.put(2)
    assert results_of(futures) == [1, 2]


def test_thread_woken_too_early_waits_and_is_woken_again(queue: Numbers, script: Script) -> None:
    futures = waiting_gets(queue, script, 1)
    came_back = threading.Event()
    script.before_wait = came_back.set
    queue.wake_one()
    assert came_back.wait(LIMIT)
    wait_until(lambda: script.waiting)
    queue.put(1)
    assert results_of(futures) == [1]
    assert len(script.woken) == 2


def test_no_thread_is_woken_where_none_waits(queue: Numbers, script: Script, wakeup: Any) -> None:
    queue.wake_one()
    queue.put(1)
    assert queue.get(wakeup) == 1
    assert not script.woken


def test_thread_woken_for_an_item_taken_by_another_waits_again(queue: Numbers, script: Script, wakeup: Any) -> None:
    woken, may_look = threading.Event(), threading.Event()

    def hold() -> None:
        woken.set()
        assert may_look.wait(LIMIT)

    (future,) = waiting_gets(queue, script, 1)
    script.after_wait = hold
    queue.put(1)
    assert woken.wait(LIMIT)
    assert queue.get(wakeup) == 1
    may_look.set()
    wait_until(lambda: script.waiting)
    queue.put(2)
    assert future.result(LIMIT / 2) == 2


def test_last_thread_to_come_is_woken_first(queue: Numbers, script: Script) -> None:
    # However many there are: each waits at a wakeup of its own.
    futures = waiting_gets(queue, script, 200)
    wakeups = list(script.waiting)
    for number in reversed(range(200)):
        queue.put(number)
        assert futures[number].result(LIMIT / 2) == number
    assert script.woken == wakeups[::-1]
    assert len(set(wakeups)) == 200


def test_thread_that_has_come_back_is_woken_again(queue: Numbers, script: Script) -> None:
    (earlier,) = waiting_gets(queue, script, 1)
    for number in range(3):
        (later,) = waiting_gets(queue, script, 1)
        queue.put(number)
        assert later.result(LIMIT / 2) == number
    assert not earlier.done()
    queue.put(3)
    assert earlier.result(LIMIT / 2) == 3


@pytest.mark.parametrize("number", [0, 1, 2])
def test_thread_whose_time_has_passed_is_not_woken(queue: Numbers, script: Script, wakeup: Any, number: int) -> None:
    # As the first to come, in the middle, and as the last.
    futures = waiting_gets(queue, script, number)
    passes, waits = threading.Event(), threading.Event()

    class WakeupThatTimesOut:
        def wait(self, _: float) -> bool:
            waits.set()
            assert passes.wait(LIMIT)
            return False

    late = ParallelExecutor.execute_one(queue.get, WakeupThatTimesOut(), LIMIT)
    assert waits.wait(LIMIT)
    futures += waiting_gets(queue, script, 2 - number)
    passes.set()
    assert late.result(LIMIT / 2) is None
    for item in (1, 2):
        queue.put(item)
    assert results_of(futures) == [1, 2]
    assert queue.get(wakeup, 0) is None


def test_items_of_many_threads_are_each_taken_once() -> None:
    queue: Numbers = Numbers()

    def take(_: int) -> list[int | None]:
        wakeup = Wakeup()
        return [queue.get(wakeup, LIMIT) for _ in range(200)]

    def put(first: int) -> None:
        for number in range(first, first + 200):
            queue.put(number)

    takers = parallel_map(take, range(4))
    parallel_map(put, range(0, 800, 200)).results(timeout=LIMIT)
    taken = [number for numbers in takers.results(timeout=LIMIT) for number in numbers if number is not None]
    assert sorted(taken) == list(range(800))


# In the middle of each other


@pytest.mark.parametrize("moment", ["before_set", "after_set"])
def test_item_put_in_the_middle_of_a_put_can_be_waited_for(queue: Numbers, script: Script, moment: str) -> None:
    futures = waiting_gets(queue, script, 2)

    def put() -> None:
        queue.put(2)
        assert results_of(futures) == [1, 2]

    setattr(script, moment, first_time(put))
    queue.put(1)
    assert results_of(futures) == [1, 2]


@pytest.mark.parametrize("waiting", [0, 1, 2])
def test_items_put_in_the_middle_of_a_put_are_all_taken(script: Script, waiting: int) -> None:
    for moment in moments(_work_queue):
        queue: Numbers = Numbers()
        futures = waiting_gets(queue, script, waiting)
        moment.during(queue.put, 1, happen=lambda: queue.put(2))  # noqa: B023  # It is called here.
        if not moment.has_come:
            queue.put(2)
        futures += [ParallelExecutor.execute_one(queue.get, ScriptedWakeup(script), LIMIT) for _ in range(2 - waiting)]
        assert results_of(futures) == [1, 2]


def test_item_put_in_the_middle_of_a_get_is_taken(script: Script) -> None:
    for moment in moments(_work_queue):
        queue: Numbers = Numbers()
        wakeup: Any = ScriptedWakeup(script)
        got = moment.during(queue.get, wakeup, 0, happen=lambda: queue.put(1))  # noqa: B023  # It is called here.
        if got is None:
            got = queue.get(wakeup, 0)
        assert got == (1 if moment.has_come else None)
        assert queue.count_waiting() == 0


def test_get_in_the_middle_of_a_get_takes_another_item(script: Script) -> None:
    for moment in moments(_work_queue):
        queue: Numbers = Numbers()
        for number in (1, 2):
            queue.put(number)
        got: list[int | None] = []
        get = lambda: got.append(queue.get(ScriptedWakeup(script), 0))  # noqa: B023  # It is called here.
        got.append(moment.during(queue.get, ScriptedWakeup(script), 0, happen=get))
        assert sorted(each or 0 for each in got) == [1, 2][: len(got)]


def test_item_put_as_a_thread_is_about_to_wait_is_taken(queue: Numbers, script: Script, wakeup: Any) -> None:
    script.before_wait = first_time(lambda: queue.put(1))
    assert ParallelExecutor.execute_one(queue.get, wakeup, LIMIT).result(LIMIT / 2) == 1


class LateDeque(deque):  # type: ignore[type-arg]  # Below 3.9 it cannot be subscribed.
    """A deque before whose first addition something else happens."""

    def __init__(self, happen: Callable[[], object]) -> None:
        super().__init__()
        self._happen = first_time(happen)

    def appendleft(self, item: Any) -> None:
        self._happen()
        super().appendleft(item)


def test_item_put_before_the_thread_is_known_to_wait_is_taken(queue: Numbers, script: Script, wakeup: Any) -> None:
    script.before_wait = lambda: pytest.fail("it waits, although there is an item")
    queue._waiting = LateDeque(lambda: queue.put(1))
    assert queue.get(wakeup, 0) == 1


def test_item_put_as_the_time_passes_is_taken(queue: Numbers, script: Script, wakeup: Any) -> None:
    script.after_wait = first_time(lambda: queue.put(1))
    assert queue.get(wakeup, 0) == 1


# Exceptions


class InterruptedDeque(deque):  # type: ignore[type-arg]  # Below 3.9 it cannot be subscribed.
    """A deque after whose first ``extend`` a signal handler raises."""

    def __init__(self) -> None:
        super().__init__()
        self._handle_signal = first_time(interrupt)

    def extend(self, items: Any) -> None:
        super().extend(items)
        self._handle_signal()


def test_next_put_wakes_a_thread_for_an_item_that_is_in(queue: Numbers, script: Script) -> None:
    queue._items = InterruptedDeque()
    futures = waiting_gets(queue, script, 2)
    with pytest.raises(InterruptError):
        queue.put(1)
    assert script.woken == []
    queue.put(2)
    assert results_of(futures) == [1, 2]


@pytest.mark.parametrize("moment", ["before_set", "after_set"])
def test_put_interrupted_as_it_wakes_a_thread_is_made_good_by_the_next(
    queue: Numbers, script: Script, moment: str
) -> None:
    futures = waiting_gets(queue, script, 2)
    setattr(script, moment, first_time(interrupt))
    with pytest.raises(InterruptError):
        queue.put(1)
    queue.put(2)
    assert results_of(futures) == [1, 2]


@pytest.mark.parametrize("takes_back", [False, True])
def test_put_interrupted_anywhere_says_whether_the_item_is_in(script: Script, takes_back: bool) -> None:
    for moment in moments(_work_queue):
        queue: Numbers = Numbers()
        futures = waiting_gets(queue, script, 2)
        # The woken thread does not take the item before it is asked for.
        looks = threading.Event()
        script.after_wait = lambda: looks.wait(LIMIT)  # noqa: B023  # It is called in this round.
        moment.interrupt(InterruptError, queue.put, 1)
        is_in = queue.take_back(1) if takes_back else 1 in queue._items
        looks.set()
        if takes_back or not is_in:
            queue.put(1)
        queue.put(2)
        assert results_of(futures) == [1, 2]
        script.after_wait = nothing


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("method", ["put", "wake_one", "take_back", "take_back of another"])
def test_queue_swallows_no_exception(error: type[BaseException], method: str) -> None:
    # But in get(), which the library's own threads call: no signal handler runs there.
    for moment in moments(_work_queue):
        queue: Numbers = Numbers()
        queue.put(1)
        calls: dict[str, tuple[Any, ...]] = {
            "put": (queue.put, 2),
            "wake_one": (queue.wake_one,),
            "take_back": (queue.take_back, 1),
            "take_back of another": (queue.take_back, 2),
        }
        moment.interrupt(error, *calls[method])


def test_get_whose_wait_is_interrupted_is_not_waiting(queue: Numbers, script: Script, wakeup: Any) -> None:
    for moment in ["before_wait", "after_wait"]:
        setattr(script, moment, first_time(interrupt))
        with pytest.raises(InterruptError):
            queue.get(wakeup, 0)
        assert queue.count_waiting() == 0
    queue.put(1)
    assert queue.get(wakeup, 0) == 1


@pytest.mark.skipif(PYPY, reason="PyPy cannot raise exceptions in other threads")
def test_asynchronous_exception_leaves_no_waiting_thread_behind(queue: Numbers, script: Script) -> None:
    idents: list[int] = []

    def get() -> None:
        idents.append(threading.get_ident())
        queue.get(ScriptedWakeup(script), LIMIT)

    other = waiting_gets(queue, script, 1)
    interrupted = ParallelExecutor.execute_one(get)
    wait_until(lambda: len(script.waiting) == 2)
    # The exception is raised when the thread wakes up.
    assert ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(idents[0]), ctypes.py_object(InterruptError)) == 1
    queue.wake_one()
    assert isinstance(interrupted.exception(LIMIT), InterruptError)
    assert queue.count_waiting() == 1
    queue.put(1)
    assert results_of(other) == [1]


def test_several_threads_are_woken_at_once_the_last_to_come_first() -> None:
    queue: WorkQueue[int] = WorkQueue()
    wakeups = [Wakeup() for _ in range(3)]
    queue._waiting.extend(wakeups)
    queue.wake_several(2)
    assert [wakeup.wait(0) for wakeup in wakeups] == [True, True, False]
    queue.wake_several(5)
    assert [wakeup.wait(0) for wakeup in wakeups] == [True, True, True]
