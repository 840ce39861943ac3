"""The library is used in the middle of itself: by callbacks, signal handlers and finalizers, with odd objects."""

from __future__ import annotations

import contextvars
import decimal
import gc
import signal
import sys
import threading
import time
import weakref
from collections import Counter
from concurrent.futures import CancelledError, Future, InvalidStateError, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Callable, Iterator

import pytest

from helpers import (
    IS_QUICK,
    LIMIT,
    PYPY,
    ExceptionGroup,
    Gate,
    InterruptError,
    Manager,
    Rotation,
    Uncaught,
    fail,
    rounds_until,
    set_idle_seconds,
    wait_for_idle_threads,
    wait_until,
)
from parallel import (
    FutureContextCollection,
    ParallelExecutor,
    ReturnWhen,
    parallel,
    parallel_contexts,
    parallel_map,
)


def use_everything() -> None:
    """Makes calls of every kind, and waits for them."""
    assert parallel(int)().parallel(str)(1).results() == (0, "1")
    assert ParallelExecutor.execute_one(int).result(LIMIT) == 0
    assert parallel_map(abs, [-1, 2]).results() == (1, 2)
    with ParallelExecutor() as executor:
        assert executor.submit(int).result(LIMIT) == 0
    with parallel(Manager("a")).parallel(Manager("b")) as values:
        assert values == ("a", "b")
    with pytest.raises(ZeroDivisionError):
        parallel(fail)(ZeroDivisionError()).results()


# Callbacks


def test_a_done_callback_can_use_everything() -> None:
    outcome: Future[None] = Future()

    def callback(_: Future[Any]) -> None:
        try:
            use_everything()
        except BaseException as error:
            outcome.set_exception(error)
        else:
            outcome.set_result(None)

    with Gate() as gate:
        future = ParallelExecutor.execute_one(gate.call)
        future.add_done_callback(callback)
    assert outcome.result(LIMIT) is None


def test_callbacks_can_start_calls_with_callbacks_to_any_depth() -> None:
    ended = threading.Event()

    def descend(levels: int) -> None:
        if levels == 0:
            ended.set()
        else:
            ParallelExecutor.execute_one(int).add_done_callback(lambda _: descend(levels - 1))

    descend(50)
    assert ended.wait(LIMIT)


def test_calls_and_managers_can_use_everything() -> None:
    class UsesEverything:
        def __enter__(self) -> None:
            use_everything()

        def __exit__(self, *_: object) -> None:
            use_everything()

    parallel(use_everything)().parallel(use_everything)().results()
    with parallel(UsesEverything()).parallel(UsesEverything()):
        use_everything()


class OwnBaseError(BaseException):
    pass


BASE_EXCEPTIONS = [SystemExit, KeyboardInterrupt, GeneratorExit, OwnBaseError]


@pytest.mark.parametrize("kind", BASE_EXCEPTIONS)
def test_a_callback_raising_a_base_exception_is_reported_and_ends_no_thread(
    uncaught: list[Uncaught], monkeypatch: pytest.MonkeyPatch, kind: type[BaseException]
) -> None:
    set_idle_seconds(monkeypatch, 1000.0)  # It does not end for want of work.
    error = kind()
    with Gate("result") as gate:
        calls = parallel(gate.call)()
        thread_inside: list[threading.Thread] = []
        (future,) = calls.futures
        future.add_done_callback(lambda _: thread_inside.append(threading.current_thread()))
        future.add_done_callback(lambda _: fail(error))
    assert calls.results(timeout=LIMIT) == ("result",)
    wait_until(lambda: uncaught)
    assert [report.exc_value for report in uncaught] == [error]
    assert uncaught[0].thread_name == "Gate.call"
    wait_for_idle_threads()
    assert thread_inside[0].is_alive()
    use_everything()


@pytest.mark.parametrize("kind", BASE_EXCEPTIONS)
def test_a_failed_call_with_such_a_callback_gives_its_error(
    uncaught: list[Uncaught], kind: type[BaseException]
) -> None:
    failure, error = ValueError(), kind()
    with Gate(failure) as gate:
        calls = parallel(gate.call)()
        calls.futures[0].add_done_callback(lambda _: fail(error))
    with pytest.raises(ValueError) as raised:
        calls.results(timeout=LIMIT)
    assert raised.value is failure
    wait_until(lambda: uncaught)
    assert [report.exc_value for report in uncaught] == [error]


@pytest.mark.parametrize("kind", BASE_EXCEPTIONS)
def test_an_executor_ends_whatever_callbacks_raise(uncaught: list[Uncaught], kind: type[BaseException]) -> None:
    with ParallelExecutor() as executor, Gate() as gate:
        executor.submit(gate.call).add_done_callback(lambda _: fail(kind()))
    wait_until(lambda: len(uncaught) == 1)


@pytest.mark.parametrize("kind", BASE_EXCEPTIONS)
def test_calls_and_managers_can_raise_what_is_no_exception(kind: type[BaseException]) -> None:
    class Raises(Manager):
        def __exit__(self, *_: object) -> None:
            raise kind

    with pytest.raises(kind):
        parallel(fail)(kind()).parallel(int)().results()
    with pytest.raises(kind):
        with parallel(Raises()).parallel(Manager()):
            pass
    use_everything()


# Futures that their user sets


def test_a_future_set_by_its_user_keeps_what_it_was_given_and_the_call_runs_on() -> None:
    with Gate("of the call") as gate:
        calls = parallel(gate.call)()
        assert gate.inside.wait(LIMIT)
        (future,) = calls.futures
        future.set_result("of the user")
        assert calls.results(timeout=LIMIT) == ("of the user",)
    wait_for_idle_threads()
    assert calls.results() == ("of the user",)
    use_everything()


def test_a_future_set_to_an_exception_by_its_user_raises_it() -> None:
    error = ValueError()
    with Gate("of the call") as gate:
        calls = parallel(gate.call)().parallel(int)()
        calls.futures[0].set_exception(error)
        with pytest.raises(ValueError) as raised:
            calls.results(timeout=LIMIT)
        assert raised.value is error
    wait_for_idle_threads()


def test_the_error_of_a_call_whose_future_its_user_set_is_reported(uncaught: list[Uncaught]) -> None:
    error = ValueError()
    with Gate(error) as gate:
        parallel(gate.call)().futures[0].set_result(None)
    wait_until(lambda: uncaught)
    assert [report.exc_value for report in uncaught] == [error]
    assert uncaught[0].thread_name == "Gate.call"


def test_an_executor_waits_for_a_call_whose_future_its_user_set() -> None:
    ended: list[bool] = []
    with ParallelExecutor() as executor, Gate() as gate:
        future = executor.submit(lambda: ended.append(gate.go.wait(LIMIT)))
        future.set_result(None)
    assert ended == [True]


def test_a_future_that_is_done_cannot_be_set() -> None:
    future = ParallelExecutor.execute_one(int)
    assert future.result(LIMIT) == 0
    with pytest.raises(InvalidStateError):
        future.set_result(1)
    assert not future.cancel()


def test_a_call_that_its_user_cancels_fails_with_that() -> None:
    with ThreadPoolExecutor(max_workers=1) as executor, Gate() as gate:
        executor.submit(gate.call)
        calls = parallel(int, executor=executor)().parallel(str)()
        assert calls.futures[0].cancel()
        gate.go.set()
        with pytest.raises(CancelledError):
            calls.results(timeout=LIMIT)
        with pytest.raises(CancelledError):
            calls.results(return_when=ReturnWhen.FIRST_EXCEPTION, timeout=LIMIT)


# Signal handlers

SIGNALS = 20 if IS_QUICK else 100
"""How many signals come in the middle of calls, at least."""


class Rain:
    """Signals that come all the time, on the main thread, in the middle of whatever it does."""

    def __init__(self, handler: Callable[[], object], seconds: float = 0.001) -> None:
        self._handler = handler
        self._seconds = seconds
        self._depth = 0
        self.count = 0

    def handle_signal(self, _: int, frame: FrameType | None) -> None:
        # A slow machine would nest handlers for ever. And what waits for a thread in the middle of Thread.start() may
        # hold the lock that the thread needs to begin.
        if self._depth > 3 or frame is None or frame.f_code.co_filename == threading.__file__:
            return
        self._depth += 1
        try:
            self.count += 1
            self._code = frame.f_code
            self._handler()
        finally:
            self._depth -= 1

    def __enter__(self) -> None:
        self._before = signal.signal(signal.SIGALRM, self.handle_signal)
        signal.setitimer(signal.ITIMER_REAL, self._seconds, self._seconds)

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, self._before)
        gc.collect()  # What is left of interrupted code complains now, not in the next test.


needs_signals = pytest.mark.skipif(
    not hasattr(signal, "setitimer"), reason="this system has no timer that sends signals"
)
needs_reentrant_threads = pytest.mark.skipif(
    sys.version_info < (3, 10), reason="before 3.10 a thread cannot be started in the middle of starting one"
)
needs_signals_between_calls_only = pytest.mark.skipif(
    sys.version_info < (3, 10) or PYPY,
    reason="before 3.10 and on PyPy handlers run between any two instructions: any `with` may lose an exit",
)
RAISED_BY_HANDLERS = (KeyboardInterrupt, RuntimeError, RecursionError, MemoryError, OSError)
ignore_errors_in_finalizers = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@needs_signals
@needs_reentrant_threads
@pytest.mark.parametrize("use", ["execute_one", "chain", "with", "executor"])
def test_a_signal_handler_can_make_calls_in_the_middle_of_making_calls(
    own_threads: None, use: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_idle_seconds(monkeypatch, 0.002)  # Threads come and go all the time.
    started: list[int] = []
    ran: list[int] = []
    counter = iter(range(10**9))

    def note() -> int:
        number = next(counter)
        started.append(number)
        return number

    def make_calls() -> None:
        if use == "execute_one":
            ParallelExecutor.execute_one(ran.append, note())
        elif use == "chain":
            parallel(ran.append)(note()).parallel(ran.append)(note()).results()
        elif use == "executor":
            with ParallelExecutor() as executor:
                executor.submit(ran.append, note())
        else:
            with parallel(Manager()).parallel(Manager()):
                ran.append(note())

    rain = Rain(make_calls)
    with rain:
        for _ in rounds_until(lambda: rain.count >= SIGNALS):
            make_calls()
            if len(started) % 10 == 0:
                time.sleep(0.003)
    wait_until(lambda: len(ran) == len(started))
    assert Counter(ran) == Counter(started)
    wait_for_idle_threads()


class AlarmError(Exception):
    """As handlers raise it that limit the time of something."""


ROTATION: Rotation[type[BaseException]] = Rotation([InterruptError, AlarmError, *RAISED_BY_HANDLERS])
NUMBER_OF_KINDS = 1 if IS_QUICK else 3

LIBRARY = Path(parallel.__code__.co_filename).parent


class Interrupts(Rain):
    """A rain of signals whose handler raises once each time that it is armed."""

    def __init__(self, kind: type[BaseException]) -> None:
        super().__init__(self._interrupt, 0.0011)
        self._kind = kind
        self._armed = False
        self.raised = 0

    def _interrupt(self) -> None:
        if self._armed and self._depth == 1 and self._may_be_interrupted(self._code):
            self._armed = False
            self.raised += 1
            raise self._kind

    def _may_be_interrupted(self, code: CodeType) -> bool:
        # Code of the standard's loses locks when it is interrupted (Thread.start(), conditions). And what is raised
        # before the first line of an __exit__ has run keeps any manager that is written in Python from being exited.
        ours = code.co_filename == __file__ or Path(code.co_filename).parent == LIBRARY
        # Nor is this handler interrupted by itself: what it interrupts may be the standard's code.
        return ours and code not in (FutureContextCollection.__exit__.__code__, Rain.handle_signal.__code__)

    def strike(self, func: Callable[[], object]) -> None:
        """Calls ``func``, and takes what comes of being interrupted."""
        try:
            self._armed = True
            func()
            self._armed = False
        except self._kind:
            self._armed = False


@needs_signals
@ignore_errors_in_finalizers
@pytest.mark.parametrize("kind", ROTATION.some(NUMBER_OF_KINDS))
def test_handlers_that_raise_while_results_are_waited_for_lose_nothing(
    own_threads: None, kind: type[BaseException]
) -> None:
    def sleep(number: int) -> int:
        time.sleep(0.001)
        return number

    interrupts = Interrupts(kind)
    with interrupts:
        for _ in rounds_until(lambda: interrupts.raised >= SIGNALS):
            calls = parallel_map(sleep, range(3))
            interrupts.strike(calls.results)
            interrupts.strike(partial(calls.results, return_when=ReturnWhen.FIRST_EXCEPTION))
            assert calls.results() == (0, 1, 2)
    wait_for_idle_threads()
    use_everything()


@needs_signals
@needs_signals_between_calls_only
@ignore_errors_in_finalizers
@pytest.mark.parametrize(("parallel_exit", "kind"), ROTATION.pairs([False, True], NUMBER_OF_KINDS))
def test_handlers_that_raise_while_managers_are_entered_and_exited_lose_no_exit(
    own_threads: None, kind: type[BaseException], parallel_exit: bool
) -> None:
    entered: list[int] = []
    left: list[int] = []

    class Notes:
        def __init__(self, number: int) -> None:
            self.number = number

        def __enter__(self) -> None:
            entered.append(self.number)
            time.sleep(0.0005)

        def __exit__(self, *_: object) -> None:
            time.sleep(0.0005)
            left.append(self.number)

    def enter_and_leave() -> None:
        managers = [Notes(next(numbers)) for _ in range(3)]
        with parallel_contexts(managers, parallel_exit=parallel_exit):
            pass

    numbers = iter(range(10**9))
    interrupts = Interrupts(kind)
    with interrupts:
        for _ in rounds_until(lambda: interrupts.raised >= SIGNALS):
            interrupts.strike(enter_and_leave)
    wait_for_idle_threads()
    wait_until(lambda: len(left) >= len(entered))
    assert sorted(left) == sorted(entered)
    use_everything()


@needs_signals
@needs_signals_between_calls_only
@ignore_errors_in_finalizers
@pytest.mark.parametrize("kind", ROTATION.some(NUMBER_OF_KINDS))
def test_handlers_that_raise_while_calls_are_started_leave_the_library_usable(
    own_threads: None, kind: type[BaseException]
) -> None:
    ran: list[int] = []
    returned: list[int] = []
    numbers = iter(range(10**9))

    def start() -> None:
        number = next(numbers)
        ParallelExecutor.execute_one(ran.append, number)
        returned.append(number)

    interrupts = Interrupts(kind)
    with interrupts:
        for _ in rounds_until(lambda: interrupts.raised >= SIGNALS):
            interrupts.strike(start)
    wait_until(lambda: set(ran) >= set(returned))
    wait_for_idle_threads()
    # One whose start was interrupted has run, or not; none ran twice.
    assert max(Counter(ran).values()) == 1
    use_everything()


# Finalizers


@needs_reentrant_threads
def test_finalizers_can_make_calls_in_the_middle_of_everything(
    own_threads: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_idle_seconds(monkeypatch, 0.002)
    created: list[int] = []
    made: list[int] = []
    ran: list[int] = []
    threshold = None if PYPY else gc.get_threshold()

    class CallsOnDeletion:
        """Makes a call when it is collected, wherever that happens."""

        def __init__(self) -> None:
            created.append(1)
            self.cycle = self

        def __del__(self) -> None:
            made.append(1)
            ParallelExecutor.execute_one(ran.append, 1)

    def leave_garbage() -> None:
        CallsOnDeletion()
        if PYPY:
            gc.collect()

    def all_ran() -> bool:
        gc.collect()  # Which does nothing while another thread does.
        return len(ran) == len(made) == len(created)

    try:
        if threshold is not None:
            gc.set_threshold(1)
        for _ in range(10 if PYPY else 200):
            CallsOnDeletion()
            parallel(leave_garbage)().parallel(leave_garbage)().results()
            with parallel(Manager()).parallel(Manager()):
                leave_garbage()
            with ParallelExecutor() as executor:
                executor.submit(leave_garbage)
    finally:
        if threshold is not None:
            gc.set_threshold(*threshold)
    wait_until(all_ran)
    wait_for_idle_threads()


def test_what_a_call_drops_can_make_calls_when_it_is_freed() -> None:
    ended = threading.Event()

    class StartsWhenFreed:
        def __del__(self) -> None:
            with parallel(Manager()).parallel(Manager()):
                parallel(ended.set)().results()

    def take(thing: object) -> None:
        pass

    ParallelExecutor.execute_one(take, StartsWhenFreed())
    if PYPY:
        wait_for_idle_threads()
        gc.collect()
    # Not by waiting for the event: if this thread is the one to free, that would hold the lock that setting it needs.
    wait_until(ended.is_set)


def test_weak_references_can_make_calls_when_they_are_cleared() -> None:
    ended = threading.Event()
    thing = Gate()
    weakref.finalize(thing, lambda: parallel(ended.set)().results())
    future = ParallelExecutor.execute_one(lambda _: None, thing)
    del thing
    assert future.result(LIMIT) is None
    if PYPY:
        wait_for_idle_threads()
        gc.collect()
    # Not by waiting for the event: if this thread is the one to free, that would hold the lock that setting it needs.
    wait_until(ended.is_set)


# Objects with odd truth and equality


class EmptyError(Exception):
    def __len__(self) -> int:
        return 0


class FalseError(Exception):
    def __bool__(self) -> bool:
        return False


class UndecidedError(Exception):
    def __bool__(self) -> bool:
        raise AssertionError("nobody asks whether an exception is true")


class EqualError(Exception):
    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]  # As objects with their own equality have it.


ODD_ERRORS = [EmptyError, FalseError, UndecidedError, EqualError]
odd_errors = pytest.mark.parametrize("kind", ODD_ERRORS)


@odd_errors
@pytest.mark.parametrize("return_when", [ReturnWhen.ALL_COMPLETED, ReturnWhen.FIRST_EXCEPTION])
def test_an_odd_error_of_a_call_is_raised(kind: type[Exception], return_when: Any) -> None:
    error = kind()
    calls = parallel(int)().parallel(fail)(error).parallel(int)()
    for _ in range(2):
        with pytest.raises(kind) as raised:
            calls.results(return_when=return_when)
        assert raised.value is error


@odd_errors
def test_odd_errors_of_calls_are_grouped(kind: type[Exception]) -> None:
    errors = [kind(), kind()]
    with pytest.raises(ExceptionGroup) as raised:
        parallel(fail)(errors[0]).parallel(fail)(errors[1]).results()
    assert [id(error) for error in raised.value.exceptions] == [id(error) for error in errors]


@odd_errors
def test_an_odd_error_goes_before_a_timeout_and_keeps_its_context(kind: type[Exception]) -> None:
    error = kind()
    with Gate() as gate:
        calls = parallel(fail)(error).parallel(gate.call)()
        wait_until(lambda: "failed" in repr(calls))
        outer = ValueError()
        try:
            raise outer
        except ValueError:
            with pytest.raises(kind) as raised:
                calls.results(timeout=0)
        assert raised.value is error
        assert isinstance(error.__context__, TimeoutError)
        assert error.__context__.__context__ is outer


@odd_errors
def test_an_odd_error_is_the_exception_of_the_future(kind: type[Exception]) -> None:
    error = kind()
    assert ParallelExecutor.execute_one(fail, error).exception(LIMIT) is error


@odd_errors
def test_an_odd_error_of_a_submitted_call_ends_it(kind: type[Exception]) -> None:
    with ParallelExecutor() as executor:
        assert isinstance(executor.submit(fail, kind()).exception(LIMIT), kind)


class RaisesInEnter:
    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __enter__(self) -> None:
        raise self.error

    def __exit__(self, *_: object) -> None:
        raise AssertionError("it was not entered")


class Exits:
    """A manager that notes what it is exited with."""

    def __init__(self, error: BaseException | None = None, *, suppress: object = False) -> None:
        self.error = error
        self.suppress = suppress
        self.seen: list[Any] = []

    def __enter__(self) -> None:
        pass

    def __exit__(self, *details: Any) -> Any:
        self.seen.append(details)
        if self.error is not None:
            raise self.error
        return self.suppress


both_exits = pytest.mark.parametrize("parallel_exit", [False, True])


@odd_errors
@both_exits
def test_an_odd_error_of_an_enter_exits_the_others_and_is_raised(kind: type[Exception], parallel_exit: bool) -> None:
    error, entered = kind(), Exits()
    with pytest.raises(kind) as raised:
        with parallel(entered, parallel_exit=parallel_exit).parallel(RaisesInEnter(error)):
            pass
    assert raised.value is error
    assert entered.seen[0][1] is error


@odd_errors
@both_exits
def test_an_odd_error_of_a_body_is_given_to_the_exits_and_raised(kind: type[Exception], parallel_exit: bool) -> None:
    error, first, last = kind(), Exits(), Exits()
    with pytest.raises(kind) as raised:
        with parallel(first, parallel_exit=parallel_exit).parallel(last):
            raise error
    assert raised.value is error
    for manager in (first, last):
        assert manager.seen[0][0] is kind
        assert manager.seen[0][1] is error
        assert manager.seen[0][2] is not None


@odd_errors
@both_exits
def test_an_odd_error_of_a_body_can_be_suppressed(kind: type[Exception], parallel_exit: bool) -> None:
    with parallel(Exits(), parallel_exit=parallel_exit).parallel(Exits(suppress=True)):
        raise kind


@odd_errors
@both_exits
def test_an_odd_error_of_an_exit_is_raised(kind: type[Exception], parallel_exit: bool) -> None:
    error, first = kind(), Exits()
    with pytest.raises(kind) as raised:
        with parallel(first, parallel_exit=parallel_exit).parallel(Exits(error)):
            pass
    assert raised.value is error
    if not parallel_exit:
        assert first.seen[0][1] is error


@odd_errors
@both_exits
def test_odd_errors_of_body_and_exit_are_chained(kind: type[Exception], parallel_exit: bool) -> None:
    of_body, of_exit = kind(), kind()
    with pytest.raises(kind) as raised:
        with parallel(Exits(of_exit), parallel_exit=parallel_exit).parallel(Exits()):
            raise of_body
    assert raised.value is of_exit
    assert of_exit.__context__ is of_body


class FalseObject:
    """Is false, empty and equal to everything, and does what a test needs."""

    __hash__ = None  # type: ignore[assignment]  # As above.

    def __bool__(self) -> bool:
        return False

    def __len__(self) -> int:
        return 0

    def __eq__(self, other: object) -> bool:
        return True

    def __call__(self) -> FalseObject:
        return self


class FalseManager(FalseObject):
    def __init__(self) -> None:
        self.left = 0

    def __enter__(self) -> FalseManager:
        return self

    def __exit__(self, *_: object) -> None:
        self.left += 1


def test_false_functions_and_results_are_functions_and_results() -> None:
    thing = FalseObject()
    (result,) = parallel(thing)().results()
    assert result is thing
    with ParallelExecutor() as executor:
        futures = [executor.submit(thing) for _ in range(3)]
        assert all(future.result(LIMIT) is thing for future in futures)


def test_false_managers_and_values_are_managers_and_values() -> None:
    managers = [FalseManager() for _ in range(3)]
    with parallel_contexts(managers) as values:
        assert [id(value) for value in values] == [id(manager) for manager in managers]
    assert [manager.left for manager in managers] == [1, 1, 1]


def test_an_executor_that_is_false_is_an_executor() -> None:
    class FalseExecutor(ThreadPoolExecutor):
        def __bool__(self) -> bool:
            return False

    with FalseExecutor(thread_name_prefix="of the executor") as executor:
        (name,) = parallel(lambda: threading.current_thread().name, executor=executor)().results()
    assert name.startswith("of the executor")


# What a call leaves behind


def test_what_a_call_sets_is_not_there_for_the_next_on_its_thread() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")

    def look_and_set() -> tuple[int, str, int]:
        seen = threading.get_ident(), variable.get(), decimal.getcontext().prec
        variable.set("left behind")
        decimal.setcontext(decimal.Context(prec=5))
        return seen

    before = decimal.getcontext().prec
    seen = set()
    for _ in range(20):
        wait_for_idle_threads()
        seen.add(ParallelExecutor.execute_one(look_and_set).result(LIMIT)[1:])
    assert seen == {("unset", before)}
    assert (variable.get(), decimal.getcontext().prec) == ("unset", before)


def test_what_a_manager_sets_is_not_there_for_the_next_call_on_its_thread() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")

    @contextmanager
    def set_variable() -> Iterator[None]:
        variable.set("of the manager")
        yield

    def with_it() -> None:
        with parallel(set_variable()).parallel(set_variable()):
            assert variable.get() == "of the manager"
            assert ParallelExecutor.execute_one(variable.get).result(LIMIT) == "of the manager"

    contextvars.copy_context().run(with_it)
    for _ in range(5):
        wait_for_idle_threads()
        assert ParallelExecutor.execute_one(variable.get).result(LIMIT) == "unset"


def test_a_call_is_not_run_while_an_exception_of_another_is_handled() -> None:
    for _ in range(5):
        wait_for_idle_threads()
        assert isinstance(ParallelExecutor.execute_one(fail, ValueError()).exception(LIMIT), ValueError)
        wait_for_idle_threads()
        assert ParallelExecutor.execute_one(sys.exc_info).result(LIMIT) == (None, None, None)
