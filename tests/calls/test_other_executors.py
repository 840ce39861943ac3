"""Chains on executors of other makers: ``executor=``."""

from __future__ import annotations

import asyncio
import concurrent.futures
import inspect
import math
import multiprocessing
import operator
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import CancelledError, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from pickle import PicklingError
from typing import Any, Callable, Iterator

import pytest

from helpers import LIMIT, ExceptionGroup, Gate, Uncaught, fail, free_garbage, wait_until
from parallel import FutureCollection, ParallelExecutor, ReturnWhen, parallel, parallel_map

needs_cancel_futures = pytest.mark.skipif(sys.version_info < (3, 9), reason="cancel_futures= came with 3.9")


def where() -> str:
    """Tells on whose thread it runs."""
    return threading.current_thread().name.partition("_")[0]


# Which executor


def test_all_calls_of_a_chain_run_on_the_executor_of_its_first() -> None:
    with ThreadPoolExecutor(1, "one") as one, ParallelExecutor() as own:
        calls = parallel(where, executor=one)().parallel(where)().parallel(where)()
        assert calls.results(timeout=LIMIT) == ("one", "one", "one")
        for executor in (own, None):
            assert parallel(where, executor=executor)().parallel(where)().results(timeout=LIMIT) == ("where", "where")


@pytest.mark.parametrize("executor", [None, ParallelExecutor(), 7, ThreadPoolExecutor])
def test_executor_for_a_later_call_is_refused_and_changes_nothing(executor: Any) -> None:
    calls: Any = parallel(where)()
    with pytest.raises(TypeError, match=r"parallel\(func, executor=...\)"):
        calls.parallel(where, executor=executor)
    with pytest.raises(TypeError, match="timeout"):
        calls.parallel(where, timeout=1)
    assert calls.parallel(where)().results(timeout=LIMIT) == ("where", "where")
    assert "executor" not in inspect.signature(calls.parallel).parameters


def test_a_map_runs_on_the_executor_and_so_does_what_is_chained_onto_it() -> None:
    with ThreadPoolExecutor(2, "one") as one:
        mapped = parallel_map(lambda _: where(), range(3), executor=one)
        assert mapped.parallel(where)().results(timeout=LIMIT) == ("one",) * 4
        assert parallel_map(str, [], executor=one).parallel(where)().results(timeout=LIMIT) == ("one",)


def test_arguments_of_any_name_reach_the_function() -> None:
    def function(*args: object, **kwargs: object) -> tuple[object, object]:
        return args, kwargs

    names = ["self", "fn", "func", "timeout", "executor", "args", "kwargs", "chain"]
    keywords: dict[str, Any] = {name: name for name in names}
    with ThreadPoolExecutor(1) as pool:
        calls = parallel(function, executor=pool)(1, **keywords).parallel(function)(2, **keywords)
        assert calls.results(timeout=LIMIT) == (((1,), keywords), ((2,), keywords))


# Executors that refuse calls


class Refusing(ThreadPoolExecutor):
    """Takes so many calls and no more."""

    def __init__(self, calls: int) -> None:
        super().__init__(1)
        self.left = calls
        self.taken: list[Future[Any]] = []

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        if not self.left:
            raise RuntimeError("no more")
        self.left -= 1
        self.taken.append(super().submit(fn, *args, **kwargs))
        return self.taken[-1]


def test_a_call_that_the_executor_refuses_leaves_the_chain_usable() -> None:
    with Refusing(1) as refusing:
        calls = parallel(str, executor=refusing)(1)
        with pytest.raises(RuntimeError, match="no more"):
            calls.parallel(str)(2)
        assert calls.results(timeout=LIMIT) == ("1",)
        refusing.left = 1
        assert calls.parallel(str)(3).results(timeout=LIMIT) == ("1", "3")
        with pytest.raises(RuntimeError, match="no more"):
            parallel(str, executor=refusing)(4)


def test_a_map_of_which_the_executor_refuses_a_call_takes_back_the_others() -> None:
    with Gate() as gate, Refusing(4) as refusing:
        first = parallel(gate.call, executor=refusing)()
        with pytest.raises(RuntimeError, match="no more"):
            parallel_map(str, range(10), executor=refusing)
        assert [future.cancelled() for future in refusing.taken] == [False, True, True, True]
        gate.go.set()
        assert first.results(timeout=LIMIT) == (None,)


def test_errors_of_a_map_that_was_refused_half_way_are_reported(uncaught: list[Uncaught]) -> None:
    class RefusesOnceInside(Refusing):
        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
            assert self.left or gate.inside.wait(LIMIT)
            return super().submit(fn, *args, **kwargs)

    def of_the_map(_: int) -> None:
        gate.call()

    error = OSError()
    with Gate(error) as gate, RefusesOnceInside(1) as refusing:
        with pytest.raises(RuntimeError, match="no more"):
            parallel_map(of_the_map, range(3), executor=refusing)
        free_garbage()
        assert uncaught == []
        gate.go.set()
        wait_until(lambda: uncaught)
    assert uncaught == [Uncaught(error, "of_the_map")]


def test_an_executor_that_was_shut_down_refuses_calls() -> None:
    pool = ThreadPoolExecutor(1)
    calls = parallel(str, executor=pool)(1)
    pool.shutdown()
    with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
        calls.parallel(str)(2)
    assert calls.results() == ("1",)


# Queued calls that are cancelled


@contextmanager
def queued_calls(pool: ThreadPoolExecutor, count: int) -> Iterator[FutureCollection[Any, Any]]:
    """A chain of a call that holds the pool's only thread, and of others that wait for it."""
    with Gate("held") as gate:
        calls: Any = parallel(gate.call, executor=pool)()
        for number in range(count):
            calls = calls.parallel(str)(number)
        assert gate.inside.wait(LIMIT)
        yield calls


def test_cancelled_call_is_raised_when_the_others_have_ended() -> None:
    with ThreadPoolExecutor(1) as pool:
        with queued_calls(pool, 2) as calls:
            assert calls.futures[1].cancel()
            assert repr(calls) == ("<FutureCollection: Gate.call running, str cancelled, str pending>")
            with pytest.raises(TimeoutError):
                calls.results(timeout=0.01)
        with pytest.raises(CancelledError) as caught:
            calls.results(timeout=LIMIT)
        with pytest.raises(CancelledError) as again:
            calls.results(timeout=LIMIT)
        assert again.value is caught.value
        assert calls.futures[2].result() == "1"


def test_cancelled_calls_are_left_out_beside_others_that_failed() -> None:
    with ThreadPoolExecutor(1) as pool:
        with queued_calls(pool, 2) as held:
            assert held.futures[1].cancel()
            assert held.futures[2].cancel()
            calls = held.parallel(fail)(OSError()).parallel(fail)(KeyError())
        with pytest.raises(ExceptionGroup, match="2 of 5 calls failed") as caught:
            calls.results(timeout=LIMIT)
        assert [type(error) for error in caught.value.exceptions] == [OSError, KeyError]


@pytest.fixture
def with_callback(monkeypatch: pytest.MonkeyPatch) -> list[Future[Any]]:
    """The futures that have been given a done-callback."""
    futures: list[Future[Any]] = []
    add_done_callback = Future.add_done_callback

    def add_and_note(future: Future[Any], callback: Callable[[Future[Any]], object]) -> None:
        add_done_callback(future, callback)
        futures.append(future)

    monkeypatch.setattr(Future, "add_done_callback", add_and_note)
    return futures


def waiting_for_first_failure(calls: Any, with_callback: list[Future[Any]]) -> Future[Any]:
    asked = ParallelExecutor.execute_one(calls.results, return_when=ReturnWhen.FIRST_EXCEPTION, timeout=LIMIT)
    wait_until(lambda: calls.futures[-1] in with_callback)
    return asked


def test_first_exception_sees_a_call_being_cancelled(with_callback: list[Future[Any]]) -> None:
    with ThreadPoolExecutor(1) as pool, queued_calls(pool, 2) as calls:
        asked = waiting_for_first_failure(calls, with_callback)
        assert calls.futures[2].cancel()
        assert isinstance(asked.exception(LIMIT), CancelledError)
        assert calls.futures[0].running()


@needs_cancel_futures
def test_a_shutdown_that_cancels_queued_calls_ends_the_wait_for_the_first_failure(
    with_callback: list[Future[Any]],
) -> None:
    pool = ThreadPoolExecutor(1)
    with queued_calls(pool, 2) as calls:
        asked = waiting_for_first_failure(calls, with_callback)
        pool.shutdown(wait=False, cancel_futures=True)
        assert isinstance(asked.exception(LIMIT), CancelledError)
        # Nobody has told the futures themselves, for which concurrent.futures.wait would still be waiting.
        assert not wait(calls.futures[1:], 0.01).done


@needs_cancel_futures
@pytest.mark.parametrize("asked_before", [False, True])
def test_a_shutdown_that_cancels_queued_calls_fails_them(asked_before: bool) -> None:
    pool = ThreadPoolExecutor(1)
    with queued_calls(pool, 2) as calls:
        if asked_before:
            asked = ParallelExecutor.execute_one(calls.results, timeout=LIMIT)
        pool.shutdown(wait=False, cancel_futures=True)
        with pytest.raises(TimeoutError):
            calls.results(timeout=0.01)
        with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
            calls.parallel(str)(3)
    if not asked_before:
        asked = ParallelExecutor.execute_one(calls.results, timeout=LIMIT)
    assert isinstance(asked.exception(LIMIT), CancelledError)
    pool.shutdown()


@needs_cancel_futures
def test_a_shutdown_that_cancels_queued_calls_ends_an_await() -> None:
    pool = ThreadPoolExecutor(1)

    async def main(calls: Any, gate: Gate) -> None:
        async def ask() -> Any:
            return await calls

        asking = asyncio.ensure_future(ask())
        await asyncio.sleep(0)
        pool.shutdown(wait=False, cancel_futures=True)
        gate.go.set()
        with pytest.raises(CancelledError):
            await asyncio.wait_for(asking, LIMIT)

    with Gate() as gate:
        calls = parallel(gate.call, executor=pool)().parallel(str)(1)
        assert gate.inside.wait(LIMIT)
        asyncio.run(main(calls, gate))
    pool.shutdown()


def test_a_cancelled_call_of_a_dropped_chain_is_not_reported_but_an_error_is(uncaught: list[Uncaught]) -> None:
    error = OSError()
    futures: list[Future[Any]] = []

    class NotesFutures(ThreadPoolExecutor):
        def submit(self, *arguments: Any, **options: Any) -> Future[Any]:
            futures.append(super().submit(*arguments, **options))
            return futures[-1]

    with Gate(error) as gate, NotesFutures(1) as pool:
        calls: Any = parallel(gate.call, executor=pool)().parallel(str)(1)
        assert gate.inside.wait(LIMIT)
        assert futures[1].cancel()  # Those of the chain would count as taken.
        del calls
        free_garbage()
        assert uncaught == []
        gate.go.set()
        wait_until(lambda: uncaught)
    assert uncaught == [Uncaught(error, "Gate.call")]


# What other executors do not promise, and what holds on all of them


class Hold:
    """A call that any executor can run, and that lasts until the block ends: events cannot be sent, names of pipes can.

    Opening a named pipe waits for who opens its other end.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / "pipe"
        os.mkfifo(path)
        self.call = path.read_text
        self._path = path

    def __enter__(self) -> Hold:
        return self

    def __exit__(self, *_: object) -> None:
        wait_until(self._let_go)

    def _let_go(self) -> bool:
        try:
            os.close(os.open(self._path, os.O_WRONLY | os.O_NONBLOCK))
        except OSError:
            return False  # The call has not begun.
        return True


@pytest.fixture
def hold(tmp_path: Path) -> Hold:
    if not hasattr(os, "mkfifo"):
        pytest.skip("this system has no named pipes")
    return Hold(tmp_path)


def process_pool(workers: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))


def interpreter_pool(workers: int) -> Executor:
    pool: Executor = getattr(concurrent.futures, "InterpreterPoolExecutor")(workers)  # noqa: B009  # Not for all checkers.
    return pool


def loky_pool(workers: int) -> Executor:
    pool: Executor = import_module("loky").ProcessPoolExecutor(workers)
    return pool


needs_interpreters = pytest.mark.skipif(sys.version_info < (3, 14), reason="InterpreterPoolExecutor came with 3.14")
needs_loky = pytest.mark.skipif(find_spec("loky") is None, reason="loky is not installed")
POOLS = [
    pytest.param(ThreadPoolExecutor, id="threads"),
    pytest.param(process_pool, id="processes"),
    pytest.param(interpreter_pool, id="interpreters", marks=needs_interpreters),
    pytest.param(loky_pool, id="loky", marks=needs_loky),
]


@pytest.fixture(scope="module", params=POOLS)
def pool(request: pytest.FixtureRequest) -> Iterator[Executor]:
    with request.param(2) as executor:
        # The threads that it uses here are started before any test looks which there are: two calls at once need all of
        # them. A pool of interpreters cannot be told to hold calls until both run, so they sleep for longer and longer,
        # until they did.
        for seconds in [0.05, 0.2, 1.0, 5.0]:
            wait([executor.submit(time.sleep, seconds) for _ in range(2)], LIMIT)
            if not isinstance(executor, ThreadPoolExecutor) or len(executor._threads) == 2:  # noqa: SLF001  # The standard pool tells nobody.
                break
        yield executor


@pytest.fixture
def sending_pool(pool: Executor) -> Executor:
    """A pool that sends calls somewhere else."""
    if type(pool) is ThreadPoolExecutor:
        pytest.skip("threads share everything, so nothing is sent")
    return pool


def test_results_come_in_the_order_of_the_chain(pool: Executor, hold: Hold) -> None:
    with hold:
        calls = parallel(hold.call, executor=pool)().parallel(math.sqrt)(4).parallel(divmod)(7, 2).parallel(str)(1)
        assert not wait(calls.futures[1:], LIMIT).not_done
    nothing, root, (quotient, rest), text = calls.results(timeout=LIMIT)
    assert (nothing, root + 1, quotient + rest, text.upper()) == ("", 3.0, 4, "1")
    mapped = parallel_map(math.factorial, range(10), executor=pool).parallel(operator.add)(1, 2)
    assert mapped.results(timeout=LIMIT) == (*map(math.factorial, range(10)), 3)


def test_failures_are_raised_alone_or_as_a_group(pool: Executor) -> None:
    calls = parallel(operator.truediv, executor=pool)(1, 0).parallel(str)(1)
    lengths = set()
    for _ in range(2):
        with pytest.raises(ZeroDivisionError, match="division by zero") as caught:
            calls.results(timeout=LIMIT)
        lengths.add(len(caught.traceback))
    assert len(lengths) == 1
    with pytest.raises(ExceptionGroup, match="2 of 3 calls failed") as group:
        calls.parallel(int)("x").results(timeout=LIMIT)
    assert [type(error) for error in group.value.exceptions] == [ZeroDivisionError, ValueError]


def test_what_the_executor_says_of_an_errors_origin_is_kept() -> None:
    with process_pool(1) as processes:
        with pytest.raises(ZeroDivisionError) as caught:
            parallel(operator.truediv, executor=processes)(1, 0).results(timeout=LIMIT)
        # The traceback in the other process.
        assert "Traceback (most recent call last)" in str(caught.value.__cause__)
        assert caught.value.__suppress_context__


def test_first_exception_does_not_wait_for_the_rest(pool: Executor, hold: Hold) -> None:
    with hold:
        calls = parallel(hold.call, executor=pool)().parallel(operator.truediv)(1, 0)
        with pytest.raises(ZeroDivisionError):
            calls.results(timeout=LIMIT, return_when=ReturnWhen.FIRST_EXCEPTION)
        assert not calls.futures[0].done()
    wait(calls.futures, LIMIT)


def test_a_time_limit_that_passes_names_the_calls_and_leaves_them_running(pool: Executor, hold: Hold) -> None:
    with hold:
        calls = parallel(str, executor=pool)(1).parallel(hold.call)()
        wait(calls.futures[:1], LIMIT)
        with pytest.raises(TimeoutError, match=r"1 of 2 calls still running after 0.01 seconds: Path\.read_text"):
            calls.results(timeout=0.01)
    assert calls.results(timeout=LIMIT) == ("1", "")


def test_a_chain_can_be_awaited(pool: Executor) -> None:
    async def main() -> None:
        assert await parallel(math.sqrt, executor=pool)(4).parallel(str)(1) == (2.0, "1")
        with pytest.raises(ZeroDivisionError):
            await parallel(operator.truediv, executor=pool)(1, 0)

    asyncio.run(main())


def test_what_cannot_be_sent_gets_the_executors_own_error_through_results(sending_pool: Executor) -> None:
    calls = parallel(str, executor=sending_pool)(1).parallel(id)(threading.Lock()).parallel(str)(2)
    with pytest.raises((TypeError, PicklingError), match="pickle|does not support cross-interpreter data"):
        calls.results(timeout=LIMIT)
    assert [future.result(LIMIT) for future in calls.futures[::2]] == ["1", "2"]
    with pytest.raises((TypeError, PicklingError), match="pickle|does not support cross-interpreter data"):
        parallel(threading.Lock, executor=sending_pool)().results(timeout=LIMIT)
    assert parallel(str, executor=sending_pool)(3).results(timeout=LIMIT) == ("3",)


def test_calls_run_in_other_processes() -> None:
    with process_pool(1) as processes:
        first, second = parallel(os.getpid, executor=processes)().parallel(os.getpid)().results(timeout=LIMIT)
        assert first == second != os.getpid()


def test_a_process_that_ends_breaks_the_chain_from_there_on() -> None:
    with process_pool(1) as processes:
        calls = parallel(str, executor=processes)(1)
        assert calls.results(timeout=LIMIT) == ("1",)
        calls = parallel(os._exit, executor=processes)(1)
        with pytest.raises(BrokenProcessPool):
            calls.results(timeout=LIMIT)
        with pytest.raises(BrokenProcessPool):
            calls.parallel(str)(2)


# Dask


DASK_GATE = """
import threading

go = threading.Event()


def hold():
    assert go.wait(30)
"""
"""A module: Dask sends what is in one by name, so a cluster of threads shares its event."""

DASK_PROGRAM = """
import asyncio
import threading

from distributed import Client, LocalCluster

from gate import go, hold
from parallel import ReturnWhen, parallel, parallel_map


def outcome_of(chain, **options):
    try:
        return chain.results(**options)
    except Exception as error:
        return type(error).__name__


async def wait_for(chain):
    return await chain


def main():
    with LocalCluster(
        processes=False, n_workers=1, threads_per_worker=2, dashboard_address=None, silence_logs=100
    ) as cluster, Client(cluster) as client, client.get_executor(pure=False) as executor:
        print(parallel(divmod, executor=executor)(7, 2).parallel(lambda: "two")().results(timeout=30))
        print(parallel_map(str, range(5), executor=executor).parallel(len)("four").results(timeout=30))
        print(outcome_of(parallel(int, executor=executor)("x").parallel(str)(1), timeout=30))
        print(outcome_of(parallel(int, executor=executor)("x").parallel(lambda: 1 / 0)(), timeout=30))
        held = parallel(hold, executor=executor)().parallel(int)("x")
        print(outcome_of(held, timeout=30, return_when=ReturnWhen.FIRST_EXCEPTION), held.futures[0].done())
        held = parallel(hold, executor=executor)()
        print(outcome_of(held, timeout=0.01))
        go.set()
        print(outcome_of(held, timeout=30))
        go.clear()
        chain = parallel(str, executor=executor)(1)
        try:
            chain.parallel(id)(threading.Lock())
        except TypeError:  # Dask refuses at once what cannot be sent.
            print(chain.results(timeout=30))
        held = parallel(hold, executor=executor)().parallel(hold)().parallel(hold)()
        print(held.futures[2].cancel())
        go.set()
        print(outcome_of(held, timeout=30))
        print(asyncio.run(wait_for(parallel(str, executor=executor)(1))))


if __name__ == "__main__":
    main()
"""


@pytest.mark.skipif(find_spec("distributed") is None, reason="distributed is not installed")
def test_a_chain_runs_on_a_dask_cluster(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(DASK_PROGRAM, encoding="utf-8")
    (tmp_path / "gate.py").write_text(DASK_GATE, encoding="utf-8")
    command = [sys.executable, str(program)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=4 * LIMIT, check=False)
    assert done.stdout.splitlines() == [
        "((3, 1), 'two')",
        "('0', '1', '2', '3', '4', 4)",
        "ValueError",
        "ExceptionGroup",
        "ValueError False",
        "TimeoutError",
        "(None,)",
        "('1',)",
        "True",
        "CancelledError",
        "('1',)",
    ], done.stderr
    assert done.returncode == 0
