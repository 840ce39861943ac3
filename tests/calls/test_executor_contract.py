"""What the documentation of ``concurrent.futures`` promises, by the same tests on its executor and on ours."""

from __future__ import annotations

import concurrent.futures
import itertools
import logging
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import (
    ALL_COMPLETED,
    FIRST_COMPLETED,
    FIRST_EXCEPTION,
    Executor,
    Future,
    ThreadPoolExecutor,
    as_completed,
    wait,
)
from typing import Any, Callable, Iterator

import pytest

from helpers import LIMIT, Uncaught, fail, refuse_new_threads
from parallel import ParallelExecutor, parallel

Submit = Callable[..., "Future[Any]"]

KINDS: dict[str, Callable[[], Executor]] = {
    "ours": ParallelExecutor,
    "ours with a limit": lambda: ParallelExecutor(max_workers=32),
    "standard": lambda: ThreadPoolExecutor(max_workers=32),
}


@pytest.fixture(params=KINDS)
def executor(request: pytest.FixtureRequest) -> Iterator[Executor]:
    """An executor of the standard's or of ours, with a thread for whatever a test submits."""
    executor = KINDS[request.param]()
    yield executor
    executor.shutdown()


@pytest.fixture(params=["standard submit", "submit", "limited submit", "execute_one", "execute", "chain"])
def submit(request: pytest.FixtureRequest) -> Iterator[Submit]:
    """Every way to a future."""
    standard = ThreadPoolExecutor(max_workers=32)
    ours = ParallelExecutor()
    limited = ParallelExecutor(max_workers=32)
    ways: dict[str, Submit] = {
        "standard submit": standard.submit,
        "submit": ours.submit,
        "limited submit": limited.submit,
        "execute_one": ParallelExecutor.execute_one,
        "execute": lambda func, *args: ParallelExecutor.execute(lambda: func(*args))[0],
        "chain": lambda func, *args: parallel(func)(*args).futures[0],
    }
    yield ways[request.param]
    standard.shutdown()
    ours.shutdown()
    limited.shutdown()


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """What calls wait for; open at the end of a test, whatever happened."""
    gate = threading.Event()
    yield gate
    gate.set()


def stopped_at(gate: threading.Event, submit: Submit, outcome: object = None) -> Future[Any]:
    """The future of a call that is inside its function, until the gate opens."""
    inside = threading.Event()

    def call() -> object:
        inside.set()
        assert gate.wait(LIMIT)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    future = submit(call)
    assert inside.wait(LIMIT)
    return future


# Executor.submit: "Schedules the callable, fn, to be executed as fn(*args, **kwargs) and returns a Future object
# representing the execution of the callable."


def test_submit_calls_the_function_with_its_arguments_and_returns_its_future(executor: Executor) -> None:
    future = executor.submit(lambda *args, **kwargs: (args, kwargs), 1, 2, three=3)
    assert isinstance(future, Future)
    assert future.result(LIMIT) == ((1, 2), {"three": 3})


def test_calls_run_on_other_threads(executor: Executor) -> None:
    assert executor.submit(threading.get_ident).result(LIMIT) != threading.get_ident()


# Executor.map: "Similar to map(fn, *iterables) except: the iterables are collected immediately rather than lazily; fn
# is executed asynchronously and several calls to fn may be made concurrently."


def test_map_gives_results_in_order_and_ends_with_the_shortest_iterable(executor: Executor) -> None:
    assert list(executor.map(pow, [2, 3, 4], itertools.repeat(2, 3))) == [4, 9, 16]
    assert list(executor.map(pow, [2, 3, 4], [1, 2])) == [2, 9]
    assert list(executor.map(pow, [], [])) == []


def test_map_collects_the_iterables_and_starts_at_once(executor: Executor) -> None:
    barrier = threading.Barrier(3)
    items = iter([1, 2, 3])

    def call(item: int) -> int:
        barrier.wait(LIMIT)
        return item

    results = executor.map(call, items)
    assert list(items) == []
    assert list(results) == [1, 2, 3]


def test_map_raises_when_the_value_of_the_failed_call_is_retrieved(executor: Executor) -> None:
    results = executor.map(lambda divisor: 6 / divisor, [1, 0, 2])
    assert next(results) == 6
    with pytest.raises(ZeroDivisionError):
        next(results)


@pytest.mark.parametrize("timeout", [0, 0.01])
def test_map_raises_a_timeout_error_when_a_result_is_not_there_in_time(
    executor: Executor, gate: threading.Event, timeout: float
) -> None:
    results = executor.map(lambda wait: wait and gate.wait(LIMIT), [False, True], timeout=timeout)
    with pytest.raises(concurrent.futures.TimeoutError):
        list(results)


def test_map_has_no_time_limit_by_default_and_takes_a_chunksize(executor: Executor) -> None:
    assert list(executor.map(abs, [-1, 2], timeout=None, chunksize=5)) == [1, 2]


@pytest.mark.skipif(sys.version_info < (3, 14), reason="3.14 brought buffersize")
def test_map_with_a_buffer_size_takes_items_as_results_are_asked(executor: Executor) -> None:
    taken = []

    def items() -> Iterator[int]:
        for number in range(5):
            taken.append(number)
            yield number

    results = executor.map(abs, items(), buffersize=2)  # type: ignore[call-arg, unused-ignore]  # As above.
    assert taken == [0, 1]
    assert next(results) == 0
    assert taken == [0, 1, 2]
    assert list(results) == [1, 2, 3, 4]


# Executor.shutdown: "Signal the executor that it should free any resources that it is using when the currently pending
# futures are done executing. Calls to Executor.submit() and Executor.map() made after shutdown will raise
# RuntimeError."


def test_after_shutdown_submit_and_map_raise(executor: Executor) -> None:
    executor.shutdown()
    with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
        executor.submit(int)
    with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
        executor.map(int, [1])


def test_shutdown_can_be_repeated_and_needs_no_calls(executor: Executor) -> None:
    executor.shutdown()
    executor.shutdown(wait=True)
    executor.shutdown(False)


# "If wait is True then this method will not return until all the pending futures are done executing and the resources
# associated with the executor have been freed. If wait is False then this method will return immediately and the
# resources associated with the executor will be freed when all pending futures are done executing."


def test_shutdown_waits_for_calls_and_their_callbacks(executor: Executor, gate: threading.Event) -> None:
    future = stopped_at(gate, executor.submit)
    called = []
    in_callback = threading.Event()
    go_on = threading.Event()

    def callback(_: Future[Any]) -> None:
        in_callback.set()
        assert go_on.wait(LIMIT)
        called.append(True)

    future.add_done_callback(callback)
    thread = threading.Thread(target=executor.shutdown)
    thread.start()
    try:
        gate.set()
        assert in_callback.wait(LIMIT)
        assert future.done()
        thread.join(0.05)
        assert thread.is_alive()
    finally:
        go_on.set()
        thread.join(LIMIT)
    assert not thread.is_alive()
    assert called == [True]


def test_shutdown_without_waiting_returns_at_once_and_calls_go_on(executor: Executor, gate: threading.Event) -> None:
    future = stopped_at(gate, executor.submit, 1)
    executor.shutdown(wait=False)
    assert not future.done()
    gate.set()
    assert future.result(LIMIT) == 1


def test_several_threads_can_wait_for_the_shutdown(executor: Executor, gate: threading.Event) -> None:
    stopped_at(gate, executor.submit)
    threads = [threading.Thread(target=executor.shutdown) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        threads[0].join(0.05)
        assert all(thread.is_alive() for thread in threads)
    finally:
        gate.set()
        for thread in threads:
            thread.join(LIMIT)
    assert not any(thread.is_alive() for thread in threads)


def test_a_call_that_shuts_its_executor_down_and_waits_is_told_that_it_cannot(executor: Executor) -> None:
    with pytest.raises(RuntimeError, match="cannot join|itself|own"):
        executor.submit(executor.shutdown).result(LIMIT)


# "Regardless of the value of wait, the entire Python program will not exit until all pending futures are done
# executing."


@pytest.mark.parametrize("executor_made", ["ParallelExecutor()", "ParallelExecutor(1)", "ThreadPoolExecutor(1)"])
def test_the_program_ends_after_calls_of_an_executor_shut_down_without_waiting(executor_made: str) -> None:
    code = f"""
    import threading, time
    from concurrent.futures import ThreadPoolExecutor
    from parallel import ParallelExecutor
    def call():
        go.wait()
        time.sleep(0.2)
        print("call\\n", end="", flush=True)
    go = threading.Event()
    executor = {executor_made}
    executor.submit(call)
    executor.submit(call)
    executor.shutdown(wait=False)
    print("main program", flush=True)
    go.set()
    """
    program = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(program, capture_output=True, text=True, timeout=LIMIT, check=True)
    assert done.stdout.splitlines() == ["main program", "call", "call"]
    assert done.stderr == ""


# "If cancel_futures is True, this method will cancel all pending futures that the executor has not started running.
# Any futures that are completed or running won't be cancelled, regardless of the value of cancel_futures."


@pytest.mark.skipif(sys.version_info < (3, 9), reason="3.9 brought cancel_futures")
def test_shutdown_cancels_no_future_that_is_completed_or_running(executor: Executor, gate: threading.Event) -> None:
    completed = executor.submit(int)
    assert completed.result(LIMIT) == 0
    running = stopped_at(gate, executor.submit, 1)
    executor.shutdown(wait=False, cancel_futures=True)
    gate.set()
    assert running.result(LIMIT) == 1
    assert not completed.cancelled()


# "If both cancel_futures and wait are True, all futures that the executor has started running will be completed prior
# to this method returning. The remaining futures are cancelled."


@pytest.mark.skipif(sys.version_info < (3, 9), reason="3.9 brought cancel_futures")
def test_shutdown_that_cancels_waits_for_running_calls_all_the_same(executor: Executor, gate: threading.Event) -> None:
    running = stopped_at(gate, executor.submit, 1)
    thread = threading.Thread(target=executor.shutdown, kwargs={"wait": True, "cancel_futures": True})
    thread.start()
    try:
        thread.join(0.05)
        assert thread.is_alive()
    finally:
        gate.set()
        thread.join(LIMIT)
    assert not thread.is_alive()
    assert running.done()
    assert running.result() == 1


# "You can avoid having to call this method explicitly if you use the with statement, which will shutdown the Executor
# (waiting as if Executor.shutdown() were called with wait set to True)"


def test_with_gives_the_executor_and_waits_at_the_end(executor: Executor, gate: threading.Event) -> None:
    with executor as entered:
        assert entered is executor
        future = stopped_at(gate, executor.submit)
        timer = threading.Timer(0.02, gate.set)
        timer.start()
    assert future.done()
    timer.join(LIMIT)
    with pytest.raises(RuntimeError, match="shutdown"):
        executor.submit(int)


def test_with_lets_the_exception_of_its_body_pass(executor: Executor) -> None:
    with pytest.raises(ZeroDivisionError):
        with executor:
            fail(ZeroDivisionError())


# Future.cancel: "Attempt to cancel the call. If the call is currently being executed or finished running and cannot be
# cancelled then the method will return False."


def test_a_running_or_finished_call_cannot_be_cancelled(submit: Submit, gate: threading.Event) -> None:
    future = stopped_at(gate, submit, 1)
    assert not future.cancel()
    assert future.running()
    assert not future.done()
    assert not future.cancelled()
    gate.set()
    assert future.result(LIMIT) == 1
    assert not future.cancel()
    assert not future.running()
    assert future.done()
    assert not future.cancelled()


# Future.result: "If the call hasn't yet completed then this method will wait up to timeout seconds. If the call hasn't
# completed in timeout seconds, then a TimeoutError will be raised. If the call raised an exception, this method will
# raise the same exception." Future.exception: "Return the exception raised by the call. ... If the call completed
# without raising, None is returned."


@pytest.mark.parametrize("timeout", [0, 0.01, -1])
def test_asking_a_future_in_vain_raises_a_timeout_error(submit: Submit, gate: threading.Event, timeout: float) -> None:
    future = stopped_at(gate, submit)
    with pytest.raises(concurrent.futures.TimeoutError):
        future.result(timeout)
    with pytest.raises(concurrent.futures.TimeoutError):
        future.exception(timeout)


def test_asking_a_future_waits_for_the_call(submit: Submit, gate: threading.Event) -> None:
    future = stopped_at(gate, submit, "outcome")
    timer = threading.Timer(0.02, gate.set)
    timer.start()
    assert future.result() == "outcome"
    assert future.exception() is None
    timer.join(LIMIT)


@pytest.mark.parametrize("error", [ValueError("it"), SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
def test_a_future_raises_the_very_exception_of_the_call(submit: Submit, error: BaseException) -> None:
    future = submit(fail, error)
    assert future.exception(LIMIT) is error
    with pytest.raises(type(error)) as caught:
        future.result(LIMIT)
    assert caught.value is error


# Future.add_done_callback: "Attaches the callable fn to the future. fn will be called, with the future as its only
# argument, when the future is cancelled or finishes running. Added callables are called in the order that they were
# added and are always called in a thread belonging to the process that added them."


def test_callbacks_are_called_in_order_with_the_future(submit: Submit, gate: threading.Event) -> None:
    future = stopped_at(gate, submit)
    called: list[tuple[int, Future[Any]]] = []
    last = threading.Event()
    for number in range(5):
        future.add_done_callback(lambda future, number=number: called.append((number, future)))  # type: ignore[misc]  # Bound early.
    future.add_done_callback(lambda _: last.set())
    assert called == []
    gate.set()
    assert last.wait(LIMIT)
    assert called == [(number, future) for number in range(5)]


# "If the callable raises an Exception subclass, it will be logged and ignored."


def test_an_exception_of_a_callback_is_logged_and_ignored(
    submit: Submit, gate: threading.Event, caplog: pytest.LogCaptureFixture, uncaught: list[Uncaught]
) -> None:
    future = stopped_at(gate, submit, 1)
    last = threading.Event()
    future.add_done_callback(lambda _: fail(ValueError("from the callback")))
    future.add_done_callback(lambda _: last.set())
    with caplog.at_level(logging.ERROR, "concurrent.futures"):
        gate.set()
        assert last.wait(LIMIT)
    assert future.result(LIMIT) == 1
    assert "from the callback" in caplog.text
    assert uncaught == []


# "If the future has already completed or been cancelled, fn will be called immediately."


def test_a_callback_added_to_a_completed_future_is_called_at_once(submit: Submit) -> None:
    future = submit(int)
    assert future.result(LIMIT) == 0
    idents = []
    future.add_done_callback(lambda _: idents.append(threading.get_ident()))
    assert idents == [threading.get_ident()]


# wait: "Wait for the Future instances (possibly created by different Executor instances) given by fs to complete.
# Duplicate futures given to fs are removed and will be returned only once. Returns a named 2-tuple of sets."


def test_wait_counts_none_twice_that_ends_while_it_begins(submit: Submit) -> None:
    for _ in range(30):
        futures = [submit(int) for _ in range(100)]
        assert wait(futures, LIMIT).done == set(futures)


def test_wait_returns_completed_and_uncompleted_futures_once_each(submit: Submit, gate: threading.Event) -> None:
    completed, running = submit(int), stopped_at(gate, submit)
    assert completed.result(LIMIT) == 0
    outcome = wait([completed, running, completed], timeout=0)
    assert outcome.done == {completed}
    assert outcome.not_done == {running}
    gate.set()
    assert wait([completed, running], LIMIT) == ({completed, running}, set())


def test_wait_takes_futures_of_different_executors() -> None:
    with ThreadPoolExecutor() as standard, ParallelExecutor() as ours:
        futures = {standard.submit(int), ours.submit(int), ParallelExecutor.execute_one(int)}
        assert wait(futures, LIMIT).done == futures
        assert set(as_completed(futures, LIMIT)) == futures


# FIRST_COMPLETED: "The function will return when any future finishes or is cancelled." FIRST_EXCEPTION: "The function
# will return when any future finishes by raising an exception. If no future raises an exception then it is equivalent
# to ALL_COMPLETED." ALL_COMPLETED: "The function will return when all futures finish or are cancelled."


def test_wait_returns_when_it_was_asked_to(submit: Submit, gate: threading.Event) -> None:
    running = stopped_at(gate, submit)
    finishing = submit(int)
    assert wait([running, finishing], LIMIT, FIRST_COMPLETED) == ({finishing}, {running})
    failing = submit(fail, ValueError())
    assert wait([running, finishing, failing], LIMIT, FIRST_EXCEPTION).not_done == {running}
    assert wait([running, finishing], 0.01, FIRST_EXCEPTION).not_done == {running}
    assert wait([running, failing], 0.01, ALL_COMPLETED).not_done == {running}
    gate.set()
    assert wait([running, finishing], LIMIT, FIRST_EXCEPTION).not_done == set()
    assert wait([running, failing], LIMIT, ALL_COMPLETED).not_done == set()


# as_completed: "Returns an iterator over the Future instances given by fs that yields futures as they complete. Any
# futures given by fs that are duplicated will be returned once. Any futures that completed before as_completed() is
# called will be yielded first. The returned iterator raises a TimeoutError if __next__() is called and the result isn't
# available after timeout seconds from the original call to as_completed()."


def test_as_completed_yields_futures_as_they_complete(submit: Submit) -> None:
    gates = [threading.Event() for _ in range(3)]
    try:
        futures = [stopped_at(gate, submit) for gate in gates]
        completed = submit(int)
        assert completed.result(LIMIT) == 0
        order = as_completed([*futures, completed, *futures], LIMIT)
        assert next(order) is completed
        for number in (1, 2, 0):
            gates[number].set()
            assert next(order) is futures[number]
        assert list(order) == []
    finally:
        for gate in gates:
            gate.set()


def test_as_completed_raises_a_timeout_error_when_none_completes_in_time(submit: Submit, gate: threading.Event) -> None:
    completed, running = submit(int), stopped_at(gate, submit)
    assert completed.result(LIMIT) == 0
    order = as_completed([running, completed], 0.01)
    assert next(order) is completed
    with pytest.raises(concurrent.futures.TimeoutError):
        next(order)


# What only ours promises.


def test_nothing_ever_queues() -> None:
    barrier = threading.Barrier(200)
    with ParallelExecutor() as executor:
        futures = [executor.submit(barrier.wait, LIMIT) for _ in range(200)]
        assert sorted(future.result(LIMIT) for future in futures) == list(range(200))


def test_calls_that_submit_and_wait_end_at_any_depth() -> None:
    with ParallelExecutor() as executor:

        def depth(levels: int) -> int:
            return 0 if levels == 0 else 1 + executor.submit(depth, levels - 1).result(LIMIT)

        assert executor.submit(depth, 50).result(LIMIT) == 50


def test_a_future_is_running_from_the_start_so_nothing_is_cancelled(gate: threading.Event) -> None:
    with ParallelExecutor() as executor:
        futures = [executor.submit(gate.wait, LIMIT) for _ in range(20)]
        assert all(future.running() for future in futures)
        assert not any(future.cancel() for future in futures)
        executor.shutdown(wait=False, cancel_futures=True)
        gate.set()
        assert all(future.result(LIMIT) for future in futures)


def test_parameters_of_any_name_reach_the_function() -> None:
    names = {"fn": 1, "self": 2, "func": 3, "cls": 4, "args": 5, "kwargs": 6, "timeout": 7, "executor": 8, "wait": 9}
    with ParallelExecutor() as executor:
        assert executor.submit(lambda **kwargs: kwargs, **names).result(LIMIT) == names
    assert ParallelExecutor.execute_one(lambda **kwargs: kwargs, **names).result(LIMIT) == names


def test_one_executors_shutdown_leaves_others_and_the_class_alone(gate: threading.Event) -> None:
    with ParallelExecutor() as other:
        running = stopped_at(gate, other.submit, 1)
        ParallelExecutor().shutdown()
        executor = ParallelExecutor()
        executor.submit(int)
        executor.shutdown()  # Waits for no call of others.
        assert not running.done()
        assert other.submit(int).result(LIMIT) == 0
        assert ParallelExecutor.execute_one(int).result(LIMIT) == 0
        assert parallel(int)().results(timeout=LIMIT) == (0,)
        gate.set()


def test_submit_from_other_threads_while_shutting_down_either_runs_or_raises() -> None:
    for _ in range(50):
        executor = ParallelExecutor()
        futures: list[Future[int]] = []
        refused = threading.Event()

        def submit_until_refused(
            executor: ParallelExecutor = executor,
            futures: list[Future[int]] = futures,
            refused: threading.Event = refused,
        ) -> None:
            while not refused.is_set():
                try:
                    futures.append(executor.submit(int))
                except RuntimeError:
                    refused.set()

        thread = threading.Thread(target=submit_until_refused)
        thread.start()
        try:
            executor.shutdown()
            assert refused.wait(LIMIT)
        finally:
            refused.set()
            thread.join(LIMIT)
        executor.shutdown()
        assert all(future.done() for future in futures)


def test_a_call_that_cannot_start_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    executor = ParallelExecutor()
    with monkeypatch.context() as patch:
        refuse_new_threads(patch)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            executor.submit(int)
    thread = threading.Thread(target=executor.shutdown, daemon=True)
    thread.start()
    thread.join(LIMIT)
    assert not thread.is_alive()
