"""Errors that nobody took are reported through ``threading.excepthook``, once; those that somebody took are not."""

from __future__ import annotations

import _thread
import asyncio
import gc
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any, Iterator

import pytest

from helpers import LIMIT, PYPY, ExceptionGroup, Uncaught, fail, wait_for_idle_threads, wait_until
from parallel import FutureCollection, ReturnWhen, parallel, parallel_map


class FirstError(Exception):
    pass


class SecondError(Exception):
    pass


def fail_second(error: BaseException) -> None:
    raise error


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """What calls wait for; open at the end of a test, whatever happened."""
    gate = threading.Event()
    yield gate
    gate.set()


def fail_behind(gate: threading.Event, error: BaseException) -> None:
    assert gate.wait(LIMIT)
    raise error


def failed(*errors: BaseException) -> FutureCollection[Any]:
    """A chain of calls that have failed, which nobody has taken anything from."""
    calls: Any = parallel(fail)(errors[0])
    for error in errors[1:]:
        calls = calls.parallel(fail_second)(error)
    wait_until(lambda: repr(calls).count("failed") == len(errors))
    return calls  # type: ignore[no-any-return]  # Its type grew with each call.


def settled(uncaught: list[Uncaught]) -> list[BaseException | None]:
    """What has been reported when everything has ended that could still report."""
    gc.collect()
    wait_for_idle_threads()
    return [report.exc_value for report in uncaught]


# What is reported


def test_a_chain_dropped_after_its_call_failed_is_reported_with_the_name_of_the_call(uncaught: list[Uncaught]) -> None:
    error = FirstError()
    failed(error)
    assert settled(uncaught) == [error]
    assert uncaught[0].thread_name == "fail"


def test_a_chain_dropped_by_a_thread_that_threading_does_not_know_leaves_none_listed(uncaught: list[Uncaught]) -> None:
    # As a finalizer does that runs at the very end of a thread, which has been taken off the list before.
    def drop() -> None:
        dropped.pop()
        gc.collect()
        listed.append(threading.get_ident() in {thread.ident for thread in threading.enumerate()})

    dropped = [failed(FirstError())]
    listed: list[bool] = []
    _thread.start_new_thread(drop, ())
    wait_until(lambda: listed)
    assert listed == [False]
    assert [report.thread_name for report in uncaught] == ["fail"]


def test_a_chain_dropped_before_its_call_fails_is_reported_when_it_does(
    gate: threading.Event, uncaught: list[Uncaught]
) -> None:
    error = FirstError()
    parallel(fail_behind)(gate, error)
    gc.collect()
    assert uncaught == []
    gate.set()
    wait_until(lambda: uncaught)
    assert settled(uncaught) == [error]
    assert uncaught[0].thread_name == "fail_behind"


def test_every_error_of_a_dropped_chain_is_reported_and_no_result_is(uncaught: list[Uncaught]) -> None:
    first, second = FirstError(), SecondError()
    failed(first, second)
    parallel(int)()
    assert settled(uncaught) == [first, second]
    assert [report.thread_name for report in uncaught] == ["fail", "fail_second"]


def test_the_report_has_the_traceback_of_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    functions: list[str] = []

    def note(report: Any) -> None:
        traceback = report.exc_traceback
        assert report.exc_type is FirstError
        while traceback is not None:
            functions.append(traceback.tb_frame.f_code.co_name)
            traceback = traceback.tb_next

    monkeypatch.setattr(threading, "excepthook", note)
    failed(FirstError())
    gc.collect()
    assert functions == ["fail"]


def test_errors_that_first_exception_left_unseen_are_reported(uncaught: list[Uncaught]) -> None:
    first, second = FirstError(), SecondError()
    calls = failed(first, second)
    with pytest.raises(FirstError):
        calls.results(return_when=ReturnWhen.FIRST_EXCEPTION)
    assert settled(uncaught) == []
    del calls
    assert settled(uncaught) == [second]


def test_an_error_that_comes_after_first_exception_is_reported(gate: threading.Event, uncaught: list[Uncaught]) -> None:
    late = SecondError()
    calls = parallel(fail_behind)(gate, late).parallel(fail)(FirstError())
    with pytest.raises(FirstError):
        calls.results(return_when=ReturnWhen.FIRST_EXCEPTION)
    del calls
    gc.collect()
    gate.set()
    wait_until(lambda: uncaught)
    assert settled(uncaught) == [late]


@pytest.mark.parametrize("return_when", [ReturnWhen.ALL_COMPLETED, ReturnWhen.FIRST_EXCEPTION])
def test_an_error_that_comes_after_a_timeout_is_reported(
    gate: threading.Event, uncaught: list[Uncaught], return_when: Any
) -> None:
    late = SecondError()
    calls = parallel(fail_behind)(gate, late)
    with pytest.raises(TimeoutError):
        calls.results(timeout=0.01, return_when=return_when)
    del calls
    gc.collect()
    gate.set()
    wait_until(lambda: uncaught)
    assert settled(uncaught) == [late]


def test_an_error_that_comes_after_failures_went_before_the_timeout_is_reported(
    gate: threading.Event, uncaught: list[Uncaught]
) -> None:
    late = SecondError()
    calls = failed(FirstError()).parallel(fail_behind)(gate, late)
    with pytest.raises(FirstError):
        calls.results(timeout=0)
    del calls
    gc.collect()
    gate.set()
    wait_until(lambda: uncaught)
    assert settled(uncaught) == [late]


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no timer that sends signals")
def test_an_error_that_comes_after_an_interrupt_is_reported(gate: threading.Event, uncaught: list[Uncaught]) -> None:
    late = SecondError()
    calls = parallel(fail_behind)(gate, late)

    def interrupt(*_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        # Again and again, since one that comes right before the wait does not end it.
        signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
        with pytest.raises(KeyboardInterrupt):
            calls.results(timeout=LIMIT)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    del calls
    gc.collect()
    gate.set()
    wait_until(lambda: uncaught)
    assert settled(uncaught) == [late]


def test_a_call_chained_after_the_futures_were_taken_is_reported(uncaught: list[Uncaught]) -> None:
    error = SecondError()
    calls = failed(FirstError())
    assert len(calls.futures) == 1
    new = calls.parallel(fail)(error)
    del calls, new
    gc.collect()
    wait_until(lambda: uncaught)
    assert settled(uncaught) == [error]


def test_a_dropped_map_is_reported(uncaught: list[Uncaught]) -> None:
    errors = [FirstError(), SecondError()]
    parallel_map(fail, errors)
    gc.collect()
    wait_until(lambda: len(uncaught) == 2)
    assert set(settled(uncaught)) == set(errors)


def test_a_chain_on_another_executor_is_reported_with_the_name_of_the_call(uncaught: list[Uncaught]) -> None:
    error = FirstError()
    with ThreadPoolExecutor() as executor:
        parallel(fail, executor=executor)(error)
    gc.collect()
    assert settled(uncaught) == [error]
    assert uncaught[0].thread_name == "fail"


def test_a_chain_in_a_reference_cycle_is_reported_when_it_is_collected(uncaught: list[Uncaught]) -> None:
    error = FirstError()
    cycle: dict[str, object] = {"calls": failed(error)}
    cycle["cycle"] = cycle
    assert uncaught == []
    del cycle
    assert settled(uncaught) == [error]


def test_an_error_that_is_false_is_reported(uncaught: list[Uncaught]) -> None:
    class FalseError(Exception):
        def __bool__(self) -> bool:
            return False

    error = FalseError()
    failed(error)
    reported = settled(uncaught)
    assert len(reported) == 1
    assert reported[0] is error


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
def test_what_is_no_exception_is_reported_as_well(uncaught: list[Uncaught], error: BaseException) -> None:
    failed(error)
    assert settled(uncaught) == [error]


def test_the_error_of_a_broken_hook_is_reported_as_threads_do(
    monkeypatch: pytest.MonkeyPatch, gate: threading.Event
) -> None:
    broken = SecondError()
    last: list[type[BaseException]] = []
    monkeypatch.setattr(threading, "excepthook", lambda _: fail(broken))
    monkeypatch.setattr(sys, "excepthook", lambda kind, *_: last.append(kind))
    failed(FirstError())
    gc.collect()
    parallel(fail_behind)(gate, FirstError())
    gc.collect()
    gate.set()
    wait_until(lambda: len(last) == 2)
    assert last == [SecondError, SecondError]


# What is not reported


@pytest.mark.parametrize("return_when", [ReturnWhen.ALL_COMPLETED, ReturnWhen.FIRST_EXCEPTION])
def test_an_error_that_results_raised_is_not_reported(uncaught: list[Uncaught], return_when: Any) -> None:
    calls = failed(FirstError())
    for _ in range(2):
        with pytest.raises(FirstError):
            calls.results(return_when=return_when)
    del calls
    assert settled(uncaught) == []


def test_errors_that_results_raised_in_a_group_are_not_reported(uncaught: list[Uncaught]) -> None:
    calls = failed(FirstError(), SecondError())
    with pytest.raises(ExceptionGroup):
        calls.results()
    del calls
    assert settled(uncaught) == []


def test_errors_that_results_raised_after_first_exception_are_not_reported(uncaught: list[Uncaught]) -> None:
    calls = failed(FirstError(), SecondError())
    with pytest.raises(FirstError):
        calls.results(return_when=ReturnWhen.FIRST_EXCEPTION)
    with pytest.raises(ExceptionGroup):
        calls.results()
    del calls
    assert settled(uncaught) == []


def test_an_error_that_results_raised_after_a_timeout_is_not_reported(
    gate: threading.Event, uncaught: list[Uncaught]
) -> None:
    calls = parallel(fail_behind)(gate, FirstError())
    with pytest.raises(TimeoutError):
        calls.results(timeout=0)
    gate.set()
    with pytest.raises(FirstError):
        calls.results(timeout=LIMIT)
    del calls
    assert settled(uncaught) == []


def test_errors_of_a_chain_whose_futures_were_taken_are_not_reported(
    gate: threading.Event, uncaught: list[Uncaught]
) -> None:
    calls = parallel(fail)(FirstError()).parallel(fail_behind)(gate, SecondError())
    futures = calls.futures
    del calls
    gc.collect()
    gate.set()
    assert wait(futures, LIMIT).not_done == set()
    del futures
    assert settled(uncaught) == []


def test_an_error_that_await_raised_is_not_reported(uncaught: list[Uncaught]) -> None:
    async def main() -> None:
        with pytest.raises(FirstError):
            await parallel(fail)(FirstError())

    asyncio.run(main())
    assert settled(uncaught) == []


def test_a_consumed_chain_leaves_its_errors_to_the_new_one(uncaught: list[Uncaught]) -> None:
    error = FirstError()
    old = failed(error)
    new = old.parallel(int)()
    del old
    assert settled(uncaught) == []
    del new
    assert settled(uncaught) == [error]


@pytest.mark.skipif(sys.version_info < (3, 9), reason="3.9 brought cancel_futures")
def test_a_cancelled_call_is_not_reported(gate: threading.Event, uncaught: list[Uncaught]) -> None:
    with ThreadPoolExecutor(max_workers=1) as executor:
        executor.submit(gate.wait, LIMIT)
        parallel(fail, executor=executor)(FirstError())
        gc.collect()
        executor.shutdown(wait=False, cancel_futures=True)
        gate.set()
    assert settled(uncaught) == []


def test_a_chain_of_results_that_is_dropped_reports_nothing(uncaught: list[Uncaught]) -> None:
    parallel(int)().parallel(int)()
    assert settled(uncaught) == []


def test_a_call_that_raises_what_its_user_set_first_is_reported_once(
    gate: threading.Event, uncaught: list[Uncaught]
) -> None:
    error = FirstError()
    (future,) = parallel(fail_behind)(gate, error).futures
    future.set_result(None)
    gate.set()
    wait_until(lambda: uncaught)
    assert settled(uncaught) == [error]


# By processes of their own: what is printed


def run(code: str) -> subprocess.CompletedProcess[str]:
    prelude = (
        "import threading, time\nfrom parallel import parallel\n"
        "def fail(kind=ZeroDivisionError):\n    raise kind('it went wrong')\n"
    )
    return subprocess.run(
        [sys.executable, "-c", prelude + code], capture_output=True, text=True, timeout=LIMIT, check=False
    )


AT_EXIT = {
    "a chain that is dropped": "parallel(fail)()",
    "a chain that lives to the end": "calls = parallel(fail)()",
    "a chain in a cycle": "cycle = [parallel(fail)()]; cycle.append(cycle); del cycle",
    "a chain whose call fails after the main thread ended": (
        # On Python 3.12.0 to 3.12.2 the main thread itself waits for the call.
        "def fail_late():\n    threading.main_thread().join(2)\n    fail()\ncalls = parallel(fail_late)()"
    ),
    "a chain that a thread of the user's holds": (
        "def hold():\n    calls = parallel(fail)()\n    threading.main_thread().join()\n"
        "threading.Thread(target=hold).start()"
    ),
}


@pytest.mark.skipif(PYPY, reason="PyPy runs no finalizers at exit")
@pytest.mark.parametrize("code", AT_EXIT.values(), ids=AT_EXIT.keys())
def test_an_error_is_printed_once_and_the_exit_code_is_the_programs(code: str) -> None:
    done = run(code)
    assert done.stderr.count("ZeroDivisionError: it went wrong") == 1
    assert done.stderr.count("Exception in thread fail") == 1
    assert done.stderr.count("Traceback") == 1
    assert done.returncode == 0


QUIET = {
    "SystemExit, as in threads": "parallel(fail)(SystemExit)",
    "raised by results": "try: parallel(fail)().results()\nexcept ZeroDivisionError: pass",
    "futures taken": "futures = parallel(fail)().futures",
}


@pytest.mark.parametrize("code", QUIET.values(), ids=QUIET.keys())
def test_nothing_is_printed(code: str) -> None:
    done = run(code)
    assert done.stderr == ""
    assert done.returncode == 0


def test_an_error_that_results_raised_to_the_top_is_printed_once() -> None:
    done = run("parallel(fail)().results()")
    assert done.stderr.count("ZeroDivisionError: it went wrong") == 1
    assert "Exception in thread" not in done.stderr
    assert done.returncode == 1
