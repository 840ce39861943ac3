"""What holds for every ``with`` of parallel managers, however enters and exits fail, hang or are interrupted.

Random programs: every manager that was entered is exited exactly once, on its thread, in its context and with what went
wrong; nothing is exited that was not entered; and no failure is lost: it comes out, is in the chains or groups of what
comes out, was suppressed by an exit, or was reported through ``threading.excepthook``.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
from contextlib import contextmanager
from contextvars import ContextVar, Token
from dataclasses import dataclass
from typing import Any, Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers import LIMIT, BaseExceptionGroup, ExceptionGroup, chain_of, wait_for_idle_threads, wait_until
from parallel import parallel

CAN_INTERRUPT = hasattr(signal, "pthread_kill")
"""Whether a thread can have the main thread interrupted while that waits: not on Windows."""

LIBRARY = os.path.dirname(parallel.__code__.co_filename)  # noqa: PTH120  # As code objects have it.

_variable: ContextVar[str] = ContextVar("variable", default="unset")
_local = threading.local()


class EqualToAllError(Exception):
    __hash__ = None  # type: ignore[assignment]  # Such classes exist.

    def __eq__(self, other: object) -> bool:
        return True

    def __bool__(self) -> bool:
        return False


def waits_for_manager(thread: int) -> bool:
    """Whether a thread waits for an enter or exit, and not for a thread to begin: then all have been started."""
    # On some versions all threads stop for ever if garbage is collected in the middle of _current_frames().
    collects = gc.isenabled()
    gc.disable()
    try:
        code = sys._current_frames()[thread].f_code  # noqa: SLF001  # As documented.
        return code.co_name == "wait" and os.path.dirname(code.co_filename) == LIBRARY  # noqa: PTH120  # As above.
    finally:
        if collects:
            gc.enable()


@dataclass(frozen=True)
class Plan:
    """What one manager does."""

    enter: str = "returns"
    exit: str = "returns"


@dataclass(frozen=True)
class Program:
    plans: tuple[Plan, ...]
    body: str = "returns"
    timeout: float | None = None
    parallel_exit: bool = False


class Run:
    """One run of a program: what its managers share, and what happened."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.managers = [Manager(self, number, plan) for number, plan in enumerate(program.plans)]
        self.body_ran = False
        self.failures: list[BaseException] = []
        self.suppressed: list[BaseException | None] = []
        self.came_out: BaseException | None = None
        self.reported: list[BaseException | None] = []
        self.released = threading.Event()
        self.wrong: list[str] = []
        self._prompt = [manager for manager in self.managers if manager.plan.enter in PROMPT]
        self._due = False

    def fail(self, error: BaseException) -> BaseException:
        self.failures.append(error)
        return error

    def wait_for(self, event: threading.Event) -> None:
        if not event.wait(LIMIT):
            self.wrong.append("it did not happen in time")

    def wait_for_prompt_enters(self) -> None:
        for manager in self._prompt:
            self.wait_for(manager.enter_ended)

    def interrupt(self) -> None:
        """Interrupts the main thread, which waits for the manager that calls this."""
        main = threading.main_thread().ident
        assert main is not None
        wait_until(lambda: waits_for_manager(main))
        self._due = True

        def interrupted() -> bool:
            # A signal that comes just before the main thread blocks does not wake it up.
            signal.pthread_kill(main, signal.SIGINT)
            return not self._due

        wait_until(interrupted)

    def handle_signal(self, *_: object) -> None:
        if self._due:
            self._due = False
            raise self.fail(KeyboardInterrupt("interrupted"))

    def __call__(self) -> Run:
        with self._patched():
            try:
                self._run_block()
            except BaseException as error:
                self.came_out = error
            finally:
                self.released.set()
                # Stragglers end by themselves.
                wait_for_idle_threads()
        return self

    def _run_block(self) -> None:
        program = self.program
        chain: Any = parallel(self.managers[0], timeout=program.timeout, parallel_exit=program.parallel_exit)
        for manager in self.managers[1:]:
            chain = chain.parallel(manager)
        with chain as values:
            self.body_ran = True
            assert values == tuple(self.managers)
            if program.body == "raises":
                raise self.fail(LookupError("body"))

    @contextmanager
    def _patched(self) -> Iterator[None]:
        hook = threading.excepthook
        threading.excepthook = lambda report: self.reported.append(report.exc_value)
        signal.signal(signal.SIGINT, self.handle_signal)
        try:
            yield
        finally:
            threading.excepthook = hook


@pytest.fixture(autouse=True, scope="module")
def _sigint() -> Iterator[None]:
    """Puts the handler back, after all runs: PyPy may handle the last signal of a run when that is over."""
    handler = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, handler)


class Manager:
    def __init__(self, run: Run, number: int, plan: Plan) -> None:
        self.plan = plan
        self.name = f"manager {number}"
        self.entered = False
        self.enter_ended = threading.Event()
        self.failure: BaseException | None = None
        self.exits: list[BaseException | None] = []
        self._run = run
        self._thread = 0
        self._token: Token[str] | None = None

    def __enter__(self) -> Manager:
        self._thread = threading.get_ident()
        _local.name = self.name
        self._token = _variable.set(self.name)
        try:
            ENTERS[self.plan.enter](self._run)
            self.entered = True
        except BaseException as error:
            self.failure = error
            raise
        finally:
            self.enter_ended.set()
        return self

    def __exit__(self, exc_type: object, error: BaseException | None, traceback: object) -> Any:
        self.exits.append(error)
        if self._thread != threading.get_ident() or _local.name != self.name:
            self._run.wrong.append(f"{self.name} is exited on another thread")
        try:
            assert self._token is not None
            _variable.reset(self._token)
        except ValueError:
            self._run.wrong.append(f"{self.name} is exited in another context")
        answer = EXITS[self.plan.exit](self._run, error)
        if answer and self._run.body_ran:
            self._run.suppressed.append(error)
        return answer


# What enters do. Those that are slow, stuck or interrupt are not prompt: others end before them.


def _returns(run: Run) -> None:
    pass


def _raises(run: Run) -> None:
    raise run.fail(ValueError("enter"))


def _raises_system_exit(run: Run) -> None:
    raise run.fail(SystemExit("enter"))


def _raises_equal_to_all(run: Run) -> None:
    raise run.fail(EqualToAllError("enter"))


def _is_slow(run: Run) -> None:
    run.wait_for_prompt_enters()


def _is_slow_and_raises(run: Run) -> None:
    run.wait_for_prompt_enters()
    raise run.fail(KeyError("slow enter"))


def _is_stuck(run: Run) -> None:
    run.wait_for(run.released)


def _is_stuck_and_raises(run: Run) -> None:
    run.wait_for(run.released)
    raise run.fail(KeyError("stuck enter"))


def _interrupts(run: Run) -> None:
    run.interrupt()


def _interrupts_and_raises(run: Run) -> None:
    run.interrupt()
    raise run.fail(ValueError("interrupting enter"))


ENTERS: dict[str, Callable[[Run], None]] = {
    "returns": _returns,
    "raises": _raises,
    "raises SystemExit": _raises_system_exit,
    "raises EqualToAllError": _raises_equal_to_all,
    "is slow": _is_slow,
    "is slow and raises": _is_slow_and_raises,
    "is stuck": _is_stuck,
    "is stuck and raises": _is_stuck_and_raises,
    "interrupts": _interrupts,
    "interrupts and raises": _interrupts_and_raises,
}
PROMPT = ["returns", "raises", "raises SystemExit", "raises EqualToAllError"]
SLOW = ["is slow", "is slow and raises"]
STUCK = ["is stuck", "is stuck and raises"]
INTERRUPTING = ["interrupts", "interrupts and raises"]


# What exits do.


def _exit_returns(run: Run, error: BaseException | None) -> object:
    return None


def _exit_suppresses(run: Run, error: BaseException | None) -> object:
    return True


def _exit_raises(run: Run, error: BaseException | None) -> object:
    raise run.fail(ValueError("exit"))


def _exit_raises_system_exit(run: Run, error: BaseException | None) -> object:
    raise run.fail(SystemExit("exit"))


def _exit_raises_equal_to_all(run: Run, error: BaseException | None) -> object:
    raise run.fail(EqualToAllError("exit"))


def _exit_raises_from_none(run: Run, error: BaseException | None) -> object:
    raise run.fail(ValueError("exit")) from None


def _exit_raises_in_handler(run: Run, error: BaseException | None) -> object:
    try:
        raise run.fail(ValueError("in exit"))
    except ValueError:
        raise run.fail(KeyError("exit"))  # noqa: B904  # The implicit chain is meant.


def _exit_raises_again(run: Run, error: BaseException | None) -> object:
    if error is not None:
        raise error
    return None


def _exit_interrupts(run: Run, error: BaseException | None) -> object:
    run.interrupt()
    return None


def _exit_interrupts_and_raises(run: Run, error: BaseException | None) -> object:
    run.interrupt()
    raise run.fail(ValueError("interrupting exit"))


EXITS: dict[str, Callable[[Run, BaseException | None], object]] = {
    "returns": _exit_returns,
    "suppresses": _exit_suppresses,
    "raises": _exit_raises,
    "raises SystemExit": _exit_raises_system_exit,
    "raises EqualToAllError": _exit_raises_equal_to_all,
    "raises from None": _exit_raises_from_none,
    "raises in a handler": _exit_raises_in_handler,
    "raises again": _exit_raises_again,
    "interrupts": _exit_interrupts,
    "interrupts and raises": _exit_interrupts_and_raises,
}
QUIET_EXITS = [name for name in EXITS if "interrupts" not in name]


# Random programs.

BODIES = st.sampled_from(["returns", "raises"])


def plans(enters: list[str], exits: list[str] = QUIET_EXITS) -> st.SearchStrategy[Plan]:
    return st.builds(Plan, st.sampled_from(enters), st.sampled_from(exits))


@st.composite
def chains(draw: st.DrawFn, others: st.SearchStrategy[Plan], *needed: st.SearchStrategy[Plan]) -> tuple[Plan, ...]:
    """Some managers, and at any place those that are needed."""
    chain = draw(st.lists(others, min_size=0 if needed else 1, max_size=5))
    for plan in needed:
        chain.insert(draw(st.integers(0, len(chain))), draw(plan))
    return tuple(chain)


# What holds.


def reachable(*roots: BaseException | None) -> list[BaseException]:
    """All exceptions that can be reached: contexts, causes and members of groups."""
    found: dict[int, BaseException] = {}
    pending = list(roots)
    while pending:
        error = pending.pop()
        if error is not None and id(error) not in found:
            found[id(error)] = error
            pending += [error.__context__, error.__cause__, *getattr(error, "exceptions", ())]
    return list(found.values())


def contains(errors: list[BaseException], error: BaseException) -> bool:
    return any(each is error for each in errors)


def assert_exits_match_enters(run: Run) -> None:
    assert [len(manager.exits) for manager in run.managers] == [int(manager.entered) for manager in run.managers]


def assert_no_failure_is_lost(run: Run) -> None:
    known = reachable(run.came_out, *run.reported, *run.suppressed)
    assert [failure for failure in run.failures if not contains(known, failure)] == []


def assert_reports_are_news(run: Run) -> None:
    """``threading.excepthook`` is given what nobody else can be given, and only that."""
    known = reachable(run.came_out)
    assert [error for error in run.reported if error is None or contains(known, error)] == []


def assert_exits_know_why(run: Run) -> None:
    """If the body did not run, every exit was given all that kept it from running."""
    came_out = reachable(run.came_out)
    reasons = [manager.failure for manager in run.managers if manager.failure is not None]
    for manager in run.managers:
        for error in [] if run.body_ran else manager.exits:
            assert error is not None
            given = reachable(error)
            assert [reason for reason in reasons if contains(came_out, reason) and not contains(given, reason)] == []


def assert_exits_were_given(run: Run, failure: type[BaseException]) -> None:
    assert not run.body_ran
    for error in (run.came_out, *(error for manager in run.managers for error in manager.exits)):
        assert any(isinstance(each, failure) for each in reachable(error))


def check(program: Program) -> Run:
    run = Run(program)()
    assert run.wrong == []
    assert_exits_match_enters(run)
    assert_no_failure_is_lost(run)
    assert_reports_are_news(run)
    assert_exits_know_why(run)
    return run


@given(st.builds(Program, chains(plans(["returns"])), BODIES, parallel_exit=st.booleans()))
def test_exits_lose_nothing(program: Program) -> None:
    run = check(program)
    assert run.body_ran
    assert run.reported == []
    if program.parallel_exit:
        body_failed = run.failures[0] if program.body == "raises" else None
        assert all(error is body_failed for manager in run.managers for error in manager.exits)
        assert body_failed is None or run.came_out is None or contains(list(chain_of(run.came_out)), body_failed)


FAILING = ["raises", "raises SystemExit", "raises EqualToAllError", "is slow and raises"]


@given(st.builds(Program, chains(plans(PROMPT + SLOW), plans(FAILING)), BODIES, parallel_exit=st.booleans()))
def test_failed_enters_are_what_comes_out(program: Program) -> None:
    run = check(program)
    assert not run.body_ran
    assert run.reported == []
    failures = [manager.failure for manager in run.managers if manager.failure is not None]
    if any("raises" in manager.plan.exit for manager in run.managers if manager.entered):
        # By the contexts alone: the members of a group of exits' failures do not count.
        contexts = list(chain_of(run.came_out))
        members = [member for context in contexts for member in getattr(context, "exceptions", ())]
        assert all(contains(contexts + members, failure) for failure in failures)
    elif len(failures) == 1:
        assert run.came_out is failures[0]
    else:
        assert isinstance(run.came_out, BaseExceptionGroup)
        assert isinstance(run.came_out, ExceptionGroup) == all(isinstance(failure, Exception) for failure in failures)
        assert [id(error) for error in run.came_out.exceptions] == [id(error) for error in failures]


@given(
    st.builds(
        Program,
        chains(plans(PROMPT + SLOW + STUCK), plans(STUCK)),
        BODIES,
        timeout=st.sampled_from([0.0, 0.001, 0.01]),
        parallel_exit=st.booleans(),
    )
)
def test_managers_that_enter_too_late_are_exited_on_their_own(program: Program) -> None:
    run = check(program)
    assert_exits_were_given(run, TimeoutError)


needs_signals = pytest.mark.skipif(
    not CAN_INTERRUPT, reason="on this system no thread can interrupt the main thread while that waits"
)


@needs_signals
@given(
    st.builds(
        Program,
        chains(plans(PROMPT + SLOW + STUCK), plans(INTERRUPTING)),
        BODIES,
        parallel_exit=st.booleans(),
    )
)
def test_an_interrupt_while_entering_leaves_nothing_entered(program: Program) -> None:
    run = check(program)
    assert_exits_were_given(run, KeyboardInterrupt)


@needs_signals
@given(
    st.builds(
        Program,
        chains(plans(PROMPT + SLOW), plans(["returns"], INTERRUPTING)),
        BODIES,
    )
)
def test_an_interrupt_while_exiting_leaves_nothing_entered(program: Program) -> None:
    check(program)


@needs_signals
@pytest.mark.parametrize("body", ["returns", "raises"])
@pytest.mark.parametrize("last", ["returns", "raises", "interrupts", "interrupts and raises"])
def test_a_second_interrupt_while_exiting_leaves_nothing_entered(body: str, last: str) -> None:
    interrupting = Plan("returns", "interrupts and raises")
    run = check(Program((Plan("returns", last), interrupting, Plan(), interrupting, Plan()), body))
    interrupts = [error for error in reachable(run.came_out) if isinstance(error, KeyboardInterrupt)]
    assert len(interrupts) == 2 + last.startswith("interrupts")


@needs_signals
@pytest.mark.parametrize("body", ["returns", "raises"])
@pytest.mark.parametrize("other", ["returns", "suppresses", "raises"])
def test_an_interrupt_goes_before_the_outcome_of_parallel_exits(body: str, other: str) -> None:
    program = Program((Plan("returns", other), Plan("returns", "interrupts and raises")), body, parallel_exit=True)
    run = check(program)
    assert isinstance(run.came_out, KeyboardInterrupt)
    # That exit may still end in time: then what it raised is in the chain, else it is reported.
    assert [str(error) for error in run.reported] in ([], ["interrupting exit"])


class EndingBeforeInterrupt:
    """Ends what the main thread waits for, once a signal handler runs there; that raises when all is over."""

    def __init__(self, ends: str, failure: Exception) -> None:
        self._ends = ends
        self._failure = failure
        self._handling = threading.Event()

    def __enter__(self) -> None:
        if self._ends == "enter":
            self._fail()

    def __exit__(self, *_: object) -> None:
        if self._ends == "exit":
            self._fail()

    def _fail(self) -> None:
        main = threading.main_thread().ident
        assert main is not None

        wait_until(lambda: waits_for_manager(main))

        def handled() -> bool:
            signal.pthread_kill(main, signal.SIGINT)
            return self._handling.is_set()

        wait_until(handled)
        raise self._failure

    def handle_signal(self, *_: object) -> None:
        if not self._handling.is_set():
            self._handling.set()
            wait_for_idle_threads()
            raise KeyboardInterrupt


@needs_signals
@pytest.mark.parametrize("ends", ["enter", "exit"])
@pytest.mark.parametrize("parallel_exit", [False, True])
def test_an_interrupt_that_comes_after_a_failure_has_it_as_context(ends: str, parallel_exit: bool) -> None:
    failure = ValueError(ends)
    manager = EndingBeforeInterrupt(ends, failure)
    signal.signal(signal.SIGINT, manager.handle_signal)
    with pytest.raises(KeyboardInterrupt) as caught, parallel(manager, parallel_exit=parallel_exit):
        pass
    assert contains(reachable(caught.value), failure)
