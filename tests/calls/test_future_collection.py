from __future__ import annotations

import contextvars
import inspect
import pydoc
import threading
import time
import traceback
from concurrent.futures import Future, wait
from functools import partial
from typing import Any, Callable

import pytest

from helpers import LIMIT, BaseExceptionGroup, ExceptionGroup, Gate, fail, refuse_new_threads, wait_until
from parallel import FutureCollection, ParallelExecutor, ReturnWhen, parallel

# Starting calls


def test_results_come_in_the_order_of_the_chain_however_the_calls_end() -> None:
    second_has_ended = threading.Event()

    def first() -> int:
        assert second_has_ended.wait(LIMIT)
        return 1

    def second() -> str:
        second_has_ended.set()
        return "two"

    assert parallel(first)().parallel(second)().results() == (1, "two")


def test_a_call_starts_before_results_are_asked() -> None:
    with Gate("done") as gate:
        calls = parallel(gate.call)()
        assert gate.inside.wait(LIMIT)
        gate.go.set()
        assert calls.results() == ("done",)


def test_calls_that_wait_for_each_other_end() -> None:
    barrier = threading.Barrier(3)
    meet = partial(barrier.wait, LIMIT)
    assert sorted(parallel(meet)().parallel(meet)().parallel(meet)().results()) == [0, 1, 2]


def test_calls_nested_to_any_depth_end() -> None:
    def descend(depth: int) -> int:
        return 0 if depth == 0 else 1 + parallel(descend)(depth - 1).results()[0]

    assert parallel(descend)(50).results(timeout=LIMIT) == (50,)


def test_a_thousand_calls_are_inside_their_functions_at_once() -> None:
    barrier = threading.Barrier(1000)
    futures = [ParallelExecutor.execute_one(barrier.wait, LIMIT) for _ in range(1000)]
    done, not_done = wait(futures, LIMIT)
    assert not not_done
    assert {future.result() for future in done} == set(range(1000))


def test_the_callback_of_a_running_call_blocks_its_thread_and_no_other() -> None:
    with Gate() as call, Gate() as callback:
        future = ParallelExecutor.execute_one(call.call)
        future.add_done_callback(lambda _: callback.call())
        call.go.set()
        assert callback.inside.wait(LIMIT)
        assert [parallel(str)(n).results(timeout=LIMIT) for n in range(10)] == [(str(n),) for n in range(10)]


def test_arguments_of_any_name_reach_the_function() -> None:
    def function(*args: object, **kwargs: object) -> tuple[tuple[object, ...], dict[str, object]]:
        return args, kwargs

    names = ["self", "func", "timeout", "executor", "chain", "target", "args", "kwargs", "fn", "context_manager", "cls"]
    keywords: dict[str, Any] = {name: name for name in names}
    expected = ((1, 2), keywords)
    assert parallel(function)(1, 2, **keywords).parallel(function)(1, 2, **keywords).results() == (expected, expected)
    assert ParallelExecutor.execute_one(function, 1, 2, **keywords).result() == expected
    with ParallelExecutor() as executor:
        assert executor.submit(function, 1, 2, **keywords).result() == expected


def test_a_call_sees_the_context_of_its_start_and_keeps_its_changes() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")

    def read_and_set() -> str:
        before = variable.get("unset")
        variable.set("the call's")
        return before

    start = parallel(read_and_set)
    variable.set("the caller's")
    calls = start()
    variable.set("later")
    assert calls.parallel(read_and_set)().results() == ("the caller's", "later")
    assert variable.get() == "later"


def test_an_error_does_not_start_a_new_chain_nor_lose_the_old(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = parallel(str)(1)
    with monkeypatch.context() as patch:
        refuse_new_threads(patch)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            calls.parallel(str)(2)
    assert calls.parallel(str)(3).results() == ("1", "3")


# The prepared call


def documented(number: int, *, text: str = "x") -> str:
    """Joins the two."""
    return text * number


@pytest.mark.parametrize("prepare", [parallel, lambda func: parallel(str)(1).parallel(func), FutureCollection.create])
def test_the_prepared_call_looks_like_the_function(prepare: Callable[[Any], Any]) -> None:
    prepared = prepare(documented)
    assert inspect.signature(prepared) == inspect.signature(documented)
    assert prepared.__name__ == "documented"
    assert prepared.__qualname__ == "documented"
    assert prepared.__module__ == documented.__module__
    assert prepared.__doc__ == "Joins the two."
    assert inspect.unwrap(prepared) is documented
    page = pydoc.render_doc(prepared, renderer=pydoc.plaintext)  # type: ignore[attr-defined]  # Undocumented, but there.
    assert "documented(number" in page
    assert "Joins the two." in page


@pytest.mark.parametrize("function", [len, partial(documented, 2), str.upper, "x".join, type("Class", (), {})])
def test_any_callable_can_be_prepared(function: Callable[..., Any]) -> None:
    try:
        expected = inspect.signature(function)
    except ValueError:
        return
    assert inspect.signature(parallel(function)) == expected


def test_a_prepared_call_can_be_called_again() -> None:
    start = parallel(str)
    assert start(1).results() + start(2).results() == ("1", "2")


# The chain is consumed


def test_a_consumed_chain_raises_from_everything_and_says_what_to_use() -> None:
    old = parallel(str)(1)
    prepared = old.parallel(str)
    new = old.parallel(documented)(2)
    uses: list[Callable[[], object]] = [
        old.results,
        lambda: old.futures,
        lambda: old.parallel(str),
        lambda: prepared(3),
    ]
    for use in uses:
        with pytest.raises(RuntimeError, match=r"consumed by \.parallel\(documented\).*use the FutureCollection which"):
            use()
    assert new.results() == ("1", "xx")
    assert repr(old) == "<FutureCollection: consumed by .parallel(documented)(...)>"


def test_preparing_consumes_nothing() -> None:
    calls = parallel(str)(1)
    calls.parallel(str)
    assert calls.results() == ("1",)


def test_only_one_of_many_threads_can_consume_a_chain() -> None:
    calls = parallel(str)(0)
    barrier = threading.Barrier(20)

    def chain(number: int) -> FutureCollection[Any, Any] | None:
        barrier.wait(LIMIT)
        try:
            return calls.parallel(str)(number)
        except RuntimeError:
            return None

    futures = [ParallelExecutor.execute_one(chain, number) for number in range(20)]
    winners = [chain for chain in (future.result(LIMIT) for future in futures) if chain is not None]
    assert len(winners) == 1
    assert len(winners[0].results()) == 2


def test_a_chain_can_grow_in_a_loop() -> None:
    calls: Any = parallel(str)(0)
    for number in range(1, 500):
        calls = calls.parallel(str)(number)
    assert calls.results() == tuple(map(str, range(500)))


# results()


def test_one_failure_is_raised_itself_with_its_traceback() -> None:
    error = OSError("broken")
    with pytest.raises(OSError, match="broken") as caught:
        parallel(fail)(error).parallel(str)(1).results()
    assert caught.value is error
    frames = traceback.extract_tb(error.__traceback__)
    assert frames[-1].name == "fail"
    assert [frame for frame in frames if frame.filename.endswith("parallel_executor.py")] == []


@pytest.mark.parametrize("first_to_fail", [0, 2])
def test_several_failures_are_raised_as_a_group_in_the_order_of_the_chain(first_to_fail: int) -> None:
    with Gate(ValueError(1)) as first, Gate(KeyError(2)) as second:
        calls: Any = parallel(first.call)().parallel(str)(1).parallel(second.call)()
        (second if first_to_fail else first).go.set()
        wait_until(lambda: calls.futures[first_to_fail].done())
        first.go.set()
        second.go.set()
        with pytest.raises(ExceptionGroup, match="2 of 3 calls failed") as caught:
            calls.results()
        assert caught.value.exceptions == (first.outcome, second.outcome)


def test_a_group_with_an_interrupt_is_a_base_exception_group() -> None:
    first, second = ValueError(1), KeyboardInterrupt()
    with pytest.raises(BaseExceptionGroup) as caught:
        parallel(fail)(first).parallel(fail)(second).results()
    assert not isinstance(caught.value, ExceptionGroup)
    assert caught.value.exceptions == (first, second)


def test_all_completed_waits_for_calls_beside_a_failed_one() -> None:
    with Gate() as gate:
        calls = parallel(fail)(ValueError()).parallel(gate.call)()
        with pytest.raises(ValueError, match="^$"):
            calls.results(timeout=0.01)
        gate.go.set()
        with pytest.raises(ValueError, match="^$"):
            calls.results()
        assert all(future.done() for future in calls.futures)


def test_first_exception_does_not_wait_for_the_rest() -> None:
    with Gate() as gate:
        error = ValueError()
        calls = parallel(gate.call)().parallel(fail)(error)
        with pytest.raises(ValueError, match="^$") as caught:
            calls.results(return_when=ReturnWhen.FIRST_EXCEPTION, timeout=LIMIT)
        assert caught.value is error
        assert not calls.futures[0].done()


def test_first_exception_waits_for_a_failure_that_is_still_to_come() -> None:
    with Gate(ValueError()) as failing, Gate() as running:
        calls = parallel(running.call)().parallel(failing.call)()
        asked = ParallelExecutor.execute_one(lambda: calls.results(return_when=ReturnWhen.FIRST_EXCEPTION))
        assert failing.inside.wait(LIMIT)
        failing.go.set()
        assert isinstance(asked.exception(LIMIT), ValueError)


def test_first_exception_returns_when_all_have_returned() -> None:
    calls = parallel(str)(1).parallel(str)(2)
    assert calls.results(return_when=ReturnWhen.FIRST_EXCEPTION) == ("1", "2")
    assert calls.results(return_when=ReturnWhen.FIRST_EXCEPTION) == ("1", "2")


def test_first_exception_raises_what_is_no_exception_first() -> None:
    first, second = ValueError(), SystemExit()
    calls = parallel(fail)(first).parallel(fail)(second)
    wait(calls.futures)
    with pytest.raises(SystemExit):
        calls.results(return_when=ReturnWhen.FIRST_EXCEPTION)


def test_first_exception_gives_the_same_answer_when_more_have_failed() -> None:
    with Gate(SystemExit()) as gate:
        error = ValueError()
        calls = parallel(gate.call)().parallel(fail)(error)
        for _ in range(2):
            with pytest.raises(ValueError, match="^$") as caught:
                calls.results(return_when=ReturnWhen.FIRST_EXCEPTION)
            assert caught.value is error
            gate.go.set()
            wait(calls.futures)


def test_first_exception_with_a_time_limit_can_be_asked_again() -> None:
    with Gate(ValueError()) as gate:
        calls = parallel(gate.call)()
        for _ in range(2):
            with pytest.raises(TimeoutError, match="1 of 1 calls still running after 0.01 seconds: Gate.call"):
                calls.results(timeout=0.01, return_when=ReturnWhen.FIRST_EXCEPTION)
        gate.go.set()
        with pytest.raises(ValueError, match="^$"):
            calls.results(return_when=ReturnWhen.FIRST_EXCEPTION)


def test_a_time_limit_that_passes_names_the_calls_and_leaves_them_running() -> None:
    with Gate("late") as gate:
        calls = parallel(str)(1).parallel(gate.call)().parallel(gate.call)()
        with pytest.raises(TimeoutError, match=r"2 of 3 calls still running after 0.01 seconds: Gate.call, Gate.call"):
            calls.results(timeout=0.01)
        with pytest.raises(TimeoutError):
            calls.results(timeout=-1)
        gate.go.set()
        assert calls.results(timeout=LIMIT) == ("1", "late", "late")


def test_failures_go_before_the_time_limit_which_is_their_context() -> None:
    with Gate() as gate:
        error = ValueError("failed before")
        calls = parallel(gate.call)().parallel(fail)(error)
        wait_until(lambda: calls.futures[1].done())
        with pytest.raises(ValueError, match="failed before") as caught:
            calls.results(timeout=0.01)
        assert caught.value is error
        assert isinstance(error.__context__, TimeoutError)


def test_a_time_limit_may_be_infinite() -> None:
    assert parallel(str)(1).results(timeout=float("inf")) == ("1",)


def raise_with_context() -> None:
    try:
        raise KeyError("own context")
    except KeyError:
        raise OSError("broken") from None


@pytest.mark.parametrize("return_when", [ReturnWhen.ALL_COMPLETED, ReturnWhen.FIRST_EXCEPTION])
def test_in_an_except_block_the_error_keeps_its_context_and_the_blocks_error_ends_it(return_when: Any) -> None:
    outer = LookupError("handled")
    try:
        raise outer
    except LookupError:
        with pytest.raises(OSError, match="broken") as caught:
            parallel(raise_with_context)().results(return_when=return_when)
    context = caught.value.__context__
    assert isinstance(context, KeyError)
    assert context.__context__ is outer
    assert caught.value.__suppress_context__
    assert outer.__context__ is None


def test_results_gives_the_same_answer_again() -> None:
    error = ValueError()
    calls = parallel(fail)(error)
    lengths = set()
    for _ in range(3):
        with pytest.raises(ValueError, match="^$") as caught:
            calls.results()
        assert caught.value is error
        lengths.add(len(traceback.extract_tb(error.__traceback__)))
    assert len(lengths) == 1
    bad = parallel(fail)(error).parallel(str)(1).parallel(fail)(KeyError())
    answers = []
    for _ in range(3):
        with pytest.raises(ExceptionGroup) as group:
            bad.results()
        answers.append((group.value.message, group.value.exceptions))
    assert answers[0] == answers[1] == answers[2]
    good = parallel(str)(1)
    assert good.results() == good.results() == ("1",)


@pytest.mark.parametrize("value", ["FIRST_EXCEPTION", ReturnWhen.FIRST_EXCEPTION, "ALL_COMPLETED"])
def test_return_when_may_be_given_as_the_constant_of_concurrent_futures(value: Any) -> None:
    assert parallel(str)(1).results(return_when=value) == ("1",)


def test_first_completed_says_what_to_use() -> None:
    with pytest.raises(ValueError, match=r"concurrent\.futures\.wait\(calls\.futures"):
        parallel(str)(1).results(return_when=ReturnWhen.FIRST_COMPLETED)  # type: ignore[arg-type]  # The point.


def test_the_futures_are_the_standards() -> None:
    calls = parallel(str)(1).parallel(str)(2)
    assert all(isinstance(future, Future) for future in calls.futures)
    assert [future.result(LIMIT) for future in calls.futures] == ["1", "2"]
    with pytest.raises(AttributeError):
        calls.futures = ()  # type: ignore[assignment]  # The point.


def test_a_started_call_cannot_be_cancelled() -> None:
    with Gate() as gate:
        (future,) = parallel(gate.call)().futures
        assert future.running()
        assert not future.cancel()


def test_waiting_threads_do_not_poll() -> None:
    with Gate() as gate:
        calls = parallel(gate.call)()
        used = time.process_time()
        with pytest.raises(TimeoutError):
            calls.results(timeout=0.2)
        assert time.process_time() - used < 0.1
