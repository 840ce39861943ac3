from __future__ import annotations

import contextvars
import sys
import threading
from contextlib import contextmanager
from typing import Any, Iterator

import pytest

from helpers import LIMIT, BaseExceptionGroup, ExceptionGroup, Manager, Uncaught, fail, wait_for_idle_threads
from parallel import ParallelExecutor, parallel, parallel_contexts

THREE = 3


@pytest.mark.parametrize("parallel_exit", [False, True])
def test_enter_and_exit_of_each_manager_are_on_one_thread_of_its_own(log: list[str], parallel_exit: bool) -> None:
    managers = [Manager(name, log) for name in "abc"]
    with parallel(managers[0], parallel_exit=parallel_exit).parallel(managers[1]).parallel(managers[2]) as values:
        assert values == ("a", "b", "c")
        # Calls run, and end, on other threads meanwhile.
        others = {ParallelExecutor.execute_one(threading.get_ident).result(LIMIT) for _ in range(50)}
    idents = [manager.threads for manager in managers]
    assert all(enter == leave for enter, leave in idents)
    own = {enter for enter, _ in idents}
    assert len(own) == THREE
    assert threading.get_ident() not in own
    assert not own & others


def test_exits_run_last_to_first_one_after_the_other(log: list[str]) -> None:
    with parallel(Manager("a", log)).parallel(Manager("b", log)).parallel(Manager("c", log)):
        del log[:]
    assert log == ["exit c", "exit b", "exit a"]


def test_all_enters_run_at_once(log: list[str]) -> None:
    barrier = threading.Barrier(3)
    managers = [Manager(name, log, enter=lambda: barrier.wait(LIMIT)) for name in "abc"]
    with parallel_contexts(managers):
        pass


def test_with_parallel_exit_all_exits_run_at_once(log: list[str]) -> None:
    barrier = threading.Barrier(3)
    managers = [Manager(name, log, exit=lambda: barrier.wait(LIMIT) * 0) for name in "abc"]
    with parallel_contexts(managers, parallel_exit=True):
        pass


def test_each_exit_is_given_the_exception_of_the_body_with_its_traceback(log: list[str]) -> None:
    seen: list[Any] = []

    class Seeing(Manager):
        def __exit__(self, *arguments: Any) -> None:
            seen.append((*arguments, arguments[1].__traceback__, sys.exc_info()))

    error = ValueError()
    with pytest.raises(ValueError, match="^$") as caught:
        with parallel(Seeing("a", log)).parallel(Seeing("b", log)):
            raise error
    assert caught.value is error
    for exc_type, exc_value, traceback, own_traceback, handled in seen:
        assert exc_type is ValueError
        assert exc_value is error
        assert traceback is own_traceback
        assert traceback.tb_frame is sys._getframe()  # noqa: SLF001  # As documented.
        assert handled[1] is error
    assert len(seen) == len("ab")


def test_a_true_return_value_suppresses_for_the_outer_ones(log: list[str]) -> None:
    managers = [Manager("a", log), Manager("b", log, exit=True), Manager("c", log)]
    error = ValueError()
    with parallel_contexts(managers):
        fail(error)
    assert [manager.exits for manager in managers] == [[None], [error], [error]]


def test_an_exits_exception_reaches_the_outer_exits_with_the_bodys_as_its_context(log: list[str]) -> None:
    body, second = ValueError("body"), KeyError("exit of b")
    managers = [Manager("a", log), Manager("b", log, exit=second), Manager("c", log)]
    with pytest.raises(KeyError) as caught, parallel_contexts(managers):
        raise body
    assert caught.value is second
    assert second.__context__ is body
    assert [manager.exits for manager in managers] == [[second], [body], [body]]


def test_a_failed_enter_lets_the_others_finish_and_exits_them(log: list[str]) -> None:
    others_may_finish = threading.Event()
    error = OSError("no connection")

    def fail() -> None:
        others_may_finish.set()
        raise error

    managers = [Manager("a", log, enter=others_may_finish), Manager("b", log, enter=fail), Manager("c", log)]
    with pytest.raises(OSError, match="no connection") as caught, parallel_contexts(managers):
        pytest.fail("the body must not run")
    assert caught.value is error
    assert [manager.exits for manager in managers] == [[error], [], [error]]
    assert log[-2:] == ["exit c", "exit a"]


def test_several_failed_enters_are_raised_as_a_group(log: list[str]) -> None:
    first, second = OSError(), SystemExit()
    managers = [Manager("a", log, enter=first), Manager("b", log), Manager("c", log, enter=second)]
    with pytest.raises(BaseExceptionGroup, match="2 of 3 context managers failed to enter") as caught:
        parallel_contexts(managers).__enter__()
    assert caught.value.exceptions == (first, second)
    assert managers[1].exits == [caught.value]


def test_no_exit_can_hide_a_failed_enter(log: list[str]) -> None:
    error = OSError()
    managers = [Manager("a", log), Manager("b", log, exit=True), Manager("c", log, enter=error)]
    with pytest.raises(OSError, match="^$") as caught, parallel_contexts(managers):
        pytest.fail("the body must not run")
    assert caught.value is error
    assert [manager.exits for manager in managers] == [[error], [error], []]


def test_an_exit_that_fails_after_a_failed_enter_comes_out_with_it_as_context(log: list[str]) -> None:
    failure, second = OSError(), KeyError()
    managers = [Manager("a", log, exit=second), Manager("b", log, enter=failure)]
    with pytest.raises(KeyError) as caught, parallel_contexts(managers):
        pytest.fail("the body must not run")
    assert caught.value is second
    assert second.__context__ is failure


# The time limit


def test_the_time_limit_covers_all_enters_and_exits_what_was_entered(log: list[str]) -> None:
    go = threading.Event()
    quick, slow = Manager("quick", log), Manager("slow", log, enter=go)
    try:
        with pytest.raises(TimeoutError, match="1 of 2 context managers still entering after 0.5 seconds: Manager"):
            with parallel(quick, timeout=0.5).parallel(slow):
                pytest.fail("the body must not run")
        assert len(quick.exits) == 1
        assert isinstance(quick.exits[0], TimeoutError)
        assert slow.exits == []
    finally:
        go.set()
    assert slow.left.wait(LIMIT)
    assert slow.exits == quick.exits
    assert slow.threads[0] == slow.threads[1]


def test_the_time_limit_begins_when_the_block_is_entered(log: list[str]) -> None:
    go = threading.Event()
    chain = parallel(Manager("a", log, enter=lambda: go.wait(0.1) and None), timeout=0.5)
    assert not go.wait(0.6)
    with chain:
        pass
    assert log == ["enter a", "exit a"]


def test_the_error_of_a_late_exit_is_reported(log: list[str], uncaught: list[Uncaught]) -> None:
    go = threading.Event()
    late = KeyError("late")
    slow = Manager("slow", log, enter=go, exit=late)
    with pytest.raises(TimeoutError), parallel(slow, timeout=0):
        pytest.fail("the body must not run")
    go.set()
    wait_for_idle_threads()
    assert [report.exc_value for report in uncaught] == [late]


def test_the_error_of_a_late_enter_is_reported(log: list[str], uncaught: list[Uncaught]) -> None:
    late = KeyError("late")
    go = threading.Event()

    def enter_and_fail() -> None:
        assert go.wait(LIMIT)
        raise late

    slow = Manager("slow", log, enter=enter_and_fail)
    with pytest.raises(TimeoutError), parallel(slow, timeout=0):
        pytest.fail("the body must not run")
    go.set()
    wait_for_idle_threads()
    assert [report.exc_value for report in uncaught] == [late]
    assert slow.exits == []


def test_failed_enters_go_before_the_time_limit_which_is_their_context(log: list[str]) -> None:
    go = threading.Event()
    failure = OSError()
    slow = Manager("slow", log, enter=go)
    try:
        with pytest.raises(OSError, match="^$") as caught:
            with parallel(Manager("a", log, enter=failure), timeout=0.5).parallel(slow):
                pytest.fail("the body must not run")
        assert caught.value is failure
        assert isinstance(failure.__context__, TimeoutError)
    finally:
        go.set()
    assert slow.left.wait(LIMIT)
    assert slow.exits == [failure]


def test_the_time_limit_does_not_cover_the_exits(log: list[str]) -> None:
    passed = threading.Event()
    with parallel(Manager("a", log, exit=lambda: passed.wait(0.6) and None), timeout=0.5):
        pass
    assert log == ["enter a", "exit a"]


# Parallel exit


def test_with_parallel_exit_all_get_the_bodys_exception_and_any_can_suppress_it(log: list[str]) -> None:
    error = ValueError()
    managers = [Manager("a", log), Manager("b", log, exit=True), Manager("c", log)]
    with parallel_contexts(managers, parallel_exit=True):
        fail(error)
    assert [manager.exits for manager in managers] == [[error]] * THREE


def test_with_parallel_exit_a_failed_exit_goes_before_suppression(log: list[str]) -> None:
    body, failure = ValueError("body"), KeyError("exit")
    managers = [Manager("a", log, exit=True), Manager("b", log, exit=failure)]
    with pytest.raises(KeyError) as caught, parallel_contexts(managers, parallel_exit=True):
        raise body
    assert caught.value is failure
    assert failure.__context__ is body


def test_with_parallel_exit_a_single_failure_keeps_its_own_context(log: list[str]) -> None:
    def fail_without_context() -> None:
        try:
            raise KeyError
        except KeyError as error:
            error.__context__ = None
            raise

    managers = [Manager("a", log), Manager("b", log, exit=fail_without_context)]
    with pytest.raises(KeyError) as caught, parallel_contexts(managers, parallel_exit=True):
        raise ValueError("body")
    assert caught.value.__context__ is None


def test_with_parallel_exit_several_failures_are_a_group_with_the_bodys_as_context(log: list[str]) -> None:
    body, first, second = ValueError("body"), KeyError(1), KeyError(2)
    managers = [Manager("a", log, exit=first), Manager("b", log), Manager("c", log, exit=second)]
    with pytest.raises(ExceptionGroup, match="2 of 3 context managers failed to exit") as caught:
        with parallel_contexts(managers, parallel_exit=True):
            raise body
    assert caught.value.exceptions == (first, second)
    assert caught.value.__context__ is body


def test_with_parallel_exit_the_bodys_own_exception_raised_again_is_not_suppressed(log: list[str]) -> None:
    body = ValueError("body")
    managers = [Manager("a", log, exit=body), Manager("b", log, exit=True)]
    with pytest.raises(ValueError, match="body") as caught, parallel_contexts(managers, parallel_exit=True):
        raise body
    assert caught.value is body


# Entering and leaving the collection


def test_a_collection_can_be_entered_again_after_it_was_left(log: list[str]) -> None:
    block = parallel(Manager("a", log)).parallel(Manager("b", log))
    for _ in range(3):
        with block as values:
            assert values == ("a", "b")
    assert len(log) == 3 * 2 * 2


def test_a_collection_can_be_entered_again_after_it_failed(log: list[str]) -> None:
    failing = Manager("a", log, enter=OSError())
    block = parallel(failing)
    with pytest.raises(OSError, match="^$"):
        block.__enter__()
    failing.on_enter = None
    with block as values:
        assert values == ("a",)


def test_entering_twice_at_once_raises(log: list[str]) -> None:
    block = parallel(Manager("a", log))
    with block:
        assert repr(block) == "<FutureContextCollection: Manager (entered)>"
        with pytest.raises(RuntimeError, match="entered already"):
            block.__enter__()
    assert log == ["enter a", "exit a"]
    assert repr(block) == "<FutureContextCollection: Manager>"


def test_chaining_while_entered_raises(log: list[str]) -> None:
    block = parallel(Manager("a", log))
    with block, pytest.raises(RuntimeError, match="while it is entered"):
        block.parallel(Manager("b", log))
    with block.parallel(Manager("b", log)) as values:
        assert values == ("a", "b")


def test_leaving_one_that_is_not_entered_does_nothing(log: list[str]) -> None:
    block = parallel(Manager("a", log))
    assert block.__exit__(None, None, None) is None
    with block:
        pass
    assert block.__exit__(ValueError, ValueError(), None) is None
    assert log == ["enter a", "exit a"]


def test_a_block_may_be_left_on_another_thread_than_it_was_entered_on(log: list[str]) -> None:
    manager = Manager("a", log)
    block = parallel(manager)
    ParallelExecutor.execute_one(block.__enter__).result(LIMIT)
    ParallelExecutor.execute_one(block.__exit__, None, None, None).result(LIMIT)
    assert manager.threads[0] == manager.threads[1]


def test_a_block_that_is_dropped_ends_its_threads_and_exits_nothing(log: list[str]) -> None:
    block = parallel(Manager("a", log)).parallel(Manager("b", log))
    block.__enter__()
    del block
    wait_for_idle_threads()
    assert sorted(log) == ["enter a", "enter b"]


def test_many_managers_are_entered_together(log: list[str]) -> None:
    with parallel_contexts([Manager(str(number), log) for number in range(300)]) as values:
        assert values == tuple(map(str, range(300)))
    assert log[-300:] == [f"exit {number}" for number in reversed(range(300))]


# Context variables


def test_context_variables_flow_as_in_with() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")
    seen = []

    @contextmanager
    def bound(value: str) -> Iterator[None]:
        token = variable.set(value)
        yield
        seen.append(variable.get())
        variable.reset(token)

    with parallel(bound("a")).parallel(bound("b")):
        assert variable.get() == "b"
        variable.set("body")
    assert seen == ["body", "a"]
    with pytest.raises(LookupError):
        variable.get()


# A manager's methods are looked up as `with` does


def test_static_and_class_methods_serve_as_enter_and_exit() -> None:
    class Odd:
        @staticmethod
        def __enter__() -> str:
            return "static"

        @classmethod
        def __exit__(cls, *arguments: object) -> bool:
            return arguments == (None, None, None)

    with parallel(Odd()) as (value,):
        assert value == "static"


def test_a_name_says_what_a_thread_of_a_manager_is_for(log: list[str]) -> None:
    names = []

    @contextmanager
    def connection() -> Iterator[None]:
        names.append(threading.current_thread().name)
        yield
        names.append(threading.current_thread().name)

    with parallel(connection()).parallel(
        Manager("a", log, enter=lambda: names.append(threading.current_thread().name))
    ):
        pass
    assert sorted(names) == ["Manager", "connection", "connection"]


def test_manager_that_is_too_late_exits_without_waiting_for_the_others() -> None:
    go, late_has_exited = threading.Event(), threading.Event()
    given: list[Any] = []

    class Late:
        def __enter__(self) -> None:
            assert go.wait(LIMIT)

        def __exit__(self, kind: Any, *_: object) -> None:
            given.append(kind)
            late_has_exited.set()

    class Slow:
        def __enter__(self) -> None:
            pass

        def __exit__(self, *_: object) -> None:
            go.set()
            given.append(late_has_exited.wait(LIMIT))
            raise KeyError

    with pytest.raises(KeyError):
        with parallel(Slow(), timeout=0.01).parallel(Late()):
            pass
    assert given == [TimeoutError, True]
