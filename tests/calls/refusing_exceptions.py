"""Exceptions that refuse or falsify their attributes, and programs that raise them: a program for child processes.

``python refusing_exceptions.py SCENARIO...`` runs one scenario after the other with each kind of exception, all kinds
at once, and prints as JSON which kinds went wrong in which scenario, and how. A scenario ends after ``PATIENCE``
seconds even if a kind blocks for ever.

The interpreter sets ``__traceback__`` and ``__context__`` without asking the class, so that ``raise`` and ``with`` work
with all these exceptions.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import threading
import time
import traceback
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Callable, Coroutine, List, NoReturn, Sequence, Tuple

from parallel import ParallelExecutor, ReturnWhen, parallel, parallel_map

if sys.version_info < (3, 11):
    from exceptiongroup import BaseExceptionGroup

PATIENCE = 10.0
"""For how many seconds the kinds may take."""

# The kinds


@dataclass(frozen=True)
class FrozenError(Exception):
    key: str = "key"


@dataclass(frozen=True)
class FrozenBaseError(BaseException):
    key: str = "key"


@dataclass(frozen=True)
class FrozenFalseyError(Exception):
    key: str = "key"

    def __bool__(self) -> bool:
        return False

    def __len__(self) -> int:
        return 0


class RefusesToSetError(Exception):
    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise TypeError(f"cannot set {name}")

    def __delattr__(self, name: str) -> NoReturn:
        raise TypeError(f"cannot delete {name}")


class IgnoresSettingError(Exception):
    def __setattr__(self, name: str, value: object) -> None:
        pass


class RefusesToGetError(Exception):
    def __getattribute__(self, name: str) -> NoReturn:
        raise AttributeError(name)


class RefusesTracebackError(Exception):
    @property
    def __traceback__(self) -> NoReturn:  # type: ignore[override, unused-ignore]  # Such classes exist.
        raise RuntimeError("no traceback here")


class RefusesContextError(Exception):
    @property
    def __context__(self) -> NoReturn:  # type: ignore[override, unused-ignore]  # As above.
        raise RuntimeError("no context here")


class FalsifiesTracebackError(Exception):
    @property
    def __traceback__(self) -> None:  # type: ignore[override, unused-ignore]  # As above.
        return None


class FalsifiesContextError(Exception):
    """Has a context without end for whoever reads the attribute."""

    @property
    def __context__(self) -> BaseException:  # type: ignore[override, unused-ignore]  # As above.
        return FalsifiesContextError()


class RefusesWithTracebackError(Exception):
    def with_traceback(self, tb: object) -> NoReturn:
        raise RuntimeError("no other traceback")


class WithTracebackReturnsNoneError(Exception):
    def with_traceback(self, tb: object) -> None:  # type: ignore[override]  # As above.
        pass


class WithTracebackReturnsAnotherError(Exception):
    def with_traceback(self, tb: object) -> Exception:  # type: ignore[override]  # As above.
        return LookupError("another exception")


class WithTracebackIsNoMethodError(Exception):
    with_traceback = None  # type: ignore[assignment]  # As above.


class FalseyWithTracebackReturnsAnotherError(WithTracebackReturnsAnotherError):
    def __bool__(self) -> bool:
        return False


_ALL_KINDS: Sequence[Callable[[], BaseException]] = (
    FrozenError,
    FrozenBaseError,
    FrozenFalseyError,
    RefusesToSetError,
    IgnoresSettingError,
    RefusesToGetError,
    RefusesTracebackError,
    RefusesContextError,
    FalsifiesTracebackError,
    FalsifiesContextError,
    RefusesWithTracebackError,
    WithTracebackReturnsNoneError,
    WithTracebackReturnsAnotherError,
    WithTracebackIsNoMethodError,
    FalseyWithTracebackReturnsAnotherError,
)

Kind = Callable[[], BaseException]
Scenario = Callable[[Kind], None]


# What the scenarios share


def true_context(error: BaseException) -> Any:
    """The context of ``error`` as the interpreter knows it."""
    return vars(BaseException)["__context__"].__get__(error)


def functions(error: BaseException) -> list[str]:
    """The names of the functions in the traceback of ``error`` as the interpreter knows it."""
    entries = vars(BaseException)["__traceback__"].__get__(error)
    return [frame.f_code.co_name for frame, _ in traceback.walk_tb(entries)]


def outcome_of(func: Callable[[], object]) -> BaseException | None:
    """Calls ``func`` and returns the exception that it raised, if any."""
    try:
        func()
    except BaseException as error:
        return error
    return None


async def async_outcome_of(
    func: Callable[[], Coroutine[Any, Any, None]], handled: BaseException | None
) -> BaseException | None:
    """Awaits ``func()``, while ``handled`` is being handled; returns the exception that it raised, if any."""
    try:
        if handled is None:
            await func()
        else:
            try:
                raise handled
            except BaseException:
                await func()
    except BaseException as error:
        return error
    return None


def check_is(got: object, expected: object) -> None:
    """Fails unless the two are the same object, without a look at any attribute."""
    assert got is expected, f"{type(got).__name__} instead of {type(expected).__name__}: {trace_of(got)}"


def trace_of(error: object) -> str:
    """The last lines of what the interpreter prints for an exception, if it can."""
    if not isinstance(error, BaseException):
        return ""
    try:
        return "".join(traceback.format_exception(type(error), error, error.__traceback__, chain=False))[-400:]
    except Exception:
        return "(cannot be printed)"


def check_group(got: object, message: str, *expected: BaseException) -> None:
    """Fails unless ``got`` is a group of exactly these exceptions."""
    assert isinstance(got, BaseExceptionGroup), f"{type(got).__name__} instead of a group: {trace_of(got)}"
    assert got.message.startswith(message), got.message
    assert [id(each) for each in got.exceptions] == [id(each) for each in expected], "other exceptions in the group"


def while_handling(error: BaseException, func: Callable[[], object]) -> None:
    """Calls ``func`` in an ``except`` clause that caught ``error``."""
    try:
        raise error
    except BaseException:
        func()


def fail(error: BaseException) -> NoReturn:
    raise error


class InstantExecutor(Executor):
    """An executor whose calls have ended, and whose futures are the standard ones."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:  # type: ignore[override, unused-ignore]  # On 3.8 it has the name fn.
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:
            future.set_exception(error)
        return future


reported: list[BaseException | None] = []
"""What ``threading.excepthook`` was given."""


def check_reported(error: BaseException) -> None:
    """Waits until ``error`` has been reported, and fails if it was more than once."""
    end = time.monotonic() + PATIENCE
    while not any(each is error for each in reported):
        assert time.monotonic() < end, "not reported"
        gc.collect()
        time.sleep(0.01)
    assert len([each for each in reported if each is error]) == 1, "reported more than once"


def can_be_raised(kind: Kind) -> bool:
    """Whether a plain ``raise`` works with such exceptions: PyPy gets and sets the traceback through the class."""
    return sys.implementation.name != "pypy" or not {"__traceback__", "__getattribute__"} & set(vars(kind))


KINDS = [kind for kind in _ALL_KINDS if can_be_raised(kind)]


# Calls


def one_call(kind: Kind) -> None:
    error = kind()
    calls = parallel(fail)(error)
    for _ in range(2):
        check_is(outcome_of(calls.results), error)
    assert functions(error)[-1] == "fail", functions(error)
    assert functions(error).count("fail") == 1, functions(error)


def one_call_beside_others(kind: Kind) -> None:
    error = kind()
    check_is(outcome_of(parallel(int)().parallel(fail)(error).parallel(str)().results), error)


def first_exception(kind: Kind) -> None:
    error, release = kind(), threading.Event()
    try:
        calls = parallel(release.wait)(PATIENCE).parallel(fail)(error)
        for _ in range(2):
            check_is(outcome_of(lambda: calls.results(return_when=ReturnWhen.FIRST_EXCEPTION)), error)
    finally:
        release.set()


def failure_before_a_time_limit(kind: Kind) -> None:
    error, release = kind(), threading.Event()
    try:
        calls = parallel(fail)(error).parallel(release.wait)(PATIENCE)
        first = outcome_of(lambda: calls.results(timeout=PATIENCE / 2, return_when=ReturnWhen.FIRST_EXCEPTION))
        check_is(first, error)
        check_is(outcome_of(lambda: calls.results(timeout=0)), error)
        assert type(true_context(error)) is TimeoutError
    finally:
        release.set()


def several_calls(kind: Kind) -> None:
    first, second, other = kind(), kind(), ValueError()
    calls = parallel(fail)(first).parallel(int)().parallel(fail)(other).parallel(fail)(second)
    for _ in range(2):
        check_group(outcome_of(calls.results), "3 of 4", first, other, second)


def map_of_calls(kind: Kind) -> None:
    errors = [kind(), kind()]
    check_group(outcome_of(parallel_map(fail, errors).results), "2 of 2", *errors)


def while_another_is_handled(kind: Kind) -> None:
    error, handled = kind(), ValueError()
    check_is(outcome_of(lambda: while_handling(handled, parallel(fail)(error).results)), error)
    check_is(true_context(error), handled)


def another_while_handled(kind: Kind) -> None:
    handled, error = kind(), ValueError()
    check_is(outcome_of(lambda: while_handling(handled, parallel(fail)(error).results)), error)
    check_is(true_context(error), handled)
    check_is(true_context(handled), None)


def in_the_context_chain(kind: Kind) -> None:
    context, handled, error = kind(), KeyError(), ValueError()
    error.__context__ = context
    check_is(outcome_of(lambda: while_handling(handled, parallel(fail)(error).results)), error)
    check_is(true_context(error), context)
    check_is(true_context(context), handled)


def group_while_handled(kind: Kind) -> None:
    handled, errors = kind(), [ValueError(), KeyError()]
    group = outcome_of(lambda: while_handling(handled, parallel_map(fail, errors).results))
    check_group(group, "2 of 2", *errors)
    assert group is not None
    check_is(true_context(group), handled)


def display(kind: Kind) -> None:
    calls = parallel(fail, executor=InstantExecutor())(kind())
    assert "failed" in repr(calls)
    outcome_of(calls.results)
    assert "failed" in repr(calls)


def future_of_a_call(kind: Kind) -> None:
    error, called = kind(), threading.Event()
    future = ParallelExecutor.execute_one(fail, error)
    future.add_done_callback(lambda _: called.set())
    check_is(future.exception(PATIENCE), error)
    check_is(outcome_of(lambda: future.result(PATIENCE)), error)
    assert called.wait(PATIENCE), "the done-callback was not called"


def call_of_an_executor(kind: Kind) -> None:
    error = kind()
    with ParallelExecutor() as executor:
        future = executor.submit(fail, error)
    assert future.done(), "shutdown() did not wait"
    check_is(future.exception(), error)


def dropped_chain(kind: Kind) -> None:
    error = kind()
    parallel(fail)(error)
    check_reported(error)


def dropped_chain_of_another_executor(kind: Kind) -> None:
    error = kind()
    parallel(fail, executor=InstantExecutor())(error)
    check_reported(error)


def awaited(chain: Any) -> BaseException | None:
    """Awaits a chain and returns the exception that it raised.

    Within the coroutine: asyncio's own futures, as PyPy has them, call ``with_traceback``.
    """

    async def main() -> BaseException | None:
        try:
            await chain
        except BaseException as error:
            return error
        return None

    return asyncio.run(main())


def awaited_call(kind: Kind) -> None:
    error = kind()
    check_is(awaited(parallel(int)().parallel(fail)(error)), error)


def awaited_calls(kind: Kind) -> None:
    first, second = kind(), kind()
    check_group(awaited(parallel(fail)(first).parallel(fail)(second)), "2 of 2", first, second)


def other_executor(kind: Kind) -> None:
    error = kind()
    with ThreadPoolExecutor() as executor:
        check_is(outcome_of(parallel(int, executor=executor)().parallel(fail)(error).results), error)


def first_exception_of_another_executor(kind: Kind) -> None:
    error, release = kind(), threading.Event()
    with ThreadPoolExecutor() as executor:
        try:
            calls = parallel(release.wait, executor=executor)(PATIENCE).parallel(fail)(error)
            check_is(outcome_of(lambda: calls.results(return_when=ReturnWhen.FIRST_EXCEPTION)), error)
        finally:
            release.set()


def calls_of_another_executor(kind: Kind) -> None:
    first, second = kind(), kind()
    with ThreadPoolExecutor() as executor:
        calls = parallel(fail, executor=executor)(first).parallel(fail)(second)
        check_group(outcome_of(calls.results), "2 of 2", first, second)


def awaited_call_of_another_executor(kind: Kind) -> None:
    error = kind()
    with ThreadPoolExecutor() as executor:
        check_is(awaited(parallel(fail, executor=executor)(error)), error)


# Blocks


Log = List[Tuple[str, Any]]


class Manager:
    """Writes down with which exception it is exited."""

    def __init__(
        self,
        log: Log,
        name: str,
        *,
        enter: BaseException | None = None,
        leave: BaseException | None = None,
        suppress: bool = False,
    ) -> None:
        self.log, self.name, self.enter, self.leave, self.suppress = log, name, enter, leave, suppress

    def __enter__(self) -> str:
        if self.enter is not None:
            raise self.enter
        return self.name

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> bool:
        self.log.append((self.name, error))
        if self.leave is not None:
            raise self.leave
        return self.suppress


IN_TURN, AT_ONCE, ASYNC = "in turn", "at once", "async with"


class Block:
    """One ``with`` statement over several managers, in one of the three ways."""

    def __init__(self, how: str) -> None:
        self.how = how
        self.log: Log = []

    def outcome(
        self, *managers: Manager, body: BaseException | None = None, handled: BaseException | None = None
    ) -> BaseException | None:
        """Runs a body that raises ``body``, while ``handled`` is being handled; returns what came out."""
        chain: Any = parallel(managers[0], parallel_exit=self.how == AT_ONCE)
        for manager in managers[1:]:
            chain = chain.parallel(manager)

        def run() -> None:
            with chain as values:
                assert values == tuple(manager.name for manager in managers)
                if body is not None:
                    raise body

        async def run_async() -> None:
            async with chain as values:
                assert values == tuple(manager.name for manager in managers)
                if body is not None:
                    raise body

        if self.how == ASYNC:
            return asyncio.run(async_outcome_of(run_async, handled))
        return outcome_of(run if handled is None else lambda: while_handling(handled, run))

    def check_exits(self, *expected: tuple[str, BaseException | None]) -> None:
        """Fails unless the managers were exited with these exceptions, in this order where there is one."""
        got, due = list(self.log), list(expected)
        if self.how == AT_ONCE:
            got.sort(key=lambda each: each[0])
            due.sort(key=lambda each: each[0])
        names = f"{[name for name, _ in got]} instead of {[name for name, _ in due]}"
        assert [name for name, _ in got] == [name for name, _ in due], f"exited: {names}"
        for (_, error), (_, right) in zip(got, due):
            check_is(error, right)


def body_raises(kind: Kind, how: str) -> None:
    error, block = kind(), Block(how)
    check_is(block.outcome(Manager(block.log, "a"), Manager(block.log, "b"), body=error), error)
    block.check_exits(("b", error), ("a", error))


def body_raises_and_an_exit_suppresses(kind: Kind, how: str) -> None:
    error, block = kind(), Block(how)
    managers = Manager(block.log, "a", suppress=True), Manager(block.log, "b")
    check_is(block.outcome(*managers, body=error), None)
    block.check_exits(("b", error), ("a", error))


def enter_raises(kind: Kind, how: str) -> None:
    error, block = kind(), Block(how)
    managers = Manager(block.log, "a"), Manager(block.log, "b", enter=error), Manager(block.log, "c")
    check_is(block.outcome(*managers), error)
    block.check_exits(("c", error), ("a", error))


def enters_raise(kind: Kind, how: str) -> None:
    error, other, block = kind(), ValueError(), Block(how)
    managers = (
        Manager(block.log, "a", enter=error),
        Manager(block.log, "b", enter=other),
        Manager(block.log, "c"),
    )
    group = block.outcome(*managers)
    check_group(group, "2 of 3", error, other)
    block.check_exits(("c", group))


def exit_raises(kind: Kind, how: str) -> None:
    error, block = kind(), Block(how)
    check_is(block.outcome(Manager(block.log, "a"), Manager(block.log, "b", leave=error)), error)
    block.check_exits(("b", None), ("a", None if how == AT_ONCE else error))


def exit_raises_after_body(kind: Kind, how: str) -> None:
    error, body, block = kind(), ValueError(), Block(how)
    managers = Manager(block.log, "a"), Manager(block.log, "b", leave=error)
    check_is(block.outcome(*managers, body=body), error)
    check_is(true_context(error), body)
    block.check_exits(("b", body), ("a", body if how == AT_ONCE else error))


def exit_replaces_error_of_body(kind: Kind, how: str) -> None:
    body, error, block = kind(), ValueError(), Block(how)
    managers = Manager(block.log, "a"), Manager(block.log, "b", leave=error)
    check_is(block.outcome(*managers, body=body), error)
    check_is(true_context(error), body)
    block.check_exits(("b", body), ("a", body if how == AT_ONCE else error))


def exits_raise(kind: Kind, how: str) -> None:
    first, second, block = kind(), kind(), Block(how)
    outcome = block.outcome(Manager(block.log, "a", leave=first), Manager(block.log, "b", leave=second))
    if how == AT_ONCE:
        check_group(outcome, "2 of 2", first, second)
        block.check_exits(("b", None), ("a", None))
    else:
        check_is(outcome, first)
        check_is(true_context(first), second)
        block.check_exits(("b", None), ("a", second))


def block_while_handled(kind: Kind, how: str) -> None:
    handled, block = kind(), Block(how)
    check_is(block.outcome(Manager(block.log, "a"), Manager(block.log, "b"), handled=handled), None)
    block.check_exits(("b", None), ("a", None))
    check_is(true_context(handled), None)


def body_raises_while_handled(kind: Kind, how: str) -> None:
    handled, error, block = kind(), ValueError(), Block(how)
    check_is(block.outcome(Manager(block.log, "a"), Manager(block.log, "b"), body=error, handled=handled), error)
    check_is(true_context(error), handled)
    block.check_exits(("b", error), ("a", error))


def enter_raises_while_handled(kind: Kind, how: str) -> None:
    handled, error, block = kind(), ValueError(), Block(how)
    managers = Manager(block.log, "a"), Manager(block.log, "b", enter=error)
    check_is(block.outcome(*managers, handled=handled), error)
    check_is(true_context(error), handled)
    block.check_exits(("a", error))


def exit_raises_while_handled(kind: Kind, how: str) -> None:
    handled, error, block = kind(), ValueError(), Block(how)
    managers = Manager(block.log, "a"), Manager(block.log, "b", leave=error)
    check_is(block.outcome(*managers, handled=handled), error)
    check_is(true_context(error), handled)
    block.check_exits(("b", None), ("a", None if how == AT_ONCE else error))


class SlowManager(Manager):
    """A manager that is entered when it is told to."""

    release: threading.Event

    def __enter__(self) -> str:
        self.release.wait(PATIENCE)
        return super().__enter__()


def exit_raises_after_a_time_limit(kind: Kind) -> None:
    error = kind()
    log: Log = []
    slow = SlowManager(log, "slow", leave=error)
    slow.release = threading.Event()

    def run() -> None:
        with parallel(slow, timeout=0.01).parallel(Manager(log, "quick")):
            raise AssertionError("the body ran")

    try:
        timed_out = outcome_of(run)
        assert type(timed_out) is TimeoutError, type(timed_out).__name__
    finally:
        slow.release.set()
    check_reported(error)
    assert sorted(name for name, _ in log) == ["quick", "slow"], log


CALLS: dict[str, Scenario] = {
    each.__name__: each
    for each in (
        one_call,
        one_call_beside_others,
        first_exception,
        failure_before_a_time_limit,
        several_calls,
        map_of_calls,
        while_another_is_handled,
        another_while_handled,
        in_the_context_chain,
        group_while_handled,
        display,
        future_of_a_call,
        call_of_an_executor,
        dropped_chain,
        dropped_chain_of_another_executor,
        awaited_call,
        awaited_calls,
        other_executor,
        first_exception_of_another_executor,
        calls_of_another_executor,
        awaited_call_of_another_executor,
    )
}

_IN_EACH_WAY = (
    body_raises,
    body_raises_and_an_exit_suppresses,
    enter_raises,
    enters_raise,
    exit_raises,
    exit_raises_after_body,
    exit_replaces_error_of_body,
    exits_raise,
    block_while_handled,
    body_raises_while_handled,
    enter_raises_while_handled,
    exit_raises_while_handled,
)


def _in_way(scenario: Callable[[Kind, str], None], how: str) -> Scenario:
    return lambda kind: scenario(kind, how)


BLOCKS: dict[str, Scenario] = {
    f"{each.__name__}, {how}": _in_way(each, how) for each in _IN_EACH_WAY for how in (IN_TURN, AT_ONCE, ASYNC)
}
BLOCKS["exit_raises_after_a_time_limit"] = exit_raises_after_a_time_limit


def kinds_that_go_wrong(scenario: Scenario) -> dict[str, str]:
    """Runs a scenario with all kinds; returns which of them went wrong, and how."""
    wrong = {kind.__name__: f"no answer within {PATIENCE} seconds" for kind in KINDS}

    def run(kind: Any) -> None:
        try:
            scenario(kind)
        except BaseException as error:  # noqa: BLE001, RUF100  # Whatever it is, it is printed.
            text = f"{type(error).__name__}: {error}"
            wrong[kind.__name__] = text
        else:
            del wrong[kind.__name__]

    threads = [threading.Thread(target=run, args=(kind,), daemon=True) for kind in KINDS]
    for thread in threads:
        thread.start()
    end = time.monotonic() + PATIENCE
    for thread in threads:
        thread.join(max(end - time.monotonic(), 0))
    return dict(wrong)


def main(names: Sequence[str]) -> None:
    """Runs scenarios with all kinds, and prints what went wrong."""
    threading.excepthook = lambda report: reported.append(report.exc_value)
    scenarios = {**CALLS, **BLOCKS}
    print(json.dumps({name: kinds_that_go_wrong(scenarios[name]) for name in names}), flush=True)
    os._exit(0)  # Calls that never end would be waited for.


if __name__ == "__main__":
    main(sys.argv[1:])
