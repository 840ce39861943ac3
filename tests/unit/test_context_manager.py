"""One manager's life on a pinned thread: orders, outcomes, and the exits that threads order of each other."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import traceback
import weakref
from contextlib import contextmanager, suppress
from contextvars import Context, ContextVar, copy_context
from typing import Any, Callable, Iterator

import pytest

from helpers import ERRORS, LIMIT, PYPY, InterruptError, Uncaught, fail, moments, wait_for_idle_threads, wait_until
from parallel import (
    FutureContextCollection,
    ParallelExecutor,
    _context_exits,
    _context_manager,
    _pinned_thread,
    _process,
    _sync,
    _unwinding,
    parallel,
    parallel_contexts,
    parallel_map,
)
from parallel._context_manager import PinnedManager
from parallel._context_variables import ContextVariables
from parallel._exceptions import contexts_of
from parallel._pinned_thread import PinnedThread, start_all
from parallel._sync import Wakeup
from parallel._unwinding import Delivery, Unwinding

_variable: ContextVar[str] = ContextVar("variable", default="unset")

needs_reference_counts = pytest.mark.skipif(PYPY, reason="PyPy frees nothing without a collection")


def nothing() -> object:
    return None


@contextmanager
def no_collection() -> Iterator[None]:
    """Collects no garbage meanwhile, so that only what nothing refers to is freed."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


# PinnedThread


class Owner:
    """An object of the user's."""


@pytest.fixture
def started() -> Iterator[Callable[..., PinnedThread]]:
    """Makes threads that are started, and are dismissed after the test."""
    threads: list[PinnedThread] = []

    def start(first: Callable[[], object] = nothing) -> PinnedThread:
        thread = PinnedThread("pinned", first)
        threads.append(thread)
        start_all([thread])
        return thread

    yield start
    for thread in threads:
        thread.dismiss()


def wait_until_suspended(thread: PinnedThread) -> None:
    wait_until(lambda: thread.is_suspended)


Started = Callable[..., PinnedThread]


def test_functions_run_on_one_thread_in_the_order_in_which_they_were_sent(started: Started) -> None:
    ran: list[tuple[int, int, str]] = []

    def note(number: int) -> Callable[[], object]:
        return lambda: ran.append((number, threading.get_ident(), threading.current_thread().name))

    thread = started(note(0))
    for number in range(1, 20):
        if number % 5 == 0:
            wait_until_suspended(thread)
        thread.send(note(number))
    wait_until(lambda: len(ran) == 20)
    assert [number for number, _, _ in ran] == list(range(20))
    assert len({ident for _, ident, _ in ran} - {threading.get_ident()}) == 1
    assert {name for _, _, name in ran} == {"pinned"}


def test_function_sent_before_the_thread_begins_runs_after_the_first() -> None:
    ran: list[int] = []
    thread = PinnedThread("pinned", lambda: ran.append(1))
    thread.send(lambda: ran.append(2))
    assert ran == []
    start_all([thread])
    thread.dismiss()
    wait_until(lambda: ran == [1, 2])


def test_thread_is_suspended_while_it_has_nothing_to_run(started: Started) -> None:
    begun, may_end = threading.Event(), threading.Event()

    def block() -> None:
        begun.set()
        assert may_end.wait(LIMIT)

    thread = started(block)
    for _ in range(2):
        assert begun.wait(LIMIT)
        assert not thread.is_suspended
        begun.clear()
        may_end.set()
        wait_until_suspended(thread)
        may_end.clear()
        thread.send(block)
    assert not thread.is_suspended
    may_end.set()


def test_pool_does_not_wait_for_a_suspended_thread(started: Started) -> None:
    may_end = threading.Event()
    thread = started(lambda: may_end.wait(LIMIT))
    waiting = ParallelExecutor.execute_one(_process.pool.wait_for, thread)
    may_end.set()
    assert waiting.result(LIMIT) is None
    assert thread in _process.pool.unfinished


class Using:
    """A function that refers to an object of the user's."""

    def __init__(self, owner: Owner) -> None:
        self.owner = owner

    def __call__(self) -> Owner:
        return self.owner


@needs_reference_counts
def test_waiting_thread_refers_to_nothing_that_it_was_sent(started: Started) -> None:
    with no_collection():
        owner = Owner()
        freed = weakref.ref(owner)
        thread = started(Using(owner))
        del owner
        wait_until_suspended(thread)
        wait_until(lambda: freed() is None)
        owner = Owner()
        freed = weakref.ref(owner)
        thread.send(Using(owner))
        del owner
        wait_until(lambda: freed() is None)


class LastMoment:
    """A wakeup before whose first wait something happens."""

    def __init__(self, happen: Callable[[], object]) -> None:
        self._wakeup = Wakeup()
        self._happen = happen
        self.set = self._wakeup.set

    def wait(self) -> bool:
        self._happen()
        return self._wakeup.wait(LIMIT)


def test_thread_runs_what_it_was_sent_before_it_was_dismissed() -> None:
    for moment in moments(_pinned_thread, _sync):
        ran: list[None] = []
        thread = PinnedThread("pinned", nothing)
        left = [lambda: ran.append(None)]  # noqa: B023  # It is called in this round.

        def send_and_dismiss() -> None:
            # As another thread would.
            if left:  # noqa: B023  # As above.
                thread.send(left.pop())  # noqa: B023  # As above.
                thread.dismiss()  # noqa: B023  # As above.

        thread._wakeup = LastMoment(send_and_dismiss)  # type: ignore[assignment]  # A test can script it.
        moment.during(thread.run, happen=send_and_dismiss)
        assert len(ran) == 1


def test_function_sent_to_a_dismissed_thread_runs_on_the_sender() -> None:
    ran: list[int] = []
    thread = PinnedThread("pinned", nothing)
    start_all([thread])
    is_there = [thread.is_there]
    thread.dismiss()
    is_there.append(thread.is_there)
    assert is_there == [True, False]
    wait_for_idle_threads()  # Until it has ended, the thread may run the function itself.
    thread.send(lambda: ran.append(threading.get_ident()))
    assert ran == [threading.get_ident()]


def test_function_sent_to_the_thread_of_another_process_runs_on_the_sender(
    started: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[int] = []
    thread = started()
    wait_until_suspended(thread)
    with monkeypatch.context() as patch:
        patch.setattr(_process, "pool", _process.Pool())
        assert not thread.is_there
        thread.send(lambda: ran.append(threading.get_ident()))
    assert ran == [threading.get_ident()]


IN_A_FORKED_CHILD = """
import os, threading
from parallel._pinned_thread import PinnedThread, start_all

ran = []
thread = PinnedThread("pinned", lambda: ran.append("first"))
start_all([thread])
while not thread.is_suspended:
    pass
if not os.fork():
    thread.send(lambda: ran.append(threading.current_thread() is threading.main_thread()))
    os._exit(ran != ["first", True])
_, status = os.wait()
thread.send(lambda: ran.append(threading.current_thread() is threading.main_thread()))
thread.dismiss()
while len(ran) < 2:
    pass
print(status, ran)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_function_sent_in_a_forked_child_runs_on_the_sender() -> None:
    command = [sys.executable, "-W", "ignore", "-c", IN_A_FORKED_CHILD]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False)
    assert (done.stdout, done.stderr) == ("0 ['first', False]\n", "")


def test_withdrawn_thread_runs_nothing() -> None:
    ran: list[int] = []
    thread = PinnedThread("pinned", lambda: ran.append(1))
    assert thread.withdraw() is True
    assert thread.withdraw() is False
    start_all([thread])
    wait_for_idle_threads()
    assert ran == []
    thread.send(lambda: ran.append(threading.get_ident()))
    assert ran == [threading.get_ident()]


def test_thread_that_has_begun_cannot_be_withdrawn(started: Started) -> None:
    begun, may_end, ran = threading.Event(), threading.Event(), threading.Event()

    def block() -> None:
        begun.set()
        assert may_end.wait(LIMIT)

    thread = started(block)
    assert begun.wait(LIMIT)
    thread.send(ran.set)
    assert thread.withdraw() is False
    may_end.set()
    assert ran.wait(LIMIT)
    wait_until_suspended(thread)
    assert thread.withdraw() is False


def test_pinned_threads_are_all_started_or_none(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[None] = []
    start = threading.Thread.start
    left: list[None] = [None] * 2

    def start_two(thread: threading.Thread) -> None:
        if not left:
            raise RuntimeError("can't start new thread")
        left.pop()
        start(thread)

    pool = _process.Pool()
    monkeypatch.setattr(_process, "pool", pool)
    threads = [PinnedThread("pinned", lambda: ran.append(None)) for _ in range(3)]
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start_two)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            start_all(threads)
    assert not any(thread.is_there for thread in threads)
    assert not pool.unfinished
    pool.join_idle()
    assert ran == []


# Delivery


class Called(list):  # type: ignore[type-arg]  # Below 3.9 it cannot be subscribed.
    """Counts its calls."""

    def __call__(self) -> None:
        self.append(None)


def test_outcome_is_delivered_once_and_kept_until_it_is_dropped() -> None:
    called, outcome = Called(), object()
    delivery: Delivery[object] = Delivery()
    delivery.when_delivered(called)
    is_delivered = [delivery.is_delivered]
    assert delivery.deliver(outcome) is True
    is_delivered.append(delivery.is_delivered)
    assert is_delivered == [False, True]
    assert len(called) == 1
    assert delivery.give_up() is False
    for _ in range(2):
        assert delivery.get() is outcome
    delivery.drop()
    assert delivery.outcome is None
    assert delivery.is_delivered


def test_outcome_that_was_given_up_is_not_kept() -> None:
    called, delivery = Called(), Delivery[int]()
    delivery.when_delivered(called)
    for _ in range(2):
        assert delivery.give_up() is True
    assert delivery.deliver(1) is False
    assert delivery.outcome is None
    assert not delivery.is_delivered
    assert called == []


def test_callback_of_what_has_been_delivered_is_called_at_once() -> None:
    called, delivery = Called(), Delivery[int]()
    delivery.when_delivered(called)
    assert called == []
    delivery.deliver(1)
    assert len(called) == 1
    delivery.when_delivered(called)
    assert len(called) == 2


def test_callback_that_is_registered_during_the_delivery_is_called() -> None:
    for moment in moments(_unwinding, _sync):
        called, delivery = Called(), Delivery[int]()
        assert moment.during(delivery.deliver, 1, happen=lambda: delivery.when_delivered(called))  # noqa: B023
        # It may be called twice: by this thread and by the other.
        assert len(called) in ([1, 2] if moment.has_come else [0])
        assert delivery.get() == 1


def test_callback_of_a_delivery_during_its_registration_is_called() -> None:
    for moment in moments(_unwinding, _sync):
        called, delivery = Called(), Delivery[int]()
        moment.during(delivery.when_delivered, called, happen=lambda: delivery.deliver(1))  # noqa: B023
        if not moment.has_come:
            delivery.deliver(1)
        assert len(called) in [1, 2]


def test_outcome_is_delivered_or_given_up() -> None:
    for moment in moments(_unwinding, _sync):
        given_up: list[bool] = []
        delivery = Delivery[int]()
        give_up = lambda: given_up.append(delivery.give_up())  # noqa: B023  # It is called in this round.
        delivered = moment.during(delivery.deliver, 1, happen=give_up)
        assert given_up == [not delivered] * moment.has_come
        assert delivery.outcome == (1 if delivered else None)


def test_outcome_is_delivered_or_given_up_by_threads_at_once() -> None:
    for _ in range(50):
        barrier, delivery = threading.Barrier(2), Delivery[int]()

        def deliver(*_: object) -> bool:
            barrier.wait(LIMIT)  # noqa: B023  # It is called in this round.
            return delivery.deliver(1)  # noqa: B023  # As above.

        delivered = ParallelExecutor.execute_one(deliver)
        barrier.wait(LIMIT)
        assert delivery.give_up() is not delivered.result(LIMIT)


@pytest.mark.parametrize("error", ERRORS)
def test_interrupted_delivery_is_repeated_with_the_same_answer(error: type[BaseException]) -> None:
    for moment in moments(_unwinding, _sync):
        called, delivery = Called(), Delivery[int]()
        delivery.when_delivered(called)
        moment.interrupt(error, delivery.deliver, 1)
        assert delivery.deliver(1) is True
        assert called
        assert delivery.get() == 1
    for moment in moments(_unwinding, _sync):
        given_up = Delivery[int]()
        moment.interrupt(error, given_up.give_up)
        assert given_up.give_up() is True


# Unwinding


def test_exit_that_suppresses_leaves_none_to_the_next() -> None:
    around = OSError()
    left = Unwinding(ValueError(), around).suppressed()
    assert left.error is None
    assert left.being_handled is around
    assert left.raised is None


def test_exit_cannot_suppress_the_failure_of_an_enter() -> None:
    unwinding = Unwinding(ValueError(), None, is_suppressible=False)
    assert unwinding.suppressed() is unwinding
    raised = OSError()
    assert unwinding.with_raised(raised).suppressed().error is raised


def test_exit_that_raises_leaves_its_own_exception_to_the_next() -> None:
    raised = OSError()
    unwinding = Unwinding(ValueError(), None)
    left = unwinding.with_raised(raised)
    assert (left.error, left.raised) == (raised, raised)
    assert left.suppressed().error is None
    assert unwinding.raised is None


# PinnedManager


class Scripted:
    """A manager that notes what happens to it."""

    def __init__(self, enter: Callable[[], object] = nothing, exit_: Callable[[], object] = nothing) -> None:
        self.log: list[Any] = []
        self.idents: set[int] = set()
        self._enter = enter
        self._exit = exit_

    def __enter__(self) -> Scripted:
        self.idents.add(threading.get_ident())
        self._enter()
        self.log.append("entered")
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> Any:
        self.idents.add(threading.get_ident())
        self.log.append(error)
        return self._exit()


def pinned(manager: Any, error: BaseException | None = None) -> PinnedManager:
    return PinnedManager(manager, copy_context(), error, [])


def wait_for(delivery: Delivery[Any]) -> Any:
    wait_until(lambda: delivery.is_delivered)
    outcome = delivery.get()
    delivery.drop()
    return outcome


def entered(manager: Any) -> PinnedManager:
    """Enters ``manager``."""
    it = pinned(manager)
    start_all([it.thread])
    outcome = wait_for(it.entering)
    assert outcome.raised is None
    return it


def order(manager: PinnedManager, error: BaseException | None = None) -> None:
    manager.order_exit(Unwinding(error, None), copy_context())


def test_manager_is_entered_and_exited_on_one_thread() -> None:
    manager = Scripted()
    it = pinned(manager)
    start_all([it.thread])
    outcome = wait_for(it.entering)
    assert (outcome.value, outcome.raised) == (manager, None)
    order(it)
    left = wait_for(it.exiting)
    assert (left.raised, left.error) == (None, None)
    assert manager.log == ["entered", None]
    assert len(manager.idents - {threading.get_ident()}) == 1


@pytest.mark.parametrize("answer", [True, False, None, "text", []])
def test_truth_of_the_answer_says_whether_an_exit_suppresses(answer: object) -> None:
    it = entered(Scripted(exit_=lambda: answer))
    error = ValueError()
    order(it, error)
    assert wait_for(it.exiting).error is (None if answer else error)


def test_answer_of_an_exit_without_exception_is_not_asked() -> None:
    class Answer:
        def __bool__(self) -> bool:
            raise AssertionError("it is asked")

    it = entered(Scripted(exit_=Answer))
    order(it)
    assert wait_for(it.exiting).raised is None


def test_enter_and_exit_handle_what_they_would_handle_in_a_with() -> None:
    around, error = KeyError(), ValueError()
    seen: list[BaseException | None] = []
    note = lambda: seen.append(sys.exc_info()[1])
    it = pinned(Scripted(note, note), around)
    start_all([it.thread])
    assert wait_for(it.entering).raised is None
    order(it, error)
    assert wait_for(it.exiting).raised is None
    assert seen == [around, error]


def test_outcomes_are_what_enter_and_exit_raise() -> None:
    raised, error = OSError(), ValueError()
    failing = pinned(Scripted(lambda: fail(raised)))
    start_all([failing.thread])
    outcome = wait_for(failing.entering)
    assert outcome.raised is raised
    assert "fail" in [entry.name for entry in traceback.extract_tb(raised.__traceback__)]
    it = entered(Scripted(exit_=lambda: fail(raised)))
    order(it, error)
    assert wait_for(it.exiting).raised is raised
    assert list(contexts_of(raised)) == [raised, error]


def test_first_order_counts() -> None:
    first, second = ValueError(), OSError()
    may_enter = threading.Event()
    manager = Scripted(lambda: may_enter.wait(LIMIT))
    it = pinned(manager)
    start_all([it.thread])
    order(it, first)
    order(it, second)
    may_enter.set()
    assert wait_for(it.exiting).raised is None
    order(it, second)
    wait_for_idle_threads()
    assert manager.log == ["entered", first]


def test_manager_exits_once_when_many_threads_order_it() -> None:
    for _ in range(20):
        manager = Scripted()
        it, barrier = entered(manager), threading.Barrier(4)

        def order_at_once(number: int) -> None:
            barrier.wait(LIMIT)  # noqa: B023  # It is called in this round.
            order(it, ValueError(number))  # noqa: B023  # As above.

        parallel_map(order_at_once, range(4)).results(timeout=LIMIT)
        wait_for_idle_threads()
        assert len(manager.log) == 2


@pytest.mark.parametrize("error", [KeyboardInterrupt, IndexError, RuntimeError])
def test_interrupted_order_is_repeated_and_the_manager_exits_once(error: type[BaseException]) -> None:
    for moment in moments(_context_manager, _pinned_thread, _sync):
        manager, first, second = Scripted(), ValueError(), OSError()
        it, caller = entered(manager), copy_context()
        moment.interrupt(error, it.order_exit, Unwinding(first, None), caller)
        order(it, second)
        assert wait_for(it.exiting).raised is None
        wait_for_idle_threads()
        assert manager.log in (["entered", first], ["entered", second])
        assert manager.log[1] is first or moment.has_come


def test_manager_that_failed_to_enter_does_not_exit() -> None:
    for orders_before in [False, True]:
        may_fail = threading.Event()

        def enter() -> None:
            assert may_fail.wait(LIMIT)  # noqa: B023  # It is called in this round.
            raise ValueError

        manager = Scripted(enter)
        it = pinned(manager)
        start_all([it.thread])
        if orders_before:
            order(it)
        may_fail.set()
        assert isinstance(wait_for(it.entering).raised, ValueError)
        order(it)
        wait_for_idle_threads()
        assert manager.log == []
        assert not it.exiting.is_delivered


def test_manager_without_exit_method_is_not_entered() -> None:
    class WithoutExit:
        def __enter__(self) -> None:
            pytest.fail("it is entered")

    it = pinned(WithoutExit())
    start_all([it.thread])
    assert isinstance(wait_for(it.entering).raised, TypeError)
    order(it)


def test_manager_that_was_never_started_is_not_exited() -> None:
    manager = Scripted()
    it = pinned(manager)
    assert it.thread.withdraw()
    order(it)
    assert manager.log == []


def test_manager_still_entering_in_the_parent_is_not_exited_in_a_child(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    may_enter = threading.Event()
    manager = Scripted(lambda: may_enter.wait(LIMIT))
    it = pinned(manager)
    start_all([it.thread])
    wait_until(lambda: manager.idents)
    with monkeypatch.context() as patch:
        patch.setattr(_process, "pool", _process.Pool())  # As in a child, where the manager's thread does not exist.
        it.abandon_with(Unwinding(ValueError(), None), copy_context())
    assert manager.log == []
    may_enter.set()
    wait_until_suspended(it.thread)
    assert manager.log == ["entered"]
    it.thread.dismiss()


def test_entered_manager_is_exited_in_a_child_by_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    manager = Scripted()
    it = entered(manager)
    wait_until_suspended(it.thread)
    with monkeypatch.context() as patch:
        patch.setattr(_process, "pool", _process.Pool())  # As above.
        order(it)
    assert manager.log == ["entered", None]
    assert threading.get_ident() in manager.idents


def test_given_up_outcomes_are_reported_by_the_managers_thread(uncaught: list[Uncaught]) -> None:
    of_enter, of_exit = OSError("enter"), OSError("exit")
    may_enter = threading.Event()

    def enter() -> None:
        assert may_enter.wait(LIMIT)
        raise of_enter

    it = pinned(Scripted(enter))
    start_all([it.thread])
    assert it.entering.give_up()
    may_enter.set()
    wait_for_idle_threads()
    other = entered(Scripted(exit_=lambda: fail(of_exit)))
    assert other.exiting.give_up()
    order(other)
    wait_for_idle_threads()
    assert [(report.exc_value, report.thread_name) for report in uncaught] == [
        (of_enter, "Scripted"),
        (of_exit, "Scripted"),
    ]


def test_exception_that_the_manager_was_told_to_exit_with_is_not_reported() -> None:
    error = ValueError()
    manager = Scripted(exit_=lambda: fail(error))
    it = entered(manager)
    it.abandon_with(Unwinding(error, None), copy_context())
    wait_for_idle_threads()
    assert manager.log == ["entered", error]


def test_abandoned_manager_exits_as_soon_as_it_is_entered() -> None:
    error, may_enter = ValueError(), threading.Event()
    manager = Scripted(lambda: may_enter.wait(LIMIT))
    it = pinned(manager)
    start_all([it.thread])
    it.abandon_with(Unwinding(error, None), copy_context())
    assert manager.log == []
    may_enter.set()
    wait_for_idle_threads()
    assert manager.log == ["entered", error]
    assert not it.entering.is_delivered
    assert not it.exiting.is_delivered


def test_outcome_that_was_delivered_before_it_was_abandoned_can_be_taken() -> None:
    raised = OSError()
    it = entered(Scripted(exit_=lambda: fail(raised)))
    order(it)
    wait_until(lambda: it.exiting.is_delivered)
    it.abandon_with(Unwinding(ValueError(), None), copy_context())
    assert it.exiting.get().raised is raised


def test_manager_sees_the_callers_variables_in_one_context() -> None:
    seen: list[str] = []

    def enter() -> None:
        seen.append(_variable.get())
        _variable.set("by the enter")

    def block() -> None:
        _variable.set("by the caller")
        it = entered(Scripted(enter, lambda: seen.append(_variable.get())))
        it.variables.copy_enter_changes_to_caller()
        seen.append(_variable.get())
        _variable.set("by the body")
        order(it)
        assert wait_for(it.exiting).raised is None

    Context().run(block)
    assert seen == ["by the caller", "by the enter", "by the body"]


@needs_reference_counts
def test_suspended_thread_does_not_keep_the_manager_alive() -> None:
    with no_collection():
        manager = Scripted()
        it = entered(manager)
        thread, freed = it.thread, weakref.ref(manager)
        wait_until_suspended(thread)
        del manager, it
        wait_until(lambda: freed() is None)
        thread.dismiss()


@needs_reference_counts
def test_manager_that_has_exited_is_not_kept_alive() -> None:
    with no_collection():
        manager = Scripted()
        it = entered(manager)
        freed = weakref.ref(manager)
        order(it)
        wait_for(it.exiting)
        del manager
        wait_until(lambda: freed() is None)


# Exits in turn: each manager's thread orders the next exit.


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
    """The manager that an interruption is about: threads are named after their managers."""


class ScriptedWakeup:
    """The wakeup of a caller that exits managers: counts, and may have the first wait end otherwise."""

    def __init__(self, woken: list[None], waits: list[Callable[[], object]]) -> None:
        self._woken = woken
        self._waits = waits
        self._wakeup = Wakeup()

    def set(self) -> None:
        self._woken.append(None)
        self._wakeup.set()

    def wait(self, timeout: float | None = None) -> bool:
        if self._waits:
            self._waits.pop()()
        return self._wakeup.wait(LIMIT if timeout is None else timeout)


@pytest.fixture
def woken(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """Counts how often the caller is woken that exits managers."""
    woken: list[None] = []
    monkeypatch.setattr(_context_exits, "Wakeup", lambda: ScriptedWakeup(woken, []))
    return woken


def leave(*managers: Manager, body: BaseException | None = None) -> BaseException | None:
    """Enters and exits managers; returns what the statement raises."""
    try:
        with parallel_contexts(managers):
            if body is not None:
                raise body
    except BaseException as error:
        return error
    return None


def test_caller_is_woken_when_all_have_exited(woken: list[None]) -> None:
    log: list[str] = []
    assert leave(*[Manager(name, log) for name in "abcd"]) is None
    assert log == ["d", "c", "b", "a"]
    assert len(woken) == 1


def test_threads_hand_on_what_exits_raise_and_suppress(woken: list[None]) -> None:
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
    assert len(woken) == 1


def test_caller_carries_on_the_variables_that_an_exit_changes(woken: list[None]) -> None:
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
    assert len(woken) == 2


def test_managers_of_a_chain_that_is_entered_again_exit_again() -> None:
    log: list[str] = []
    chain = parallel_contexts([Manager("a", log), Manager("b", log)])
    for _ in range(2):
        with chain:
            pass
    assert log == ["b", "a"] * 2


class Interruption:
    """A signal handler raises in the caller's first wait, at a moment of the exit of ``b``, of ``a``, ``b``, ``c``."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, moment: str) -> None:
        self.error = InterruptError()
        self._moment = moment
        self._reached, self._continues = threading.Event(), threading.Event()
        order_next, has_exit_changes = _context_exits._order_next, ContextVariables.has_exit_changes
        waits: list[Callable[[], object]] = [self._raise_when_reached]

        def order_next_and_stop(exited: PinnedManager, *others: Any) -> None:
            order_next(exited, *others)
            if exited.name == B.__qualname__:
                self._stop_at("ordered")

        def has_exit_changes_and_stop(variables: ContextVariables) -> bool:
            if threading.current_thread().name == B.__qualname__:
                self._stop_at("delivered")
            return has_exit_changes(variables)

        monkeypatch.setattr(_context_exits, "Wakeup", lambda: ScriptedWakeup([], waits))
        monkeypatch.setattr(_context_exits, "_order_next", order_next_and_stop)
        monkeypatch.setattr(ContextVariables, "has_exit_changes", has_exit_changes_and_stop)

    def exit_of_b(self) -> None:
        self._stop_at("exiting")

    def let_b_continue(self) -> None:
        self._continues.set()

    def _raise_when_reached(self) -> None:
        assert self._reached.wait(LIMIT)
        raise self.error

    def _stop_at(self, moment: str) -> None:
        if moment == self._moment:
            self._reached.set()
            assert self._continues.wait(LIMIT)


@pytest.mark.parametrize("is_suppressed", [False, True])
def test_caller_orders_the_next_exit_after_one_that_was_interrupted(
    monkeypatch: pytest.MonkeyPatch, uncaught: list[Uncaught], is_suppressed: bool
) -> None:
    log: list[str] = []
    interruption = Interruption(monkeypatch, "exiting")
    late = OSError()

    def exit_late() -> None:
        interruption.exit_of_b()
        raise late

    managers = [Manager("a", log, lambda: is_suppressed), B("b", log, exit_late), Manager("c", log)]
    try:
        came_out = leave(*managers, body=ValueError())
        assert came_out is (None if is_suppressed else interruption.error)
        assert isinstance(interruption.error.__context__, ValueError)
        assert log == ["c ValueError", "b ValueError", "a InterruptError"]
    finally:
        interruption.let_b_continue()
    # The caller did not wait for it, and it has not ordered the exit of a again.
    wait_for_idle_threads()
    assert log[3:] == []
    assert [report.exc_value for report in uncaught] == [late]


def test_block_that_failed_to_enter_is_not_exited_by_another_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    entered, failing = Scripted(), Scripted(lambda: fail(OSError()))
    answers: list[object] = []
    release = FutureContextCollection._release

    def exit_and_release(chain: FutureContextCollection[Any], user: Any) -> None:
        # As another thread would, between the failure and the release of the chain.
        with ParallelExecutor() as executor:
            answers.append(executor.submit(chain.__exit__, None, None, None).result(LIMIT))
        release(chain, user)

    chain = parallel(entered).parallel(failing)
    monkeypatch.setattr(FutureContextCollection, "_release", exit_and_release)
    with pytest.raises(OSError, match="^$"), chain:
        pytest.fail("it is entered")
    assert answers == [None]
    assert [type(each) for each in entered.log] == [str, OSError]


def test_interrupted_caller_orders_the_exit_before_the_thread_does(monkeypatch: pytest.MonkeyPatch) -> None:
    log: list[str] = []
    interruption = Interruption(monkeypatch, "delivered")
    raised = OSError()

    def exit_of_a() -> None:
        interruption.let_b_continue()  # Its thread wants to order this exit, too late.

    managers = [Manager("a", log, exit_of_a), B("b", log, lambda: fail(raised)), Manager("c", log)]
    try:
        came_out = leave(*managers, body=ValueError())
    finally:
        interruption.let_b_continue()
    wait_for_idle_threads()
    assert came_out is interruption.error
    assert came_out.__context__ is raised
    assert log == ["c ValueError", "b ValueError", "a InterruptError"]


def test_interrupted_caller_does_not_wait_for_an_exit_ordered_by_a_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log: list[str] = []
    interruption = Interruption(monkeypatch, "ordered")
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
        interruption.let_b_continue()
        release.set()


def test_next_manager_exits_once_if_the_caller_orders_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    # The caller orders the exit at every moment at which the thread of b is about to do so.
    order_next = _context_exits._order_next
    for moment in moments(_context_exits, _context_manager, _sync):

        def order_at_a_moment(exited: PinnedManager, following: Any, wakeup: Any) -> None:
            if exited.name != B.__qualname__:
                order_next(exited, following, wakeup)
            else:
                moment.during(order_next, exited, following, wakeup, happen=lambda: order(following))  # noqa: B023  # It is called in this round.

        monkeypatch.setattr(_context_exits, "_order_next", order_at_a_moment)
        log: list[str] = []
        assert leave(Manager("a", log), B("b", log), Manager("c", log)) is None
        assert log == ["c", "b", "a"]


@pytest.mark.parametrize("parallel_exit", [False, True])
def test_exit_that_is_given_up_before_it_is_ordered_is_ordered(
    monkeypatch: pytest.MonkeyPatch, parallel_exit: bool
) -> None:
    log: list[str] = []
    order_exit, interruptions = PinnedManager.order_exit, [InterruptError()]

    def raise_first(manager: PinnedManager, *order: Any) -> None:
        if interruptions:
            raise interruptions.pop()
        order_exit(manager, *order)

    monkeypatch.setattr(PinnedManager, "order_exit", raise_first)
    # The other manager suppresses the interruption, so nothing abandons the block.
    managers = [Manager("a", log, lambda: True), Manager("b", log)]
    with suppress(InterruptError), parallel_contexts(managers, parallel_exit=parallel_exit):
        pass
    wait_for_idle_threads()
    assert sorted(each[0] for each in log) == ["a", "b"]


@pytest.mark.parametrize("parallel_exit", [False, True])
def test_signal_handler_that_raises_while_outcomes_are_taken_loses_none(
    monkeypatch: pytest.MonkeyPatch, parallel_exit: bool
) -> None:
    log: list[str] = []
    raised, interruption = OSError(), InterruptError()
    copied: list[None] = []
    copy_exit_changes = ContextVariables.copy_exit_changes_to_caller

    def copy_and_raise(variables: ContextVariables) -> None:
        copy_exit_changes(variables)
        copied.append(None)
        if len(copied) == 2:
            raise interruption

    monkeypatch.setattr(ContextVariables, "copy_exit_changes_to_caller", copy_and_raise)
    managers = [Manager("a", log), Manager("b", log), Manager("c", log, lambda: fail(raised))]
    with pytest.raises(InterruptError) as caught, parallel_contexts(managers, parallel_exit=parallel_exit):
        pass
    wait_for_idle_threads()
    assert caught.value is interruption
    assert interruption.__context__ is raised
    assert sorted(each[0] for each in log) == ["a", "b", "c"]


def test_late_exit_leaves_the_traceback_of_what_was_raised_meanwhile() -> None:
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
