"""Calls are asked to stop: who is asked, what counts as cancelled, and what a chain makes of it.

Cells of the table in docs/what-happens-when.md, by who asks. In this order: what the call sees, what results() does,
what the end of the program does, what threading.excepthook is given.

chain.cancel()
    test_chain_asks_all_its_calls_last_first; test_first_cancelled_error_of_the_chain_is_raised_alone;
    test_the_end_of_the_program_waits_for_a_call_that_was_asked (test_abandon.py);
    test_cancelled_calls_are_never_reported
future.cancel()
    test_cancel_of_a_running_call_is_false_and_asks_it; test_first_cancelled_error_of_the_chain_is_raised_alone;
    test_the_end_of_the_program_waits_for_a_call_that_was_asked (test_abandon.py);
    test_cancelled_calls_are_never_reported
the call that made the call
    test_calls_inside_are_asked_to_any_depth; test_cancelled_inner_call_cancels_the_outer_one_that_lets_it_pass;
    test_the_end_of_the_program_waits_for_a_call_that_was_asked (test_abandon.py);
    test_cancelled_inner_calls_are_never_reported
an asyncio task
    test_cancelled_task_asks_the_calls_of_the_chain_last_first, test_cancelled_wrapped_future_asks_its_call,
    test_cancelled_run_in_executor_asks_its_call; test_awaited_chain_can_be_asked_again_after_its_task_was_cancelled;
    test_the_end_of_the_program_waits_for_a_call_that_was_asked (test_abandon.py);
    test_cancelled_calls_are_never_reported
a failed enter, the time limit of a block
    all in test_enters_asked_to_stop.py: test_enters_beside_a_failed_one_are_asked, test_time_limit_asks_late_enters;
    test_enters_that_stopped_are_left_out_of_the_failure, test_time_limit_asks_late_enters;
    test_the_end_of_the_program_waits_for_an_enter_that_was_asked; test_late_enter_that_stopped_is_not_reported
results(timeout=), FIRST_EXCEPTION
    test_nothing_else_asks_a_call; test_time_limit_beside_cancelled_calls_is_a_timeout_error,
    test_first_exception_prefers_a_real_failure; test_the_end_of_the_program_waits_for_a_call_that_was_asked
    (test_abandon.py); test_a_failure_that_comes_after_cancel_is_reported
chain.abandon()
    all in test_abandon.py: test_abandoned_calls_are_asked; test_abandoned_chain_gives_its_results_later;
    test_the_program_ends_at_once; test_errors_of_abandoned_calls_are_not_reported
shutdown()
    test_shutdown_asks_nobody; test_shutdown_asks_nobody; test_the_end_of_the_program_waits_for_a_call_that_was_asked
    (test_abandon.py); test_a_failure_that_comes_after_cancel_is_reported
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import itertools
import os
import signal
import sys
import threading
import weakref
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from pathlib import Path
from threading import Barrier, Event
from typing import Any, Callable

import pytest

import children
import parallel as package
from helpers import LIMIT, PYPY, Uncaught, free_garbage, futures_of, wait_for_idle_threads, wait_until
from parallel import (
    Cancellation,
    FutureCollection,
    ParallelExecutor,
    ReturnWhen,
    cancellation,
    parallel,
    parallel_map,
)

LIBRARY = Path(package.__file__).parent


class Asked:
    """A call that waits until it is asked to stop, and then raises; ``order`` notes who was."""

    def __init__(self, order: list[object] | None = None, name: object = None) -> None:
        self.started = Event()
        self.it: Cancellation | None = None
        self._order = order
        self._name = name

    def __call__(self, *_: object) -> None:
        self.it = cancellation()
        with self.it.callback(self._note):
            self.started.set()
            assert self.it.wait(LIMIT)
        self.it.check()

    def _note(self) -> None:
        if self._order is not None:
            self._order.append(self._name)

    def wait_until_started(self) -> None:
        assert self.started.wait(LIMIT)


def started(number: int = 1, order: list[object] | None = None) -> tuple[Any, list[Asked]]:
    """Starts a chain of calls that wait until they are asked to stop."""
    each = [Asked(order, name) for name in range(number)]
    calls: Any = parallel(each[0])()
    for asked in each[1:]:
        calls = calls.parallel(asked)()
    for asked in each:
        asked.wait_until_started()
    return calls, each


def look(*_: object) -> bool:
    return cancellation().is_set()


# What asks, and what does not


def test_cancel_of_a_running_call_is_false_and_asks_it() -> None:
    asked = Asked()
    future = ParallelExecutor.execute_one(asked)
    asked.wait_until_started()
    assert asked.it is not None
    assert not asked.it.is_set()
    asked.it.check()
    assert future.cancel() is False
    assert asked.it.is_set()
    assert isinstance(future.exception(LIMIT), CancelledError)
    assert (future.done(), future.cancelled(), future.running()) == (True, False, False)
    assert future.cancel() is False


def test_cancel_of_a_call_that_has_ended_does_nothing() -> None:
    its: list[Cancellation] = []
    future = ParallelExecutor.execute_one(lambda: its.append(cancellation()))
    future.result(LIMIT)
    assert future.cancel() is False
    assert not its[0].is_set()
    assert not its[0].wait(0)
    assert not its[0].wait(-1)
    called: list[int] = []
    with its[0].callback(called.append, 1):
        future.cancel()
    assert called == []


def test_chain_asks_all_its_calls_last_first() -> None:
    order: list[object] = []
    calls, _ = started(3, order)
    calls.cancel()
    assert order == [2, 1, 0]
    calls.cancel()
    with pytest.raises(CancelledError):
        calls.results(timeout=LIMIT)
    assert order == [2, 1, 0]


def test_chain_asks_only_the_calls_chained_so_far() -> None:
    old, _ = started()
    old.cancel()
    calls = old.parallel(look)()
    assert calls.futures[1].result(LIMIT) is False
    with pytest.raises(RuntimeError, match="consumed"):
        old.cancel()


def test_cancel_asks_the_other_executor_to_drop_what_it_has_not_started() -> None:
    go_on = Event()
    with ThreadPoolExecutor(1) as pool:
        calls = parallel(go_on.wait, executor=pool)(LIMIT).parallel(len)("four")
        wait_until(calls.futures[0].running)
        calls.cancel()
        assert repr(calls) == "<FutureCollection: Event.wait running, len cancelled>"
        go_on.set()
        with pytest.raises(CancelledError):
            calls.results(timeout=LIMIT)


def test_nothing_else_asks_a_call() -> None:
    go_on = Event()

    def held() -> bool:
        assert go_on.wait(LIMIT)
        return cancellation().is_set()

    def fail() -> None:
        raise ValueError

    calls = parallel(held)().parallel(fail)().parallel(held)()
    with pytest.raises(ValueError):
        calls.results(return_when=ReturnWhen.FIRST_EXCEPTION)
    with pytest.raises(ValueError):
        calls.results(timeout=0)
    go_on.set()
    assert [future.result(LIMIT) for future in calls.futures[::2]] == [False, False]


async def _await(calls: Any) -> Any:
    return await calls


def test_closing_a_coroutine_that_awaits_a_chain_asks_nobody() -> None:
    go_on = Event()

    def held() -> bool:
        assert go_on.wait(LIMIT)
        return cancellation().is_set()

    async def main() -> None:
        calls = parallel(held)()
        coroutine = _await(calls)
        coroutine.send(None)  # It waits.
        coroutine.close()
        go_on.set()
        assert calls.results(timeout=LIMIT) == (False,)

    asyncio.run(main())


def test_shutdown_asks_nobody() -> None:
    go_on = Event()

    def held() -> bool:
        assert go_on.wait(LIMIT)
        return cancellation().is_set()

    executor = ParallelExecutor()
    future = executor.submit(held)
    executor.shutdown(wait=False, cancel_futures=True)
    go_on.set()
    executor.shutdown(wait=True)
    assert future.result(LIMIT) is False


def test_map_of_the_executor_asks_the_rest_when_it_fails_or_is_closed() -> None:
    rest = Asked()

    def fail_first(number: int) -> None:
        if number == 0:
            rest.wait_until_started()
            raise ValueError
        rest()

    results = ParallelExecutor().map(fail_first, [0, 1])
    with pytest.raises(ValueError):
        next(results)
    assert rest.it is not None
    assert rest.it.wait(LIMIT)

    rest = Asked()

    def return_first(number: int) -> None:
        if number != 0:
            rest()

    generator: Any = ParallelExecutor().map(return_first, [0, 1])
    next(generator)
    rest.wait_until_started()
    generator.close()
    assert rest.it is not None
    assert rest.it.wait(LIMIT)


def test_elsewhere_the_cancellation_is_never_set() -> None:
    assert not cancellation().is_set()
    assert not cancellation().wait(0)
    cancellation().check()
    called: list[int] = []
    with cancellation().callback(called.append, 1):
        pass
    assert called == []


def test_wait_and_callback_refuse_what_they_cannot_use() -> None:
    with pytest.raises(TypeError, match="timeout"):
        cancellation().wait("1")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="timeout"):
        cancellation().wait(float("nan"))
    with pytest.raises(TypeError, match=r"Cancellation\.callback\(\)"):
        cancellation().callback(3)  # type: ignore[arg-type]


# Who is asked


STARTS: dict[str, Callable[[Callable[..., Any]], Any]] = {
    "parallel": lambda func: parallel(func)().futures[0],
    "chained": lambda func: parallel(int)().parallel(func)().futures[1],
    "parallel_map": lambda func: parallel_map(func, [0]).futures[0],
    "execute": lambda func: ParallelExecutor.execute(func)[0],
    "execute_one": lambda func: ParallelExecutor.execute_one(func),
    "submit": lambda func: ParallelExecutor().submit(func),
    "executor=": lambda func: parallel(func, executor=ParallelExecutor())().futures[0],
    "map": lambda func: parallel(lambda: list(ParallelExecutor().map(func, [0])))().futures[0],
}


@pytest.mark.parametrize("start", STARTS.values(), ids=STARTS)
@pytest.mark.parametrize("when", ["before", "after"])
def test_calls_inside_are_asked_to_any_depth(start: Callable[[Callable[..., Any]], Any], when: str) -> None:
    asked = Asked()
    go_on = Event()
    if when == "after":
        go_on.set()

    def call(depth: int) -> None:
        if depth == 0:
            assert go_on.wait(LIMIT)
            start(asked).result(LIMIT)
        else:
            parallel(call)(depth - 1).results(timeout=LIMIT)

    calls = parallel(call)(5)
    if when == "after":
        asked.wait_until_started()
    calls.cancel()
    go_on.set()
    with pytest.raises(CancelledError):
        calls.results(timeout=LIMIT)
    assert asked.it is not None
    assert asked.it.is_set()


def test_cancelling_an_inner_call_leaves_the_outer_one_and_siblings_alone() -> None:
    inner = Asked()
    sibling_goes_on = Event()

    def sibling() -> bool:
        assert sibling_goes_on.wait(LIMIT)
        return cancellation().is_set()

    def outer() -> tuple[bool, bool]:
        calls = parallel(inner)()
        other = parallel(sibling)()
        inner.wait_until_started()
        calls.cancel()
        with pytest.raises(CancelledError):
            calls.results(timeout=LIMIT)
        sibling_goes_on.set()
        return other.results(timeout=LIMIT)[0], cancellation().is_set()

    assert parallel(outer)().results(timeout=LIMIT) == ((False, False),)


def test_cancelling_one_future_leaves_its_siblings_alone() -> None:
    calls, each = started(2)
    calls.futures[0].cancel()
    assert isinstance(calls.futures[0].exception(LIMIT), CancelledError)
    assert each[1].it is not None
    assert not each[1].it.is_set()
    calls.cancel()


def test_a_call_is_asked_whose_caller_has_ended() -> None:
    inner = Asked()
    made: list[Any] = []

    def middle() -> None:
        made.append(parallel(inner)())

    def outer() -> None:
        parallel(middle)().results(timeout=LIMIT)
        inner.wait_until_started()
        made.append(cancellation().wait(LIMIT))

    calls = parallel(outer)()
    inner.wait_until_started()
    calls.cancel()
    calls.results(timeout=LIMIT)
    with pytest.raises(CancelledError):
        made[0].results(timeout=LIMIT)
    assert "cancelled" in repr(made[0])
    made.clear()


def test_call_that_never_looked_counts_as_cancelled_by_a_distant_caller() -> None:
    go_on = Event()
    made: list[Any] = []

    def inner() -> None:
        assert go_on.wait(LIMIT)
        raise CancelledError

    def outer() -> None:
        ParallelExecutor.execute_one(lambda: made.append(parallel(inner)())).result(LIMIT)
        asked.set()
        assert cancellation().wait(LIMIT)

    asked = Event()
    calls = parallel(outer)()
    assert asked.wait(LIMIT)
    calls.cancel()
    go_on.set()
    wait([futures_of(made[0])[0]])  # Not .futures, which would take over the report.
    assert repr(made[0]).endswith("inner cancelled>")
    made.clear()
    calls.results(timeout=LIMIT)


def test_calls_that_go_on_are_not_asked_by_a_caller_that_has_ended() -> None:
    inner = Asked()
    made: list[Any] = []
    calls = parallel(lambda: made.append(parallel(inner)()))()
    calls.results(timeout=LIMIT)
    inner.wait_until_started()
    calls.cancel()
    assert inner.it is not None
    assert not inner.it.is_set()
    made[0].cancel()
    made.clear()


def test_the_calls_of_another_executor_end_the_line() -> None:
    go_on = Event()

    def foreign() -> tuple[bool, bool]:
        assert go_on.wait(LIMIT)
        (inner,) = parallel(look)().results(timeout=LIMIT)
        return cancellation().is_set(), inner

    def outer() -> tuple[bool, bool]:
        with ThreadPoolExecutor(1) as pool:
            future = pool.submit(foreign)
            assert cancellation().wait(LIMIT)
            go_on.set()
            return future.result(LIMIT)

    calls = parallel(outer)()
    calls.cancel()
    assert calls.results(timeout=LIMIT) == ((False, False),)


def test_done_callbacks_are_not_asked_and_what_they_start_inherits_nothing() -> None:
    seen: list[bool] = []
    told = Event()
    asked = Asked()
    future = ParallelExecutor.execute_one(asked)

    def callback(_: object) -> None:
        seen.append(cancellation().is_set())
        seen.extend(parallel(look)().results(timeout=LIMIT))
        told.set()

    asked.wait_until_started()
    future.add_done_callback(callback)
    future.cancel()
    assert told.wait(LIMIT)
    assert seen == [False, False]


def test_a_finished_call_is_not_asked_while_its_callbacks_run() -> None:
    inside, go_on = Event(), Event()
    seen: list[bool] = []
    begin = Event()
    future = ParallelExecutor.execute_one(begin.wait, LIMIT)

    def callback(_: object) -> None:
        inside.set()
        assert go_on.wait(LIMIT)
        seen.append(cancellation().is_set())

    future.add_done_callback(callback)
    begin.set()
    assert inside.wait(LIMIT)
    assert future.cancel() is False
    go_on.set()
    wait_until(lambda: seen)
    assert seen == [False]


# What counts as cancelled


def raising(error: BaseException) -> Callable[[], None]:
    def call() -> None:
        asking = cancellation()
        started_raising.release()
        assert asking.wait(LIMIT)
        raise error

    return call


started_raising = threading.Semaphore(0)


def cancelled_chain(*errors: BaseException) -> Any:
    """Makes a chain of calls that were asked, and have raised these."""
    calls: Any = parallel(raising(errors[0]))()
    for error in errors[1:]:
        calls = calls.parallel(raising(error))()
    for _ in errors:
        assert started_raising.acquire(timeout=LIMIT)
    calls.cancel()
    return calls


KINDS: list[type[BaseException]] = [concurrent.futures.CancelledError, asyncio.CancelledError]


@pytest.mark.parametrize("kind", KINDS, ids=["concurrent.futures", "asyncio"])
def test_first_cancelled_error_of_the_chain_is_raised_alone(kind: type[BaseException]) -> None:
    errors = [kind("first"), kind("second")]
    calls = cancelled_chain(*errors)
    for _ in range(2):
        with pytest.raises(kind) as caught:
            calls.results(timeout=LIMIT)
        assert caught.value is errors[0]
    assert repr(calls).count("cancelled") == 2
    assert [future.exception() for future in calls.futures] == errors
    assert not any(future.cancelled() for future in calls.futures)


@pytest.mark.parametrize("kind", KINDS, ids=["concurrent.futures", "asyncio"])
def test_cancelled_calls_are_left_out_beside_failures(kind: type[BaseException]) -> None:
    failure = ValueError("real")
    with pytest.raises(ValueError) as caught:
        cancelled_chain(kind(), failure, kind()).results(timeout=LIMIT)
    assert caught.value is failure
    with pytest.raises(BaseException, match="2 of 3 calls failed") as several:
        cancelled_chain(failure, kind(), OSError()).results(timeout=LIMIT)
    group: Any = several.value
    assert [type(error) for error in group.exceptions] == [ValueError, OSError]


@pytest.mark.parametrize("kind", KINDS, ids=["concurrent.futures", "asyncio"])
def test_cancelled_error_before_being_asked_is_an_ordinary_failure(kind: type[BaseException]) -> None:
    error = kind()

    def fail() -> None:
        raise error

    calls: Any = parallel(fail)()
    wait([futures_of(calls)[0]])
    calls.cancel()
    assert repr(calls).endswith("failed: CancelledError>")
    calls = calls.parallel(raising(CancelledError()))()
    assert started_raising.acquire(timeout=LIMIT)
    calls.cancel()
    with pytest.raises(kind) as caught:
        calls.results(timeout=LIMIT)
    assert caught.value is error


def test_cancelled_error_before_being_asked_is_reported(uncaught: list[Uncaught]) -> None:
    error = CancelledError()

    def fail() -> None:
        raise error

    parallel(fail)()
    wait_until(lambda: uncaught)
    assert uncaught == [(error, uncaught[0].thread_name)]
    assert uncaught[0].thread_name.endswith("fail")


def test_cancelled_calls_are_never_reported() -> None:
    cancelled_chain(CancelledError(), asyncio.CancelledError())  # Dropped; the fixture fails the test.
    before = cancelled_chain(CancelledError())
    wait([futures_of(before)[0]])
    del before  # Dropped when it has ended.


def test_cancelled_inner_calls_are_never_reported() -> None:
    inner = Asked()
    futures: list[Future[Any]] = []

    def outer() -> None:
        chain = parallel(inner)()
        futures.append(futures_of(chain)[0])
        inner.wait_until_started()
        del chain
        assert cancellation().wait(LIMIT)

    calls = parallel(outer)()
    inner.wait_until_started()
    calls.cancel()
    calls.results(timeout=LIMIT)
    assert isinstance(futures[0].exception(LIMIT), CancelledError)


def test_a_failure_that_comes_after_cancel_is_reported(uncaught: list[Uncaught]) -> None:
    error = ValueError()
    cancelled_chain(error)
    wait_until(lambda: uncaught)
    assert [each.exc_value for each in uncaught] == [error]


def test_a_call_may_end_well_after_it_was_asked() -> None:
    def call() -> str:
        its.append(cancellation())
        inside.set()
        assert its[0].wait(LIMIT)
        return "done"

    its: list[Cancellation] = []
    inside = Event()
    calls = parallel(call)()
    assert inside.wait(LIMIT)
    calls.cancel()
    assert calls.results(timeout=LIMIT) == ("done",)
    assert repr(calls).endswith("call finished>")
    assert its[0].is_set()


def test_time_limit_beside_cancelled_calls_is_a_timeout_error() -> None:
    go_on = Event()
    calls = parallel(raising(CancelledError()))().parallel(go_on.wait)(LIMIT)
    assert started_raising.acquire(timeout=LIMIT)
    calls.futures[0].cancel()
    wait([calls.futures[0]])
    with pytest.raises(TimeoutError, match=r"^1 of 2 calls still running after 0\.0 seconds: Event\.wait$"):
        calls.results(timeout=0)
    go_on.set()
    with pytest.raises(CancelledError):
        calls.results(timeout=LIMIT)


def test_first_exception_prefers_a_real_failure() -> None:
    calls = cancelled_chain(CancelledError(), ValueError(), KeyboardInterrupt())
    wait(calls.futures)
    with pytest.raises(KeyboardInterrupt):
        calls.results(return_when=ReturnWhen.FIRST_EXCEPTION)
    calls = cancelled_chain(CancelledError(), ValueError())
    wait(calls.futures)
    with pytest.raises(ValueError):
        calls.results(return_when=ReturnWhen.FIRST_EXCEPTION)


def test_first_exception_ends_at_once_with_a_cancelled_call() -> None:
    go_on = Event()
    calls = parallel(go_on.wait)(LIMIT).parallel(raising(CancelledError()))()
    assert started_raising.acquire(timeout=LIMIT)
    calls.futures[1].cancel()
    with pytest.raises(CancelledError):
        calls.results(return_when=ReturnWhen.FIRST_EXCEPTION, timeout=LIMIT)
    assert calls.futures[0].running()
    go_on.set()


def test_cancelled_inner_call_cancels_the_outer_one_that_lets_it_pass() -> None:
    inner = Asked()

    def outer() -> None:
        parallel(inner)().parallel(inner)().results(timeout=LIMIT)

    calls = parallel(outer)()
    inner.wait_until_started()
    calls.cancel()
    with pytest.raises(CancelledError):
        calls.results(timeout=LIMIT)
    assert repr(calls).endswith("outer cancelled>")


def test_a_future_that_its_user_set_is_what_the_user_made_it() -> None:
    asked = Asked()
    calls = parallel(asked)()
    asked.wait_until_started()
    future: Any = calls.futures[0]
    error = OSError()
    future.cancel()
    try:
        future.set_exception(error)
    except concurrent.futures.InvalidStateError:
        pytest.skip("the call was quicker")
    with pytest.raises(OSError):
        calls.results(timeout=LIMIT)
    assert repr(calls).endswith("failed: OSError>")


def test_cancelled_call_does_not_hide_what_its_user_set_nor_is_reported() -> None:
    gone = Event()
    begin, set_now = Event(), Event()

    def call() -> None:
        try:
            it = cancellation()
            begin.set()
            assert it.wait(LIMIT)
            assert set_now.wait(LIMIT)
            raise CancelledError
        finally:
            gone.set()

    calls = parallel(call)()
    future: Any = calls.futures[0]
    assert begin.wait(LIMIT)
    future.cancel()
    future.set_exception(OSError())
    set_now.set()
    assert gone.wait(LIMIT)
    ParallelExecutor().shutdown()
    wait_until(lambda: future.was_cancelled)  # By then it has been decided whether to report the error.
    wait_for_idle_threads()
    assert repr(calls).endswith("call failed: OSError>")


# callback()


def test_a_callback_is_called_once_in_the_thread_that_cancels() -> None:
    called: list[tuple[object, ...]] = []
    go_on, inside = Event(), Event()

    def note(*args: object, **kwargs: object) -> None:
        called.append((threading.get_ident(), args, kwargs))

    def call() -> None:
        with cancellation().callback(note, 1, self=2, func=3):
            inside.set()
            assert go_on.wait(LIMIT)

    calls = parallel(call)()
    assert inside.wait(LIMIT)
    calls.cancel()
    calls.cancel()
    assert called == [(threading.get_ident(), (1,), {"self": 2, "func": 3})]
    go_on.set()
    calls.results(timeout=LIMIT)
    assert len(called) == 1


def test_a_callback_is_called_at_once_if_the_call_was_asked_before() -> None:
    called: list[int] = []
    go_on = Event()

    def call() -> bool:
        assert go_on.wait(LIMIT)
        with cancellation().callback(lambda: called.append(threading.get_ident())):
            return called == [threading.get_ident()]

    calls = parallel(call)()
    calls.cancel()
    go_on.set()
    assert calls.results(timeout=LIMIT) == (True,)
    assert len(called) == 1


def test_a_callback_is_not_called_after_its_block() -> None:
    called: list[int] = []
    left, go_on = Event(), Event()

    def call() -> None:
        with cancellation().callback(called.append, 1):
            pass
        left.set()
        assert go_on.wait(LIMIT)

    calls = parallel(call)()
    assert left.wait(LIMIT)
    calls.cancel()
    go_on.set()
    calls.results(timeout=LIMIT)
    assert called == []


def test_the_end_of_the_block_waits_for_a_callback_that_runs_elsewhere() -> None:
    inside, leave, told, go_on = Event(), Event(), Event(), Event()
    order: list[str] = []

    def callback() -> None:
        told.set()
        assert go_on.wait(LIMIT)
        order.append("callback")

    def call() -> None:
        with cancellation().callback(callback):
            inside.set()
            assert leave.wait(LIMIT)
        order.append("left")

    future = ParallelExecutor.execute_one(call)
    assert inside.wait(LIMIT)
    canceller = threading.Thread(target=future.cancel)
    canceller.start()
    assert told.wait(LIMIT)
    leave.set()
    assert not wait([future], 0.05).done
    go_on.set()
    canceller.join(LIMIT)
    future.result(LIMIT)
    assert order == ["callback", "left"]


@pytest.mark.parametrize("error", [ValueError(), SystemExit(), KeyboardInterrupt(), CancelledError()], ids=repr)
def test_a_callback_that_raises_is_reported_and_others_are_told(error: BaseException, uncaught: list[Uncaught]) -> None:
    def fail() -> None:
        raise error

    called: list[int] = []
    inside, go_on = Event(), Event()

    def call() -> None:
        with ExitStack() as stack:
            stack.enter_context(cancellation().callback(called.append, 1))
            stack.enter_context(cancellation().callback(fail))
            stack.enter_context(cancellation().callback(called.append, 2))
            inside.set()
            assert go_on.wait(LIMIT)

    future = ParallelExecutor.execute_one(call)
    assert inside.wait(LIMIT)
    assert future.cancel() is False
    assert sorted(called) == [1, 2]
    assert uncaught == [(error, threading.current_thread().name)]
    go_on.set()
    future.result(LIMIT)


def test_a_callback_that_raises_at_once_is_reported_too(uncaught: list[Uncaught]) -> None:
    def fail() -> None:
        raise ValueError

    def call() -> str:
        assert cancellation().wait(LIMIT)
        with cancellation().callback(fail):
            return "inside"

    calls = parallel(call)()
    calls.cancel()
    assert calls.results(timeout=LIMIT) == ("inside",)
    assert len(uncaught) == 1


def test_a_callback_may_cancel_again_and_leave_its_own_block() -> None:
    called: list[str] = []
    inside, go_on = Event(), Event()
    futures: list[Future[Any]] = []

    def call() -> None:
        stack = ExitStack()

        def callback() -> None:
            called.append("callback")
            assert futures[0].cancel() is False
            stack.close()
            called.append("left")

        stack.enter_context(cancellation().callback(called.append, "first"))
        stack.enter_context(cancellation().callback(callback))
        with cancellation().callback(called.append, "other"):
            inside.set()
            assert go_on.wait(LIMIT)

    futures.append(ParallelExecutor.execute_one(call))
    assert inside.wait(LIMIT)
    futures[0].cancel()
    assert sorted(called) == ["callback", "first", "left", "other"]
    go_on.set()
    futures[0].result(LIMIT)


def test_the_block_of_a_callback_cannot_be_entered_again() -> None:
    block = cancellation().callback(len, "four")
    with block:
        pass
    with pytest.raises(RuntimeError, match="callback"):
        block.__enter__()


def test_many_threads_that_cancel_at_once_call_a_callback_once() -> None:
    for _ in range(50):
        called: list[int] = []
        inside, go_on = Event(), Event()
        barrier = Barrier(5)

        def call(called: list[int] = called, inside: Event = inside, go_on: Event = go_on) -> None:
            with cancellation().callback(called.append, 1):
                inside.set()
                assert go_on.wait(LIMIT)

        future = ParallelExecutor.execute_one(call)
        assert inside.wait(LIMIT)

        def cancel(future: Any = future, barrier: Barrier = barrier) -> bool:
            barrier.wait(LIMIT)
            return bool(future.cancel())

        cancels = parallel_map(lambda _: cancel(), range(4))
        barrier.wait(LIMIT)
        assert cancels.results(timeout=LIMIT) == (False,) * 4
        assert called == [1]
        go_on.set()
        future.result(LIMIT)


def test_wait_of_many_threads_ends_when_the_call_is_asked() -> None:
    inside = Barrier(4)

    def call() -> tuple[bool, ...]:
        it = cancellation()

        def helper() -> None:
            inside.wait(LIMIT)
            assert it.wait(LIMIT)

        threads = [threading.Thread(target=helper) for _ in range(2)]
        for thread in threads:
            thread.start()
        inside.wait(LIMIT)
        assert it.wait()
        for thread in threads:
            thread.join(LIMIT)
        return (it.wait(0), it.is_set())

    calls = parallel(call)()
    inside.wait(LIMIT)
    calls.cancel()
    assert calls.results(timeout=LIMIT) == ((True, True),)


def test_a_listener_of_a_call_that_has_ended_is_not_told() -> None:
    its: list[Cancellation] = []
    ended, go_on = Event(), Event()
    called: list[int] = []

    def outer() -> None:
        parallel(lambda: its.append(cancellation()))().results(timeout=LIMIT)
        ended.set()
        assert go_on.wait(LIMIT)

    calls = parallel(outer)()
    assert ended.wait(LIMIT)
    with its[0].callback(called.append, 1):
        calls.cancel()
    assert (called, its[0].is_set(), its[0].wait(0)) == ([], False, False)
    go_on.set()
    calls.results(timeout=LIMIT)


# asyncio


def test_cancelled_task_asks_the_calls_of_the_chain_last_first() -> None:
    order: list[object] = []
    calls, _ = started(3, order)

    async def main() -> None:
        task = asyncio.ensure_future(_await(calls))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert order == [2, 1, 0]
    with pytest.raises(CancelledError):
        calls.results(timeout=LIMIT)


def test_awaited_chain_can_be_asked_again_after_its_task_was_cancelled() -> None:
    go_on, inside = Event(), Event()

    def held() -> str:
        inside.set()
        assert go_on.wait(LIMIT)
        return "well"

    async def main() -> None:
        calls = parallel(held)()
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(_await(calls), 0.01)
        go_on.set()
        assert await calls == ("well",)

    asyncio.run(main())


def test_cancelled_wrapped_future_asks_its_call() -> None:
    calls, each = started()

    async def main() -> None:
        future = asyncio.wrap_future(calls.futures[0])
        future.cancel()
        await asyncio.sleep(0)
        assert each[0].it is not None
        assert each[0].it.wait(LIMIT)

    asyncio.run(main())


def test_cancelled_run_in_executor_asks_its_call() -> None:
    asked = Asked()

    async def main() -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(asyncio.get_running_loop().run_in_executor(ParallelExecutor(), asked), 0.01)
        asked.wait_until_started()
        assert asked.it is not None
        assert asked.it.wait(LIMIT)

    asyncio.run(main())


def test_asyncio_inside_a_call_belongs_to_the_call() -> None:
    inside = Event()

    async def main() -> bool:
        loop = asyncio.get_running_loop()
        stopped = asyncio.Event()
        with cancellation().callback(loop.call_soon_threadsafe, stopped.set):
            inside.set()
            await asyncio.wait_for(stopped.wait(), LIMIT)
        return cancellation().is_set()

    calls = parallel(lambda: asyncio.run(main()))()
    assert inside.wait(LIMIT)
    calls.cancel()
    assert calls.results(timeout=LIMIT) == (True,)


# Forks


@children.needs_fork
def test_a_forked_child_does_nothing_to_its_parents_calls() -> None:
    assert children.run(
        """
        from parallel import cancellation
        inside, go_on = threading.Event(), threading.Event()
        def call():
            with cancellation().callback(say, "callback in", os.getpid()):
                inside.set()
                assert go_on.wait(15)
            return cancellation().is_set()
        calls = parallel(call)()
        assert inside.wait(15)
        if (child := os.fork()) == 0:
            calls.cancel()
            calls.futures[0].cancel()
            calls.abandon()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        go_on.set()
        say(calls.results())
        """,
        flags=children.FORKS,
    ) == ["(False,)"]


@children.needs_fork
def test_a_child_forked_in_a_call_cancels_its_own_calls_and_leaves_its_block() -> None:
    # The child leaves the block of a callback that the parent runs on a thread that the child does not have.
    assert children.run(
        """
        from parallel import cancellation
        told, inside, go_on = threading.Event(), threading.Event(), threading.Event()
        def callback():
            told.set()
            assert go_on.wait(15)
        def stop():
            assert cancellation().wait(15)
            cancellation().check()
        def call():
            with cancellation().callback(callback):
                inside.set()
                assert told.wait(15)
                child = os.fork()
            if child == 0:
                try:
                    calls = parallel(stop)()
                    calls.results()
                except BaseException as error:
                    say("child", type(error).__name__, cancellation().is_set())
                finally:
                    os._exit(0)
            return os.waitpid(child, 0)[1]
        future = ParallelExecutor.execute_one(call)
        assert inside.wait(15)
        canceller = threading.Thread(target=future.cancel)
        canceller.start()
        time.sleep(0)
        threading.Timer(0.5, go_on.set).start()
        say(future.result(15))
        canceller.join()
        """,
        flags=children.FORKS,
    ) == ["child CancelledError True", "0"]


# Cost in memory


def requests_alive() -> int:
    free_garbage()
    return sum(type(each).__name__ == "StopRequest" for each in gc.get_objects())


@pytest.mark.parametrize("is_cancelled", [False, True])
def test_a_line_of_calls_that_each_start_the_next_does_not_grow(is_cancelled: bool) -> None:
    # Each call runs until the one that it started has started another, and that waits until the call has ended.
    most = 0
    ended = Event()

    def call(left: int, caller_before: Future[Any] | None, caller: Future[Any] | None, go_on: Event) -> None:
        nonlocal most
        if caller_before is not None:
            caller_before.result(LIMIT)
        if left % 100 == 0:
            most = max(most, requests_alive())
        if left == 0:
            ended.set()
            return
        following, box = Event(), futures.pop()
        futures.append(ParallelExecutor.execute_one(call, left - 1, caller, box, following))
        go_on.set()
        assert left == 1 or following.wait(LIMIT)

    before = requests_alive()
    begin = Event()
    futures: list[Future[Any]] = []

    def first() -> None:
        assert begin.wait(LIMIT)
        call(1000, None, None, Event())

    futures.append(ParallelExecutor.execute_one(first))
    if is_cancelled:
        futures[0].cancel()
    begin.set()
    assert ended.wait(LIMIT)
    assert most - before < 10


def test_a_request_keeps_no_future_alive() -> None:
    its: list[Cancellation] = []
    future = ParallelExecutor.execute_one(lambda: its.append(cancellation()))
    future.result(LIMIT)
    future.cancel()
    weak = weakref.ref(future)
    del future
    wait_until(lambda: weak() is None)
    assert not its[0].is_set()


@pytest.mark.skipif(PYPY, reason="PyPy has no reference counts")
def test_cancelled_calls_are_freed_by_reference_counting() -> None:
    class Argument:
        pass

    def call(argument: Argument) -> None:
        with cancellation().callback(repr, argument):
            inside.set()
            assert cancellation().wait(LIMIT)
        parallel(look)().results(timeout=LIMIT)
        cancellation().check()

    gc.collect()
    gc.disable()
    try:
        inside = Event()
        argument = Argument()
        weak: list[weakref.ref[Any]] = [weakref.ref(argument)]
        calls = parallel(call)(argument)
        del argument
        assert inside.wait(LIMIT)
        calls.cancel()
        try:
            calls.results(timeout=LIMIT)
        except CancelledError as error:
            weak.append(weakref.ref(error))
        weak.append(weakref.ref(calls.futures[0]))
        del calls
        wait_until(lambda: not any(each() for each in weak))
    finally:
        gc.enable()


def test_calls_nested_two_thousand_deep_are_all_asked() -> None:
    deepest = Asked()
    asked: list[int] = []

    def call(depth: int) -> None:
        if depth:
            ParallelExecutor.execute_one(call, depth - 1).exception(LIMIT)
            asked.append(cancellation().is_set())
        else:
            deepest()

    size = threading.stack_size(256 * 1024)
    try:
        future = ParallelExecutor.execute_one(call, 2000)
        deepest.wait_until_started()
        future.cancel()
        assert future.exception(LIMIT) is None
    finally:
        threading.stack_size(size)
    assert asked == [True] * 2000


# Reentrancy


def test_a_done_callback_in_the_middle_of_cancel_may_cancel_and_call() -> None:
    calls, _ = started(2)
    seen: list[object] = []

    def callback(_: object) -> None:
        calls.cancel()
        seen.append(parallel(len)("four").results(timeout=LIMIT))

    for future in calls.futures:
        future.add_done_callback(callback)
    calls.cancel()
    wait_until(lambda: len(seen) == 2)


def disturb(moment: int, action: Callable[[], object], disturbance: Callable[[], object]) -> bool:
    """Calls ``disturbance`` at that line of the library's that ``action`` runs; returns whether it ran so many."""
    left = moment

    def trace(frame: Any, event: str, arg: object) -> Any:
        nonlocal left
        if Path(frame.f_code.co_filename).parent == LIBRARY:
            left -= 1
            if left == 0:
                sys.settrace(None)
                disturbance()
                return None
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        action()
    finally:
        sys.settrace(before)
    return left <= 0


class HandlerError(Exception):
    """What a signal handler raises."""


def held_call() -> tuple[Any, list[int], Event]:
    called: list[int] = []
    inside, go_on = Event(), Event()

    def call() -> None:
        with cancellation().callback(called.append, 1), cancellation().callback(called.append, 2):
            inside.set()
            assert go_on.wait(LIMIT)

    future = ParallelExecutor.execute_one(call)
    assert inside.wait(LIMIT)
    return future, called, go_on


def test_cancel_in_the_middle_of_cancel_calls_each_callback_once() -> None:
    # As a signal handler or a finalizer does it.
    is_disturbed = True
    for moment in itertools.count(1):
        future, called, go_on = held_call()
        is_disturbed = disturb(moment, future.cancel, future.cancel)
        assert sorted(called) == [1, 2]
        go_on.set()
        future.result(LIMIT)
        if not is_disturbed:
            break
    assert moment > 20


def test_a_handler_that_raises_in_the_middle_of_cancel_lets_all_blocks_end(uncaught: list[Uncaught]) -> None:
    def fail() -> None:
        raise HandlerError

    is_disturbed, raised = True, 0
    for moment in itertools.count(1):
        future, called, go_on = held_call()
        try:
            is_disturbed = disturb(moment, future.cancel, fail)
        except HandlerError:
            raised += 1
        future.cancel()  # Again: it tells the rest.
        assert len(called) == len(set(called))
        assert len(called) >= 1
        go_on.set()
        future.result(LIMIT)
        if not is_disturbed:
            break
    assert raised > 20
    assert all(isinstance(each.exc_value, HandlerError) for each in uncaught)


@pytest.mark.skipif(os.name != "posix", reason="sends signals as POSIX has them")
def test_a_signal_handler_may_cancel_while_results_waits() -> None:
    calls, _ = started()
    before = signal.signal(signal.SIGUSR1, lambda *_: calls.cancel())

    def send() -> None:
        # Again: an interpreter may miss a signal that comes in the moment before it begins to wait for a lock.
        while not wait(futures, 0.01).done:
            os.kill(os.getpid(), signal.SIGUSR1)

    futures = calls.futures
    sender = threading.Thread(target=send)
    try:
        sender.start()
        with pytest.raises(CancelledError):
            calls.results(timeout=LIMIT)
        sender.join()
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_a_finalizer_may_cancel() -> None:
    calls, _ = started()

    class Finalized:
        def __del__(self) -> None:
            chain: FutureCollection[Any] = calls
            chain.cancel()

    Finalized()
    free_garbage()
    with pytest.raises(CancelledError):
        calls.results(timeout=LIMIT)
