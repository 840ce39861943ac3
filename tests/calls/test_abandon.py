"""Abandoned chains: nobody waits for their calls, nor for calls that these make. See also test_cancellation.py."""

from __future__ import annotations

import sys
import threading
import time
import weakref
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, wait
from threading import Event
from typing import Any

import pytest

from children import PRELUDE, run, starts_threads_at_exit
from helpers import LIMIT, Uncaught, free_garbage, futures_of, wait_until
from parallel import Cancellation, ParallelExecutor, cancellation, parallel, parallel_map

STUCK = """
from parallel import cancellation
def hang(inside=None, seconds=60):
    if inside:
        inside.set()
    time.sleep(seconds)
class Hanging:
    def __init__(self, inside):
        self.inside = inside
    def __enter__(self):
        hang(self.inside)
    def __exit__(self, *_):
        pass
"""


def at_once(code: str) -> list[str]:
    """Runs a program that has calls which take a minute; it must end long before."""
    begun = time.monotonic()
    printed = run(code, prelude=PRELUDE + STUCK)
    assert time.monotonic() < begun + LIMIT
    return printed


# The end of the program


def test_the_program_ends_at_once() -> None:
    assert at_once("""
        inside = threading.Event()
        calls = parallel(hang)(inside).parallel(hang)()
        assert inside.wait(15)
        calls.abandon()
        say(calls)
        atexit.register(say, "end")
        """) == ["<FutureCollection: hang abandoned, hang abandoned>", "end"]


@starts_threads_at_exit
def test_the_program_ends_at_once_when_a_call_is_abandoned_at_its_end() -> None:
    # By another call, for which the end of the program waits.
    assert at_once("""
        inside = threading.Event()
        calls = parallel(hang)(inside)
        def let_go():
            threading.main_thread().join()
            say("main thread has ended")
            calls.abandon()
        letting_go = parallel(let_go)()
        assert inside.wait(15)
        """) == ["main thread has ended"]


def test_the_program_does_not_wait_for_calls_that_abandoned_ones_made_before() -> None:
    assert (
        at_once("""
        inside = [threading.Event() for _ in range(4)]
        def outer():
            futures = [
                ParallelExecutor.execute_one(hang, inside[0]),
                *parallel_map(hang, inside[1:3]).futures,
                ParallelExecutor().submit(parallel(hang), inside[3]),
            ]
            for future in futures:
                future.result()
        calls = parallel(outer)()
        assert all(each.wait(15) for each in inside)
        calls.abandon()
        """)
        == []
    )


def test_the_program_does_not_wait_for_calls_that_abandoned_ones_make_later() -> None:
    assert (
        at_once("""
        inside = threading.Event()
        def outer():
            assert cancellation().wait(15)
            parallel(parallel(hang))(inside).results()
            hang()
        calls = parallel(outer)()
        calls.abandon()
        assert inside.wait(15)
        """)
        == []
    )


def test_the_program_does_not_wait_for_calls_whose_abandoned_caller_has_ended() -> None:
    assert at_once("""
        inside = threading.Event()
        futures = []
        def outer():
            assert cancellation().wait(15)
            futures.append(ParallelExecutor.execute_one(hang, inside))
        calls = parallel(outer)()
        calls.abandon()
        calls.results()
        assert inside.wait(15)
        say(futures[0].running())
        """) == ["True"]


@pytest.mark.parametrize("when", ["before", "after"])
def test_the_program_does_not_wait_for_a_block_that_hangs_in_an_abandoned_call(when: str) -> None:
    assert (
        at_once(f"""
        inside, go_on = threading.Event(), threading.Event()
        def outer():
            assert go_on.wait(15)
            with parallel(Hanging(inside)).parallel(threading.Lock()):
                pass
        calls = parallel(outer)()
        if "{when}" == "after":
            go_on.set()
            assert inside.wait(15)
        calls.abandon()
        go_on.set()
        assert inside.wait(15)
        """)
        == []
    )


@pytest.mark.skipif(
    sys.version_info < (3, 12), reason="CPython can crash at its end where daemon threads start others (seen on 3.10)"
)
def test_an_abandoned_call_that_makes_calls_all_the_time_does_not_hold_the_end_up() -> None:
    assert (
        at_once("""
        made = threading.Barrier(9)
        def outer():
            made.wait(15)
            while True:
                parallel(int)()
        calls = parallel_map(lambda _: outer(), range(8))
        calls.abandon()
        made.wait(15)
        """)
        == []
    )


@starts_threads_at_exit
def test_the_program_waits_for_calls_chained_to_an_abandoned_chain_later() -> None:
    assert at_once("""
        inside = threading.Event()
        calls = parallel(hang)(inside)
        calls.abandon()
        def last():
            threading.main_thread().join()
            say("ended")
        calls = calls.parallel(last)()
        assert inside.wait(15)
        """) == ["ended"]


ASKING = {
    "chain": "chain = parallel(call)(); chain.cancel()",
    "future": "future = ParallelExecutor.execute_one(call); future.cancel()",
    "parent": "parent = parallel(lambda: parallel(call)().results())(); parent.cancel()",
    "task": """
async def main():
    import asyncio
    task = asyncio.ensure_future(wait_for(parallel(call)()))
    await asyncio.sleep(0)
    task.cancel()
async def wait_for(chain):
    return await chain
import asyncio
asyncio.run(main())
""",
    "time limit": """
chain = parallel(call)()
try:
    chain.results(timeout=0)
except TimeoutError:
    pass
""",
    "shutdown": "executor = ParallelExecutor(); executor.submit(call); executor.shutdown(wait=False)",
}


@starts_threads_at_exit
@pytest.mark.parametrize("asking", ASKING)
def test_the_end_of_the_program_waits_for_a_call_that_was_asked(asking: str) -> None:
    code = """
def call():
    threading.main_thread().join()
    say(cancellation().is_set())
"""
    is_asked = asking not in ("time limit", "shutdown")
    assert run(code + ASKING[asking], prelude=PRELUDE + STUCK) == [str(is_asked)]


# shutdown()


def test_shutdown_does_not_wait_for_abandoned_calls() -> None:
    go_on, inside = Event(), Event()

    def held() -> str:
        inside.set()
        assert go_on.wait(LIMIT)
        return "late"

    executor = ParallelExecutor()
    other = executor.submit(len, "four")
    calls = parallel(held, executor=executor)()
    assert inside.wait(LIMIT)
    calls.abandon()
    executor.shutdown(wait=True)
    assert calls.futures[0].running()
    assert other.result(0) == 4
    go_on.set()
    assert calls.results(timeout=LIMIT) == ("late",)


def test_shutdown_that_waits_already_ends_when_the_call_is_abandoned() -> None:
    go_on, inside, waits = Event(), Event(), Event()

    def held() -> None:
        inside.set()
        assert go_on.wait(LIMIT)

    executor = ParallelExecutor()
    calls = parallel(held, executor=executor)()
    assert inside.wait(LIMIT)

    def shut_down() -> None:
        waits.set()
        executor.shutdown(wait=True)

    thread = threading.Thread(target=shut_down)
    thread.start()
    assert waits.wait(LIMIT)
    thread.join(0.05)
    assert thread.is_alive()
    calls.abandon()
    thread.join(LIMIT)
    assert not thread.is_alive()
    go_on.set()
    calls.results(timeout=LIMIT)


def test_shutdown_does_not_wait_for_calls_that_abandoned_ones_submit() -> None:
    go_on, submitted = Event(), Event()
    executor = ParallelExecutor()
    futures: list[Future[Any]] = []

    def outer() -> None:
        futures.append(executor.submit(go_on.wait, LIMIT))
        submitted.set()
        assert go_on.wait(LIMIT)

    calls = parallel(outer)()
    assert submitted.wait(LIMIT)
    calls.abandon()
    executor.shutdown(wait=True)
    assert futures[0].running()
    go_on.set()
    assert futures[0].result(LIMIT)


# What an abandoned chain still does


def test_abandoned_calls_are_asked() -> None:
    its: list[Cancellation] = []
    order: list[int] = []
    inside = [Event(), Event()]

    def call(number: int) -> None:
        its.append(cancellation())
        with cancellation().callback(order.append, number):
            inside[number].set()
            assert cancellation().wait(LIMIT)

    calls = parallel(call)(0).parallel(call)(1)
    assert all(each.wait(LIMIT) for each in inside)
    calls.abandon()
    assert order == [1, 0]
    assert all(it.is_set() for it in its)
    calls.abandon()
    calls.cancel()
    calls.results(timeout=LIMIT)


def test_abandoned_chain_gives_its_results_later() -> None:
    go_on = Event()
    error = ValueError()

    def fail() -> None:
        assert go_on.wait(LIMIT)
        raise error

    calls = parallel(go_on.wait)(LIMIT).parallel(fail)()
    calls.abandon()
    assert repr(calls).startswith("<FutureCollection: Event.wait abandoned, ")
    assert repr(calls).endswith("fail abandoned>")
    with pytest.raises(TimeoutError, match="2 of 2 calls still running"):
        calls.results(timeout=0)
    go_on.set()
    with pytest.raises(ValueError) as caught:
        calls.results(timeout=LIMIT)
    assert caught.value is error
    assert calls.futures[0].result() is True
    assert "Event.wait finished" in repr(calls)


def test_abandoning_after_cancelling_abandons_too() -> None:
    go_on = Event()
    executor = ParallelExecutor()
    calls = parallel(go_on.wait, executor=executor)(LIMIT)
    calls.cancel()
    calls.abandon()
    executor.shutdown(wait=True)
    assert repr(calls) == "<FutureCollection: Event.wait abandoned>"
    go_on.set()
    calls.results(timeout=LIMIT)


def test_cancelling_after_abandoning_does_not_undo_it() -> None:
    go_on = Event()
    executor = ParallelExecutor()
    calls = parallel(go_on.wait, executor=executor)(LIMIT)
    calls.abandon()
    calls.cancel()
    executor.shutdown(wait=True)
    assert repr(calls) == "<FutureCollection: Event.wait abandoned>"
    go_on.set()
    calls.results(timeout=LIMIT)


def test_abandoning_calls_that_have_ended_changes_nothing() -> None:
    calls = parallel(len)("four")
    calls.results(timeout=LIMIT)
    calls.abandon()
    assert repr(calls) == "<FutureCollection: len finished>"
    assert calls.results() == (4,)
    later = calls.parallel(len)("three")
    with pytest.raises(RuntimeError, match="consumed"):
        calls.abandon()
    assert later.results(timeout=LIMIT) == (4, 5)


def test_abandoning_on_another_executor_cancels() -> None:
    go_on = Event()
    with ThreadPoolExecutor(1) as pool:
        calls = parallel(go_on.wait, executor=pool)(LIMIT).parallel(len)("four")
        wait_until(calls.futures[0].running)
        calls.abandon()
        assert repr(calls) == "<FutureCollection: Event.wait running, len cancelled>"
        go_on.set()
        with pytest.raises(CancelledError):
            calls.results(timeout=LIMIT)


# threading.excepthook


def failing(go_on: Event) -> Any:
    def fail() -> None:
        assert go_on.wait(LIMIT)
        raise ValueError

    return fail


def test_errors_of_abandoned_calls_are_not_reported() -> None:
    go_on = Event()
    early = parallel(failing(go_on))()
    early.abandon()
    future = futures_of(early)[0]
    go_on.set()
    wait([future])
    weak = weakref.ref(early)
    del early  # Dropped when it has failed.
    free_garbage()
    assert weak() is None
    go_on = Event()
    late = parallel(failing(go_on))().parallel(failing(go_on))()
    futures = futures_of(late)
    late.abandon()
    del late  # Dropped before.
    go_on.set()
    wait(futures)
    with ThreadPoolExecutor(1) as pool:
        parallel(failing(go_on), executor=pool)().abandon()


def test_errors_of_calls_that_abandoned_ones_made_are_not_reported() -> None:
    go_on, inside = Event(), Event()
    futures: list[Future[Any]] = []

    def outer() -> None:
        chain = parallel(failing(go_on))()
        futures.append(futures_of(chain)[0])
        del chain  # Dropped before it fails.
        inside.set()
        assert go_on.wait(LIMIT)
        chain = parallel(failing(go_on))()
        wait([futures_of(chain)[0]])
        del chain  # Dropped when it has failed.

    calls = parallel(outer)()
    assert inside.wait(LIMIT)
    calls.abandon()
    go_on.set()
    calls.results(timeout=LIMIT)
    wait(futures)


def test_errors_of_calls_that_were_not_abandoned_are_reported(uncaught: list[Uncaught]) -> None:
    go_on = Event()
    calls: Any = parallel(failing(go_on))()
    calls.abandon()
    calls = calls.parallel(failing(go_on))()
    futures = futures_of(calls)
    del calls
    go_on.set()
    wait(futures)
    wait_until(lambda: uncaught)
    assert len(uncaught) == 1


def test_an_error_is_not_reported_after_the_user_set_the_abandoned_future() -> None:
    go_on = Event()
    calls = parallel(failing(go_on))()
    future: Any = futures_of(calls)[0]
    calls.abandon()
    future.set_result(None)
    go_on.set()
    ParallelExecutor().shutdown()
    assert calls.results(timeout=LIMIT) == (None,)


def test_abandoned_maps_end_like_chains() -> None:
    go_on = Event()
    executor = ParallelExecutor()
    calls = parallel_map(lambda _: go_on.wait(LIMIT), range(20), executor=executor)
    calls.abandon()
    executor.shutdown(wait=True)
    go_on.set()
    assert calls.results(timeout=LIMIT) == (True,) * 20


def test_nothing_of_an_abandoned_call_is_kept_when_it_has_ended() -> None:
    go_on = Event()
    calls = parallel(go_on.wait)(LIMIT)
    weak = weakref.ref(futures_of(calls)[0])
    calls.abandon()
    del calls
    go_on.set()
    wait_until(lambda: weak() is None)
