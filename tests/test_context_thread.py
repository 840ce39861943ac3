"""Exits that threads order of each other: who is told, and what an interruption finds."""

from __future__ import annotations

import threading
import traceback
from contextvars import ContextVar
from typing import Any, Callable

import pytest

from conftest import LIMIT, Uncaught, wait_for_idle_threads, wait_until
from parallel import parallel, parallel_contexts
from parallel._context_thread import ContextThread
from parallel._context_variables import ContextVariables
from parallel.future_context_collection import _Exits

_variable: ContextVar[str] = ContextVar("variable", default="unset")


class InterruptError(BaseException):
    """What a signal handler raises."""


def nothing() -> object:
    return None


class Manager:
    def __init__(self, name: str, log: list[str], on_exit: Callable[[], object] = nothing) -> None:
        self.name = name
        self._log = log
        self._on_exit = on_exit

    def __enter__(self) -> Manager:
        return self

    def __exit__(self, exc_type: type[BaseException] | None, *_: object) -> bool:
        self._log.append(self.name if exc_type is None else f"{self.name} {exc_type.__name__}")
        return bool(self._on_exit())


class B(Manager):
    """The one that an interruption is about: threads are named after their managers."""


def fail(error: BaseException) -> None:
    raise error


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The exits that the one who leaves was told of."""
    told: list[str] = []
    tell = _Exits._tell

    def note(exits: _Exits) -> None:
        told.append(threading.current_thread().name)
        tell(exits)

    monkeypatch.setattr(_Exits, "_tell", note)
    return told


def leave(*managers: Manager, body: BaseException | None = None) -> BaseException | None:
    """Enters and leaves managers; gives what comes out."""
    try:
        with parallel_contexts(managers):
            if body is not None:
                raise body
    except BaseException as error:
        return error
    return None


def test_who_leaves_is_told_when_all_have_exited(told: list[str]) -> None:
    log: list[str] = []
    assert leave(*[Manager(name, log) for name in "abcd"]) is None
    assert log == ["d", "c", "b", "a"]
    assert len(told) == 1


def test_threads_hand_on_what_exits_raise_and_suppress(told: list[str]) -> None:
    log: list[str] = []
    body, raised = ValueError(), OSError()
    came_out = leave(
        Manager("a", log),
        Manager("b", log, lambda: fail(raised)),
        Manager("c", log),
        Manager("d", log, lambda: True),
        Manager("e", log),
        body=body,
    )
    assert log == ["e ValueError", "d ValueError", "c", "b", "a OSError"]
    assert came_out is raised
    assert raised.__context__ is None
    assert len(told) == 1


def test_who_leaves_is_told_in_between_where_an_exit_changed_a_context_variable(told: list[str]) -> None:
    log: list[str] = []
    seen: list[str] = []
    managers = [
        Manager("a", log, lambda: seen.append(_variable.get())),
        Manager("b", log, lambda: seen.append(_variable.get())),
        Manager("c", log, lambda: _variable.set("by c") is None),
        Manager("d", log, lambda: seen.append(_variable.get())),
    ]
    token = _variable.set("by the caller")
    try:
        assert leave(*managers) is None
        assert _variable.get() == "by c"
    finally:
        _variable.reset(token)
    assert log == ["d", "c", "b", "a"]
    assert seen == ["by the caller", "by c", "by c"]
    assert len(told) == 2


def test_an_exit_on_a_forgotten_order_is_not_repeated() -> None:
    log: list[str] = []
    chain = parallel_contexts([Manager("a", log), Manager("b", log)])
    for _ in range(2):
        with chain:
            pass
    assert log == ["b", "a"] * 2


class Interruption:
    """Has the wait of who leaves interrupted at a moment of the exit of manager ``b``, of ``a``, ``b`` and ``c``."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, moment: str) -> None:
        self.error = InterruptError()
        self._moment = moment
        self._reached, self._go_on, self._handed_on = threading.Event(), threading.Event(), threading.Event()
        order_next, wait, go_on_with = ContextThread._order_next, _Exits._wait, _Exits._go_on_with
        has_exit_changes = ContextVariables.has_exit_changes
        waits: list[None] = []

        def wait_and_raise(exits: _Exits) -> None:
            if waits:
                wait(exits)
                return
            waits.append(None)
            assert self._reached.wait(LIMIT)
            raise self.error

        def go_on_with_it(exits: _Exits, interruption: BaseException) -> None:
            if self._moment == "delivered":
                # Whatever the thread is going to do, it does it before the next exit is ordered here.
                self._go_on.set()
                assert self._handed_on.wait(LIMIT)
            go_on_with(exits, interruption)

        def order_next_and_stop(thread: ContextThread[Any], *arguments: Any) -> bool:
            ordered = order_next(thread, *arguments)
            if thread.name == B.__qualname__:
                self._handed_on.set()
                self._stop_at("handed on")
            return ordered

        def has_exit_changes_and_stop(variables: ContextVariables) -> bool:
            if threading.current_thread().name == B.__qualname__:
                self._stop_at("delivered")
            return has_exit_changes(variables)

        monkeypatch.setattr(_Exits, "_wait", wait_and_raise)
        monkeypatch.setattr(_Exits, "_go_on_with", go_on_with_it)
        monkeypatch.setattr(ContextThread, "_order_next", order_next_and_stop)
        monkeypatch.setattr(ContextVariables, "has_exit_changes", has_exit_changes_and_stop)

    def exit_of_b(self) -> None:
        self._stop_at("exiting")

    def go_on(self) -> None:
        self._go_on.set()

    def _stop_at(self, moment: str) -> None:
        if moment == self._moment:
            self._reached.set()
            assert self._go_on.wait(LIMIT)


def test_an_exit_that_is_interrupted_goes_on_and_the_next_is_ordered_by_who_leaves(
    monkeypatch: pytest.MonkeyPatch, uncaught: list[Uncaught]
) -> None:
    log: list[str] = []
    interruption = Interruption(monkeypatch, "exiting")
    late = OSError()

    def exit_late() -> None:
        interruption.exit_of_b()
        raise late

    try:
        came_out = leave(Manager("a", log), B("b", log, exit_late), Manager("c", log), body=ValueError())
        assert came_out is interruption.error
        assert isinstance(came_out.__context__, ValueError)
        assert log == ["c ValueError", "b ValueError", "a InterruptError"]
    finally:
        interruption.go_on()
    # It was not waited for, and did not order the exit of a again.
    wait_for_idle_threads()
    assert log[3:] == []
    assert [report.exc_value for report in uncaught] == [late]


def test_a_thread_that_has_exited_and_not_handed_on_is_kept_from_it(monkeypatch: pytest.MonkeyPatch) -> None:
    log: list[str] = []
    interruption = Interruption(monkeypatch, "delivered")
    raised = OSError()
    managers = [Manager("a", log), B("b", log, lambda: fail(raised)), Manager("c", log)]
    try:
        came_out = leave(*managers, body=ValueError())
    finally:
        interruption.go_on()
    assert came_out is interruption.error
    assert came_out.__context__ is raised
    assert log == ["c ValueError", "b ValueError", "a InterruptError"]


def test_who_has_got_its_order_from_another_thread_is_the_one_that_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log: list[str] = []
    interruption = Interruption(monkeypatch, "handed on")
    raised = OSError()
    release = threading.Event()
    managers = [
        Manager("a", log, lambda: release.wait(LIMIT) and None),
        B("b", log, lambda: fail(raised)),
        Manager("c", log),
    ]
    try:
        came_out = leave(*managers, body=ValueError())
        assert came_out is interruption.error
        assert came_out.__context__ is raised
        wait_until(lambda: len(log) == 3)
        assert log == ["c ValueError", "b ValueError", "a OSError"]
    finally:
        interruption.go_on()
        release.set()


@pytest.mark.parametrize("parallel_exit", [False, True])
def test_a_signal_handler_that_raises_while_outcomes_are_taken_loses_none(
    monkeypatch: pytest.MonkeyPatch, parallel_exit: bool
) -> None:
    log: list[str] = []
    raised, interruption = OSError(), InterruptError()
    published: list[None] = []
    publish_exit = ContextVariables.publish_exit

    def publish_and_raise(variables: ContextVariables) -> None:
        publish_exit(variables)
        published.append(None)
        if len(published) == 2:
            raise interruption

    monkeypatch.setattr(ContextVariables, "publish_exit", publish_and_raise)
    managers = [Manager("a", log), Manager("b", log), Manager("c", log, lambda: fail(raised))]
    with pytest.raises(InterruptError) as caught, parallel_contexts(managers, parallel_exit=parallel_exit):
        pass
    wait_for_idle_threads()
    assert caught.value is interruption
    assert interruption.__context__ is raised
    assert sorted(each[0] for each in log) == ["a", "b", "c"]


def test_a_late_exit_leaves_the_traceback_of_what_was_raised_meanwhile() -> None:
    entering = threading.Event()
    log: list[str] = []

    class Late(Manager):
        def __enter__(self) -> Manager:
            assert entering.wait(LIMIT)
            return self

    def enter() -> None:
        with parallel(Late("late", log), timeout=0.01):
            pass

    try:
        with pytest.raises(TimeoutError) as caught:
            enter()
        frames = traceback.extract_tb(caught.value.__traceback__)
    finally:
        entering.set()
    wait_until(lambda: log)
    wait_for_idle_threads()
    assert log == ["late TimeoutError"]
    assert traceback.extract_tb(caught.value.__traceback__) == frames
