"""Nothing is kept alive: by reference counting alone, with the collector switched off."""

from __future__ import annotations

import contextvars
import gc
import platform
import sysconfig
import threading
import weakref
from concurrent.futures import wait
from typing import Any, Iterator

import pytest

from helpers import (
    LIMIT,
    BaseExceptionGroup,
    ExceptionGroup,
    Uncaught,
    give_own_threads,
    join_idle_threads,
    refuse_new_threads,
    set_idle_seconds,
    wait_for_idle_threads,
    wait_until,
    wake_idle_threads,
)
from parallel import ParallelExecutor, ReturnWhen, parallel, parallel_contexts, parallel_map

pytestmark = pytest.mark.skipif(
    platform.python_implementation() != "CPython",
    reason="only CPython counts references; others free everything in their own time",
)

FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))


@pytest.fixture(autouse=True)
def no_collector() -> Iterator[None]:
    """Leaves everything to reference counts."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.fixture(autouse=True)
def _threads_that_stay(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Has nothing freed by the end of an idle thread: the test's own are new, and outlive it."""
    give_own_threads(monkeypatch)
    set_idle_seconds(monkeypatch, 100 * LIMIT)
    yield
    join_idle_threads()


class Thing:
    """What can be watched being freed."""


class FailureError(Exception):
    """An exception that holds something."""

    def __init__(self, thing: object = None) -> None:
        super().__init__("it failed")
        self.thing = thing


class Watch:
    """Tells when objects have been freed: other threads may be the last to let go."""

    def __init__(self) -> None:
        self._references: list[weakref.ref[Any]] = []

    def __call__(self, thing: Any) -> Any:
        self._references.append(weakref.ref(thing))
        return thing

    def all_are_freed(self) -> bool:
        if FREE_THREADED:
            # What another thread was the last to let go of is freed by the one that made it, when that wakes up.
            wake_idle_threads()
        # No callbacks: free-threaded builds miss one when the last to let go is another thread.
        return all(reference() is None for reference in self._references)

    def wait(self) -> None:
        """Waits until everything watched has been freed; there must be something."""
        assert self._references
        try:
            wait_until(self.all_are_freed)
        except AssertionError:
            held = [thing for thing in (reference() for reference in self._references) if thing is not None]
            pytest.fail("".join(f"{thing} is held by {gc.get_referrers(thing)}\n" for thing in held))


@pytest.fixture
def watch() -> Watch:
    return Watch()


# Calls


def test_arguments_are_freed_when_the_call_has_returned(watch: Watch) -> None:
    future = ParallelExecutor.execute_one(lambda *args, **kwargs: None, watch(Thing()), keyword=watch(Thing()))
    watch.wait()
    assert future.result(LIMIT) is None


def test_arguments_are_freed_before_done_callbacks_run(watch: Watch) -> None:
    go = threading.Event()
    future = ParallelExecutor.execute_one(lambda thing: go.wait(LIMIT), watch(Thing()))
    go_on = threading.Event()
    future.add_done_callback(lambda _: go_on.wait(LIMIT))
    try:
        go.set()
        # Waits on this thread, which made the thing: on free-threaded builds it must be awake to let go of it.
        watch.wait()
    finally:
        go_on.set()


def test_the_function_is_freed_when_the_call_has_returned(watch: Watch) -> None:
    def function() -> int:
        return 1

    future = ParallelExecutor.execute_one(watch(function))
    del function
    watch.wait()
    assert future.result(LIMIT) == 1


def test_a_prepared_call_is_freed_with_its_function(watch: Watch) -> None:
    calls = parallel(watch(lambda: 1))()
    watch.wait()
    assert calls.results() == (1,)


def test_results_are_freed_with_the_last_who_holds_them(watch: Watch) -> None:
    def make() -> Thing:
        return watch(Thing())  # type: ignore[no-any-return]  # It gives back what it was given.

    results = parallel(make)().parallel(make)().results()
    del results
    watch.wait()


def test_the_result_of_a_dropped_future_is_freed(watch: Watch) -> None:
    go = threading.Event()

    def make() -> Thing:
        assert go.wait(LIMIT)
        return watch(Thing())  # type: ignore[no-any-return]  # As above.

    ParallelExecutor.execute_one(make)
    done = ParallelExecutor.execute_one(go.set)
    assert done.result(LIMIT) is None
    wait_for_idle_threads()
    watch.wait()


def test_a_dropped_chain_is_freed_while_its_calls_run(watch: Watch) -> None:
    go = threading.Event()
    try:
        calls = parallel(go.wait)(LIMIT)
        watch(calls)
        del calls
        watch.wait()
    finally:
        go.set()


def test_a_consumed_chain_keeps_nothing(watch: Watch) -> None:
    old = parallel(lambda: watch(Thing()))()
    new = old.parallel(int)()
    new.results()
    del new
    watch.wait()
    with pytest.raises(RuntimeError, match="consumed"):
        old.results()


# Failures


def fail(thing: object = None, kind: type[BaseException] = FailureError) -> None:
    raise kind(thing)


def attach(thing: object, error: BaseException | None) -> None:
    """Has ``error`` hold ``thing``: builtin exceptions cannot be watched themselves."""
    error.thing = thing  # type: ignore[union-attr]  # Exceptions take attributes.


WAYS_TO_WAIT = pytest.mark.parametrize("return_when", [ReturnWhen.ALL_COMPLETED, ReturnWhen.FIRST_EXCEPTION])


@WAYS_TO_WAIT
def test_an_exception_is_freed_when_it_has_been_handled(watch: Watch, return_when: Any) -> None:
    calls = parallel(fail)(watch(Thing())).parallel(int)()
    try:
        calls.results(return_when=return_when)
    except FailureError as error:
        watch(error)
    del calls
    watch.wait()


@WAYS_TO_WAIT
def test_an_exception_of_a_chain_that_is_never_named_is_freed(watch: Watch, return_when: Any) -> None:
    def ask() -> None:
        parallel(fail)(watch(Thing())).parallel(int)().results(return_when=return_when)

    with pytest.raises(FailureError):
        ask()
    watch.wait()


def test_an_exception_that_is_raised_twice_is_freed(watch: Watch) -> None:
    calls = parallel(fail)(watch(Thing()))
    for _ in range(2):
        with pytest.raises(FailureError):
            calls.results()
    watch(calls)
    del calls
    watch.wait()


def test_an_exception_raised_in_an_except_block_is_freed(watch: Watch) -> None:
    calls = parallel(fail)(watch(Thing()))
    try:
        try:
            raise watch(FailureError(watch(Thing())))
        except FailureError:
            calls.results()
    except FailureError as error:
        watch(error)
    del calls
    watch.wait()


@pytest.mark.parametrize("kind", [FailureError, KeyboardInterrupt])
def test_a_group_is_freed_with_its_exceptions(watch: Watch, kind: type[BaseException]) -> None:
    calls = parallel(fail)(watch(Thing())).parallel(fail)(watch(Thing()), kind)
    try:
        calls.results()
    except BaseExceptionGroup as group:
        attach(watch(Thing()), group)
    del calls
    watch.wait()


def test_a_group_taken_apart_is_freed(watch: Watch) -> None:
    calls = parallel(fail)(watch(Thing())).parallel(fail)(watch(Thing()))
    try:
        calls.results()
    except ExceptionGroup as group:
        first, second = group.split(lambda error: True)
        assert second is None
        del first, second
    del calls
    watch.wait()


@WAYS_TO_WAIT
def test_a_timeout_is_freed(watch: Watch, return_when: Any) -> None:
    go = threading.Event()
    try:
        calls = parallel(go.wait)(LIMIT)
        try:
            calls.results(timeout=0.01, return_when=return_when)
        except TimeoutError as error:
            attach(watch(Thing()), error)
        watch(calls)
        del calls
        watch.wait()
    finally:
        go.set()


def test_failures_that_go_before_a_timeout_are_freed_with_it(watch: Watch) -> None:
    go = threading.Event()
    try:
        # In this order: the thread that has made the error must not be the one that waits, which could not free it on
        # free-threaded builds.
        calls = parallel(go.wait)(LIMIT).parallel(fail)(watch(Thing()))
        assert wait(calls.futures[1:], LIMIT).done
        try:
            calls.results(timeout=0)
        except FailureError as error:
            attach(watch(Thing()), error.__context__)
        del calls
        watch.wait()
    finally:
        go.set()


def test_the_exception_of_a_future_is_freed_when_it_has_been_handled(watch: Watch) -> None:
    future = ParallelExecutor.execute_one(fail, watch(Thing()))
    error = watch(future.exception(LIMIT))
    assert isinstance(error, FailureError)
    del future, error
    watch.wait()


def test_an_error_that_nobody_took_is_freed_when_it_has_been_reported(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    reported = threading.Event()
    monkeypatch.setattr(threading, "excepthook", lambda arguments: reported.set())
    parallel(fail)(watch(Thing()))
    assert reported.wait(LIMIT)
    watch.wait()


def test_the_error_of_a_callback_is_freed_when_it_has_been_reported(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    reported = threading.Event()
    monkeypatch.setattr(threading, "excepthook", lambda arguments: reported.set())
    go = threading.Event()
    future = ParallelExecutor.execute_one(go.wait, LIMIT)

    def callback(_: object) -> None:
        raise KeyboardInterrupt(watch(Thing()))

    future.add_done_callback(callback)
    go.set()
    assert reported.wait(LIMIT)
    del future, callback
    watch.wait()


def test_a_map_keeps_nothing(watch: Watch) -> None:
    calls = parallel_map(lambda thing: watch(Thing()), [watch(Thing()) for _ in range(3)])
    results = calls.results()
    assert len(results) == 3
    del calls, results
    watch.wait()


def test_a_failed_map_keeps_nothing(watch: Watch) -> None:
    calls = parallel_map(fail, [watch(Thing()) for _ in range(3)])
    with pytest.raises(ExceptionGroup):
        calls.results()
    del calls
    watch.wait()


def test_an_executor_keeps_nothing_of_its_calls(watch: Watch) -> None:
    with ParallelExecutor() as executor:
        executor.submit(lambda thing: watch(Thing()), watch(Thing()))
        with pytest.raises(FailureError):
            executor.submit(fail, watch(Thing())).result(LIMIT)
        wait_for_idle_threads()
        watch.wait()
    watch(executor)
    del executor
    watch.wait()


def test_an_executor_that_is_dropped_without_shutdown_is_freed(watch: Watch) -> None:
    executor = ParallelExecutor()
    executor.submit(int).result(LIMIT)
    watch(executor)
    del executor
    watch.wait()


# Context managers


class Manager:
    """A manager that can fail, and holds nothing of its block."""

    def __init__(self, value: object = None, *, enter: object = None, leave: object = None) -> None:
        self.value = value
        self.enter = enter
        self.leave = leave

    def __enter__(self) -> object:
        if isinstance(self.enter, threading.Event):
            assert self.enter.wait(LIMIT)
        elif self.enter is not None:
            raise FailureError(self.enter)
        return self.value

    def __exit__(self, *_: object) -> None:
        if self.leave is not None:
            raise FailureError(self.leave)


@pytest.mark.parametrize("parallel_exit", [False, True])
def test_managers_and_values_are_freed_when_the_block_is_left(watch: Watch, parallel_exit: bool) -> None:
    with parallel(watch(Manager(watch(Thing()))), parallel_exit=parallel_exit).parallel(watch(Manager())) as values:
        assert len(values) == 2
        del values
    watch.wait()


def test_a_value_can_be_freed_inside_the_block(watch: Watch) -> None:
    class MakesValue:
        def __enter__(self) -> Thing:
            return watch(Thing())  # type: ignore[no-any-return]  # As above.

        def __exit__(self, *_: object) -> None:
            pass

    with parallel(MakesValue()).parallel(MakesValue()) as values:
        del values
        if not FREE_THREADED:  # There, the thread that made it lets go of it, when it wakes up.
            watch.wait()
    watch.wait()


@pytest.mark.parametrize("parallel_exit", [False, True])
def test_the_exception_of_a_body_is_freed(watch: Watch, parallel_exit: bool) -> None:
    try:
        with parallel(watch(Manager()), parallel_exit=parallel_exit).parallel(watch(Manager())):
            fail(watch(Thing()))
    except FailureError as error:
        watch(error)
    watch.wait()


@pytest.mark.parametrize("parallel_exit", [False, True])
def test_the_exceptions_of_exits_are_freed(watch: Watch, parallel_exit: bool) -> None:
    try:
        with parallel(Manager(leave=watch(Thing())), parallel_exit=parallel_exit).parallel(
            Manager(leave=watch(Thing()))
        ):
            fail(watch(Thing()))
    except (FailureError, ExceptionGroup) as error:
        attach(watch(Thing()), error)
    watch.wait()


@pytest.mark.parametrize("parallel_exit", [False, True])
def test_suppressed_exceptions_are_freed(watch: Watch, parallel_exit: bool) -> None:
    class Suppresses(Manager):
        def __exit__(self, *_: object) -> bool:  # type: ignore[override]  # It may.
            return True

    with parallel(watch(Suppresses()), parallel_exit=parallel_exit).parallel(Manager()):
        fail(watch(Thing()))
    watch.wait()


@pytest.mark.parametrize("parallel_exit", [False, True])
def test_failed_enters_are_freed(watch: Watch, parallel_exit: bool) -> None:
    chain = parallel(watch(Manager(watch(Thing()))), parallel_exit=parallel_exit)
    try:
        with chain.parallel(Manager(enter=watch(Thing()))):
            pass
    except FailureError as error:
        watch(error)
    chain = parallel(watch(Manager(watch(Thing()))), parallel_exit=parallel_exit)
    try:
        with chain.parallel(Manager(enter=watch(Thing()))).parallel(Manager(enter=watch(Thing()))):
            pass
    except ExceptionGroup as error:
        attach(watch(Thing()), error)
    del chain
    watch.wait()


def test_a_timeout_of_enters_is_freed_with_everything_entered_in_time(watch: Watch) -> None:
    go = threading.Event()
    try:
        try:
            with parallel(watch(Manager(watch(Thing()))), timeout=0.05).parallel(watch(Manager(enter=go))):
                pass
        except TimeoutError as error:
            attach(watch(Thing()), error)
        # The straggler is exited with the timeout.
        go.set()
        watch.wait()
    finally:
        go.set()


def test_a_block_that_is_never_left_is_freed_with_its_collection(watch: Watch) -> None:
    chain = parallel(watch(Manager(watch(Thing())))).parallel(watch(Manager()))
    chain.__enter__()
    watch(chain)
    del chain
    watch.wait()


def test_many_managers_keep_nothing(watch: Watch) -> None:
    with parallel_contexts(watch(Manager(watch(Thing()))) for _ in range(10)) as values:
        del values
    watch.wait()


# Context variables and threads


def test_idle_threads_hold_no_context(watch: Watch) -> None:
    variable: contextvars.ContextVar[object] = contextvars.ContextVar("variable")

    def call_with_variable_set() -> None:
        variable.set(watch(Thing()))
        barrier = threading.Barrier(10)
        # So many at once that new threads have to be started in this context.
        parallel_map(lambda _: barrier.wait(LIMIT), range(10)).results()
        with parallel(Manager()).parallel(Manager()):
            pass

    contextvars.Context().run(call_with_variable_set)
    wait_for_idle_threads()
    watch.wait()


def test_what_a_call_sets_is_freed_with_its_context(watch: Watch) -> None:
    variable: contextvars.ContextVar[object] = contextvars.ContextVar("variable")
    local = threading.local()

    def set_both() -> None:
        variable.set(watch(Thing()))
        local.thing = Thing()

    parallel(set_both)().results()
    watch.wait()


def test_idle_threads_hold_nothing_of_their_last_call(watch: Watch) -> None:
    barrier = threading.Barrier(20)

    def call(thing: Thing) -> Thing:
        barrier.wait(LIMIT)
        return watch(Thing())  # type: ignore[no-any-return]  # As above.

    futures = [ParallelExecutor.execute_one(call, watch(Thing())) for _ in range(20)]
    for future in futures:
        future.result(LIMIT)
    del futures, future, call
    watch.wait()


def test_a_callback_is_freed_when_it_has_been_called(watch: Watch) -> None:
    go = threading.Event()
    called = threading.Event()
    future = ParallelExecutor.execute_one(go.wait, LIMIT)

    def callback(_: object) -> None:
        called.set()

    future.add_done_callback(watch(callback))
    go.set()
    assert called.wait(LIMIT)
    del future, callback
    watch.wait()


def test_what_could_not_be_started_is_freed(
    watch: Watch, monkeypatch: pytest.MonkeyPatch, uncaught: list[Uncaught]
) -> None:
    calls = parallel(int)()
    refuse_new_threads(monkeypatch)
    with pytest.raises(RuntimeError):
        ParallelExecutor.execute_one(int, watch(Thing()))
    with pytest.raises(RuntimeError):
        calls.parallel(fail)(watch(Thing()))
    with pytest.raises(RuntimeError):
        parallel_map(fail, [watch(Thing())])
    with pytest.raises(RuntimeError):
        with ParallelExecutor() as executor:
            executor.submit(fail, watch(Thing()))
    with pytest.raises(RuntimeError):
        with parallel(watch(Manager())).parallel(watch(Manager())):
            pass
    watch.wait()
    assert calls.results() == (0,)
    assert uncaught == []
