"""Enters that their block has given up on are asked to stop. See test_cancellation.py."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from concurrent.futures import CancelledError
from threading import Barrier, Event
from typing import Any, Callable

import pytest

from children import PRELUDE, run, starts_threads_at_exit
from helpers import LIMIT, InterruptError, Uncaught, has_ended, wait_until
from parallel import Cancellation, cancellation, parallel, parallel_contexts


class Manager:
    """A manager whose enter and exit do what they are told."""

    def __init__(self, enter: Callable[[], object] = int, exit_: Callable[[], object] = int) -> None:
        self._enter = enter
        self._exit = exit_
        self.entering = Event()
        self.exits: list[type[BaseException] | None] = []
        self.it: Cancellation | None = None

    def __enter__(self) -> object:
        self.it = cancellation()
        self.entering.set()
        return self._enter()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.exits.append(kind)
        self._exit()


def stop() -> None:
    """An enter that stops when it is asked."""
    assert cancellation().wait(LIMIT)
    cancellation().check()


def enter_in_spite() -> str:
    """An enter that is asked, and finishes."""
    assert cancellation().wait(LIMIT)
    return "entered"


def failing_when(*others: Manager, error: BaseException | None = None) -> Manager:
    """A manager whose enter fails when others are entering."""

    def fail() -> None:
        for other in others:
            assert other.entering.wait(LIMIT)
        raise error or ValueError

    return Manager(fail)


# W4


def test_enters_beside_a_failed_one_are_asked() -> None:
    late, entered = Manager(enter_in_spite), Manager()
    with pytest.raises(ValueError):
        with parallel(entered).parallel(late).parallel(failing_when(late, entered)):
            pytest.fail("it is not entered")
    assert late.exits == entered.exits == [ValueError]


def test_enters_that_stopped_are_left_out_of_the_failure() -> None:
    late = [Manager(stop), Manager(stop)]
    failure = ValueError()
    with pytest.raises(ValueError) as caught:
        with parallel_contexts([*late, failing_when(*late, error=failure)]):
            pytest.fail("it is not entered")
    assert caught.value is failure
    assert [each.exits for each in late] == [[], []]


def test_an_enter_that_fails_in_another_way_when_asked_is_a_failure() -> None:
    def fail() -> None:
        enter_in_spite()
        raise OSError

    late = Manager(fail)
    with pytest.raises(BaseException, match="2 of 2 context managers failed to enter") as caught:
        with parallel(late).parallel(failing_when(late)):
            pytest.fail("it is not entered")
    group: Any = caught.value
    assert [type(error) for error in group.exceptions] == [OSError, ValueError]


def test_cancelled_error_of_an_enter_that_was_not_asked_is_a_failure() -> None:
    error = CancelledError()

    def fail() -> None:
        raise error

    late = Manager(enter_in_spite)
    with pytest.raises(CancelledError) as caught:
        with parallel(Manager(fail)).parallel(late):
            pytest.fail("it is not entered")
    assert caught.value is error
    assert late.exits == [CancelledError]


def test_an_enter_that_begins_after_the_failure_is_asked_from_the_start() -> None:
    # The failed one ends its thread's part before the other one looks.
    failed = Event()

    def look() -> bool:
        assert failed.wait(LIMIT)
        seen.append(cancellation().wait(LIMIT))
        return True

    seen: list[bool] = []
    late = Manager(look)
    failing = failing_when(late)
    threading.Timer(0.02, failed.set).start()
    with pytest.raises(ValueError):
        with parallel(failing).parallel(late):
            pytest.fail("it is not entered")
    assert seen == [True]


def test_cancellation_of_an_enter_ends_with_the_enter() -> None:
    its: list[Cancellation] = []
    seen: list[bool] = []
    early = Manager(exit_=lambda: seen.append(cancellation().is_set()))
    with pytest.raises(ValueError):
        with parallel(early).parallel(failing_when(early)):
            pytest.fail("it is not entered")
    first = Manager()
    with parallel(first):
        assert first.it is not None
        its.append(first.it)
    assert not its[0].is_set()
    assert seen == [False]


def test_calls_of_an_enter_that_has_ended_are_not_asked_when_another_fails() -> None:
    # A service that an enter started is stopped by its exit, and by nothing else.
    inside, told_to_stop = Event(), Event()
    services: list[Any] = []
    ended = Event()

    def serve() -> bool:
        inside.set()
        assert told_to_stop.wait(LIMIT)
        return cancellation().is_set()

    def start() -> None:
        services.append(parallel(serve)())
        assert inside.wait(LIMIT)

    first = Manager(start, exit_=told_to_stop.set)

    def fail() -> None:
        wait_until(lambda: first.it is not None and has_ended(first.it))
        ended.set()
        raise ValueError

    with pytest.raises(ValueError):
        with parallel(first).parallel(Manager(fail)):
            pytest.fail("it is not entered")
    assert ended.is_set()
    assert services[0].results(timeout=LIMIT) == (False,)


def test_calls_of_an_enter_that_runs_are_asked_with_it() -> None:
    inside = Event()

    def call() -> None:
        inside.set()
        stop()

    late = Manager(lambda: parallel(call)().results(timeout=LIMIT))

    def fail() -> None:
        assert inside.wait(LIMIT)
        raise ValueError

    with pytest.raises(ValueError):
        with parallel(late).parallel(Manager(fail)):
            pytest.fail("it is not entered")
    assert late.exits == []


def test_a_callback_breaks_an_enter_that_blocks() -> None:
    reader, writer = os.pipe()

    def read() -> None:
        with cancellation().callback(os.write, writer, b"x"):
            os.read(reader, 1)
        cancellation().check()

    late = Manager(read)
    with pytest.raises(ValueError):
        with parallel(late).parallel(failing_when(late)):
            pytest.fail("it is not entered")
    os.close(reader)
    os.close(writer)


# W5


def test_time_limit_asks_late_enters(uncaught: list[Uncaught]) -> None:
    stops, finishes, entered = Manager(stop), Manager(enter_in_spite), Manager()
    with pytest.raises(TimeoutError, match="^2 of 3 context managers still entering after"):
        with parallel_contexts([entered, stops, finishes], timeout=0.2):
            pytest.fail("it is not entered")
    wait_until(lambda: finishes.exits)
    assert (entered.exits, stops.exits, finishes.exits) == ([TimeoutError], [], [TimeoutError])
    assert uncaught == []


def test_late_enter_that_stopped_is_not_reported() -> None:
    stops = Manager(stop)
    with pytest.raises(TimeoutError):
        with parallel(stops, timeout=0):
            pytest.fail("it is not entered")


def test_late_enter_that_fails_in_another_way_is_reported(uncaught: list[Uncaught]) -> None:
    def fail() -> None:
        enter_in_spite()
        raise OSError

    with pytest.raises(TimeoutError):
        with parallel(Manager(fail), timeout=0):
            pytest.fail("it is not entered")
    wait_until(lambda: uncaught)
    assert [type(each.exc_value) for each in uncaught] == [OSError]


def test_late_enters_are_asked_before_the_others_exit() -> None:
    asked = Event()
    seen: list[bool] = []

    def note_asked() -> None:
        assert cancellation().wait(LIMIT)
        asked.set()

    late = Manager(note_asked)
    entered = Manager(exit_=lambda: seen.append(asked.wait(LIMIT)))
    with pytest.raises(TimeoutError):
        with parallel(late, timeout=0.2).parallel(entered):
            pytest.fail("it is not entered")
    assert seen == [True]


def test_late_enters_exit_before_a_callback_has_returned() -> None:
    # The function that the time limit calls blocks until the manager has exited.
    gone = Event()

    def enter() -> None:
        with cancellation().callback(lambda: order.append(gone.wait(LIMIT))):
            go_on.wait(LIMIT)

    order: list[bool] = []
    go_on = Event()
    first = Manager(enter)

    def leave() -> None:
        gone.set()
        go_on.set()

    second = Manager(enter_in_spite, exit_=leave)
    with pytest.raises(TimeoutError):
        with parallel_contexts([second, first], timeout=0.1):
            pytest.fail("it is not entered")
    assert order == [True]


@starts_threads_at_exit
def test_the_end_of_the_program_waits_for_an_enter_that_was_asked() -> None:
    code = """
    class Slow:
        def __enter__(self):
            assert cancellation().wait(15)
            threading.main_thread().join()
            say("entered")
        def __exit__(self, kind, *_):
            say("exited", kind.__name__)
    try:
        with parallel(Slow(), timeout=0):
            pass
    except TimeoutError:
        pass
    """
    assert run(code, prelude=PRELUDE + "from parallel import cancellation\n") == ["entered", "exited TimeoutError"]


# W6


class RaisingHandler:
    """Raises an exception in the main thread, as a signal handler, once others are entering."""

    def __init__(self, kind: type[BaseException], *entering: Event) -> None:
        self._kind = kind
        self._entering = entering
        self._has_raised = Event()
        self._thread = threading.Thread(target=self._raise_signal)

    def __enter__(self) -> None:
        self._before = signal.signal(signal.SIGUSR1, self._handle)
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._thread.join()
        signal.signal(signal.SIGUSR1, self._before)

    def _handle(self, *_: object) -> None:
        if not self._has_raised.is_set():
            self._has_raised.set()
            raise self._kind

    def _raise_signal(self) -> None:
        for event in self._entering:
            assert event.wait(LIMIT)
        # Again: an interpreter may miss a signal that comes in the moment before it begins to wait for a lock.
        while not self._has_raised.wait(0.01):
            os.kill(os.getpid(), signal.SIGUSR1)


@pytest.mark.skipif(os.name != "posix", reason="sends signals as POSIX has them")
@pytest.mark.parametrize("kind", [KeyboardInterrupt, RuntimeError, RecursionError, MemoryError, InterruptError])
def test_a_signal_handler_that_raises_has_enters_asked(kind: type[BaseException]) -> None:
    stops, finishes, entered = Manager(stop), Manager(enter_in_spite), Manager()
    with RaisingHandler(kind, stops.entering, finishes.entering), pytest.raises(kind):
        with parallel(entered).parallel(stops).parallel(finishes):
            pytest.fail("it is not entered")
    wait_until(lambda: finishes.exits and entered.exits)
    assert (entered.exits, stops.exits, finishes.exits) == ([kind], [], [kind])


@pytest.mark.skipif(os.name != "posix", reason="sends signals as POSIX has them")
def test_a_second_exception_while_enters_are_asked_leaves_nobody_out(monkeypatch: pytest.MonkeyPatch) -> None:
    # It comes between the requests of two enters.
    def set_one_and_raise(requests: list[Any]) -> None:
        monkeypatch.undo()
        requests[0].set()
        raise OSError

    first, second = Manager(enter_in_spite), Manager(enter_in_spite)
    with RaisingHandler(KeyboardInterrupt, first.entering, second.entering), pytest.raises(OSError):
        monkeypatch.setattr("parallel._context_block.set_all", set_one_and_raise)
        with parallel(first).parallel(second):
            pytest.fail("it is not entered")
    wait_until(lambda: first.exits and second.exits)
    assert (first.exits, second.exits) == ([KeyboardInterrupt], [KeyboardInterrupt])


# Whose the enters and exits are


def test_enters_in_a_call_are_asked_with_it_from_the_start_too() -> None:
    go_on = Event()
    late = Manager(stop)

    def call() -> None:
        assert go_on.wait(LIMIT)
        with parallel(late).parallel(Manager(stop)):
            pytest.fail("it is not entered")

    calls = parallel(call)()
    calls.cancel()
    go_on.set()
    with pytest.raises(CancelledError):
        calls.results(timeout=LIMIT)
    assert repr(calls).endswith("call cancelled>")
    late = Manager(stop)
    calls = parallel(call)()
    assert late.entering.wait(LIMIT)
    calls.cancel()
    with pytest.raises(CancelledError):
        calls.results(timeout=LIMIT)


def test_the_block_in_a_call_belongs_to_the_call_and_its_exits_to_none() -> None:
    seen: list[bool] = []
    inherited: list[bool] = []
    inside = Event()

    def leave() -> None:
        seen.append(cancellation().is_set())
        inherited.extend(parallel(lambda: cancellation().is_set())().results(timeout=LIMIT))
        inner = Manager()
        with parallel(inner):
            assert inner.it is not None
            inherited.append(inner.it.is_set())

    def call() -> bool:
        with parallel(Manager(exit_=leave)).parallel(Manager(exit_=leave)):
            inside.set()
            return cancellation().wait(LIMIT)

    calls = parallel(call)()
    assert inside.wait(LIMIT)
    calls.cancel()
    assert calls.results(timeout=LIMIT) == (True,)
    assert seen == [False, False]
    assert inherited == [False] * 4


def test_cancelling_inside_an_enter_leaves_the_call_alone() -> None:
    def call() -> bool:
        late = Manager(stop)
        with pytest.raises(ValueError):
            with parallel(late).parallel(failing_when(late)):
                pytest.fail("it is not entered")
        return cancellation().is_set()

    assert parallel(call)().results(timeout=LIMIT) == (False,)


def test_enters_of_two_blocks_have_nothing_to_do_with_each_other() -> None:
    barrier = Barrier(2)
    other = Manager(lambda: (barrier.wait(LIMIT), barrier.wait(LIMIT)))

    def call() -> bool:
        with parallel(other):
            assert other.it is not None
            return other.it.is_set()

    calls = parallel(call)()
    barrier.wait(LIMIT)
    with pytest.raises(ValueError):
        with parallel(failing_when()):
            pytest.fail("it is not entered")
    barrier.wait(LIMIT)
    assert calls.results(timeout=LIMIT) == (False,)


# asyncio


def test_cancelled_task_asks_the_enters_of_its_block() -> None:
    stops, finishes = Manager(stop), Manager(enter_in_spite)

    async def enter() -> None:
        async with parallel(stops).parallel(finishes):
            pytest.fail("it is not entered")

    async def main() -> None:
        task = asyncio.ensure_future(enter())
        await asyncio.sleep(0)
        for manager in (stops, finishes):
            assert manager.entering.wait(LIMIT)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    wait_until(lambda: finishes.exits)
    assert (stops.exits, finishes.exits) == ([], [asyncio.CancelledError])


def test_enters_beside_a_failed_one_are_asked_in_async_with_too() -> None:
    late = Manager(stop)
    failure = ValueError()

    async def main() -> None:
        with pytest.raises(ValueError) as caught:
            async with parallel(late).parallel(failing_when(late, error=failure)):
                pytest.fail("it is not entered")
        assert caught.value is failure

    asyncio.run(main())
    assert late.exits == []


def test_enters_of_async_with_in_a_call_are_asked_with_the_call() -> None:
    late = Manager(stop)

    async def main() -> None:
        async with parallel(late):
            pytest.fail("it is not entered")

    calls = parallel(lambda: asyncio.run(main()))()
    assert late.entering.wait(LIMIT)
    calls.cancel()
    with pytest.raises(CancelledError):
        calls.results(timeout=LIMIT)
