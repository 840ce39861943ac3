"""What tests of all folders use: time limits and waits, scripted races, managers that do what they are told.

All that the tests outside of ``unit/`` know of the library's inside stands here, in ``Idle threads``.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import os
import platform
import sys
import threading
import time
from dis import opname
from queue import Empty
from types import FrameType, ModuleType
from typing import Any, Callable, Coroutine, Generic, Iterable, Iterator, NamedTuple, Sequence, TypeVar

import pytest

from parallel import Cancellation, _process, _sync, _thread, _threads
from parallel._compat import BaseExceptionGroup as BaseExceptionGroup  # noqa: PLC0414  # Tests import it from here.
from parallel._compat import ExceptionGroup as ExceptionGroup  # noqa: PLC0414  # As above.
from parallel._compat import getprofile as getprofile  # noqa: PLC0414  # As above; threading has it from 3.10 on.
from parallel._compat import gettrace as gettrace  # noqa: PLC0414  # As above.

S = TypeVar("S")
T = TypeVar("T")
K = TypeVar("K")

Run = Callable[[Coroutine[Any, Any, Any]], Any]
"""Runs a coroutine on a new loop."""

PYPY = platform.python_implementation() == "PyPy"

# A random program takes PyPy a second: few of them are compiled before they have ended.
PROFILE = os.environ.get("HYPOTHESIS_PROFILE", "quick" if PYPY else "ci")
IS_QUICK = PROFILE == "quick"
"""Whether to try fewer inputs: where the same tests run on many interpreters."""
IS_NIGHTLY = PROFILE == "nightly"
"""Whether to try all combinations, which takes half an hour."""

LIMIT = 30.0
"""For how many seconds a test waits for what must happen, before it fails."""


# Waits


def free_garbage() -> None:
    """Frees what nobody holds any more, which PyPy does only when it collects garbage."""
    if PYPY:
        gc.collect()


def wait_until(condition: Callable[[], object], limit: float = LIMIT) -> None:
    """Waits for what no event tells of; fails if it does not happen."""
    begun = time.monotonic()
    for turn in itertools.count(1):
        if condition():
            return
        assert time.monotonic() < begun + limit, "it did not happen in time"
        time.sleep(0.001)
        if turn % 100 == 0:  # A collection takes PyPy long, and what is waited for is mostly something else.
            free_garbage()


async def until(condition: Callable[[], object]) -> None:
    """Waits for what no event of the loop tells of."""
    while not condition():
        await asyncio.sleep(0.001)
        free_garbage()


def rounds_until(condition: Callable[[], object], limit: float = LIMIT) -> Iterator[int]:
    """Yields the numbers of rounds until enough has happened, however long a round takes; fails if it never does."""
    end = time.monotonic() + limit
    for number in itertools.count():
        if condition():
            return
        assert time.monotonic() < end, f"not enough happened in {number} rounds"
        yield number


# Idle threads

IDLE_NAME = _thread.IDLE_NAME


def busy_threads() -> list[threading.Thread]:
    """All threads but the library's idle ones, which end by themselves."""
    return [thread for thread in threading.enumerate() if thread.name != IDLE_NAME]


def wait_for_idle_threads() -> None:
    """Waits until no thread of the library does anything."""
    wait_until(lambda: not _process.pool.unfinished)


def count_idle_threads() -> int:
    """Returns how many threads the library's accounting has for idle."""
    return len(_process.pool._threads._tokens)


def give_own_threads(patch: pytest.MonkeyPatch) -> None:
    """Gives the test threads of its own, none of which is idle yet."""
    patch.setattr(_process, "pool", _process.Pool())


def set_idle_seconds(patch: pytest.MonkeyPatch, seconds: float) -> None:
    """Has idle threads end after ``seconds``."""
    patch.setattr(_threads, "IDLE_SECONDS", seconds)


def join_idle_threads() -> None:
    """Ends the library's threads, once all of them are idle."""
    wait_for_idle_threads()
    _process.pool.join_idle()


def wake_idle_threads() -> None:
    """Wakes the threads that wait for work, and gives them none, for which they might let go of the last."""
    for wakeup in _process.pool._threads._queue._waiting.copy():
        wakeup.set()


def refuse_new_threads(patch: pytest.MonkeyPatch) -> None:
    """Has the system start no thread any more, and ends those that are idle."""

    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    join_idle_threads()
    patch.setattr(threading.Thread, "start", start)


# Inputs


class Rotation(Generic[K]):
    """Pairs scenarios with kinds of something, in turn: every scenario and every kind is tried, not every pair.

    Each Python version begins with another kind. The profile ``nightly`` has all pairs.
    """

    def __init__(self, kinds: Sequence[K]) -> None:
        self._kinds = kinds
        self._turn = itertools.count(sys.version_info[1])

    def pairs(self, scenarios: Iterable[S], number: int = 1) -> list[tuple[S, K]]:
        """Pairs each scenario with ``number`` of the kinds."""
        return [(scenario, kind) for scenario in scenarios for kind in self.some(number)]

    def some(self, number: int) -> list[K]:
        """Returns the next ``number`` kinds, or all."""
        if IS_NIGHTLY or number >= len(self._kinds):
            return list(self._kinds)
        return [self._kinds[next(self._turn) % len(self._kinds)] for _ in range(number)]


# Calls and managers


def futures_of(calls: Any) -> list[Any]:
    """Returns the futures of a chain, which still reports their errors; ``.futures`` would leave that to the caller."""
    return [link.future for link in calls._links]


def has_ended(it: Cancellation) -> bool:
    """Whether the call or the enter has ended without having been asked to stop."""
    return it._request.fate.holder == "ended"


def fail(error: BaseException) -> None:
    raise error


def chain_of(error: BaseException | None) -> Iterator[BaseException]:
    """Yields ``error``, its context, the context's context and so on, each once."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__context__


class InterruptError(BaseException):
    """What a signal handler raises."""


class Gate:
    """A call that is inside its function until it is let go."""

    def __init__(self, outcome: Any = None) -> None:
        self.inside = threading.Event()
        self.go = threading.Event()
        self.outcome = outcome

    def __enter__(self) -> Gate:
        return self

    def __exit__(self, *_: object) -> None:
        self.go.set()

    def call(self) -> Any:
        self.inside.set()
        assert self.go.wait(LIMIT)
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        return self.outcome


class Manager:
    """Notes on which thread and with what it is entered and exited, and does what it is told.

    ``enter=`` and ``exit=`` tell it: it waits for an event, raises an exception, calls a function.
    """

    def __init__(self, name: str = "", log: list[str] | None = None, *, enter: Any = None, exit: Any = None) -> None:  # noqa: A002  # As the method.
        self.name = name
        self.log = [] if log is None else log
        self.on_enter = enter
        self.on_exit = exit
        self.threads: list[int] = []
        self.exits: list[BaseException | None] = []
        self.inside = threading.Event()
        self.left = threading.Event()

    def __enter__(self) -> str:
        self.threads.append(threading.get_ident())
        self.inside.set()
        self._do(self.on_enter)
        self.log.append(f"enter {self.name}")
        return self.name

    def __exit__(self, exc_type: object, exc_value: BaseException | None, traceback: object) -> Any:
        self.threads.append(threading.get_ident())
        self.exits.append(exc_value)
        self.log.append(f"exit {self.name}")
        try:
            return self._do(self.on_exit)
        finally:
            self.left.set()

    def _do(self, action: Any) -> Any:
        if isinstance(action, threading.Event):
            assert action.wait(LIMIT)
            return None
        if isinstance(action, BaseException):
            raise action
        return action() if callable(action) else action


class Uncaught(NamedTuple):
    """What ``threading.excepthook`` was given."""

    exc_value: BaseException | None
    thread_name: str


# Scripted moments


ERRORS = [RuntimeError, IndexError, RecursionError, KeyboardInterrupt, OSError, MemoryError, ValueError, Empty]
if IS_QUICK:
    del ERRORS[2:]
"""Classes of exceptions that a signal handler may raise; some of them are also raised by what the library calls."""


EVENT = "line" if PYPY else "opcode"
"""The trace events that are counted; PyPy has none for opcodes."""


SKIPPED = {"NOP", "NOT_TAKEN"} | ({"PUSH_EXC_INFO", "POP_EXCEPT"} if sys.version_info >= (3, 11) else set())
"""Opcodes before which no signal handler runs.

The compiler may leave them out of a ``try`` statement's range, or the interpreter would still handle an exception.
"""


def is_skipped(frame: FrameType) -> bool:
    return opname[frame.f_code.co_code[frame.f_lasti]] in SKIPPED


class Moment:
    """A moment of a call: before the n-th line or opcode that this thread runs in some modules, something happens."""

    def __init__(self, number: int, modules: tuple[ModuleType, ...]) -> None:
        self.has_come = False
        self._left = number
        self._files = {module.__file__ for module in modules}
        self._happen: Callable[[], object] = int

    def during(self, func: Callable[..., T], *args: Any, happen: Callable[[], object]) -> T:
        """Calls ``func`` and, at this moment of it, ``happen``."""
        self._happen = happen
        previous, collects = sys.gettrace(), gc.isenabled()
        gc.disable()  # A finalizer could run the same modules.
        if not PYPY:
            # Python 3.12 looks once, in settrace(), whether any frame has ever asked for opcodes.
            sys._getframe().f_trace_opcodes = True
        sys.settrace(self._trace)
        try:
            return func(*args)
        finally:
            sys.settrace(previous)
            if collects:
                gc.enable()

    def interrupt(self, cls: type[BaseException], func: Callable[..., object], *args: Any) -> None:
        """Calls ``func``, in which a signal handler raises at this moment; fails if that does not propagate."""
        error = cls("of a signal handler")

        def handle_signal() -> None:
            raise error

        handled = sys.exc_info()[1]
        try:
            self.during(func, *args, happen=handle_signal)
        except BaseException as raised:
            if raised is not error:
                raise
        else:
            assert not self.has_come, f"{cls.__name__} is swallowed"
        assert sys.exc_info()[1] is handled

    def _trace(self, frame: FrameType, event: str, _: object) -> Callable[..., Any] | None:
        if frame.f_code.co_filename not in self._files:
            return None
        if not PYPY:
            frame.f_trace_opcodes = True
        if event == EVENT and not self.has_come and not is_skipped(frame):
            self._left -= 1
            if not self._left:
                self.has_come = True
                self._happen()
        return self._trace


def moments(*modules: ModuleType) -> Iterator[Moment]:
    """Yields one moment after the other, until a call ends before its moment has come.

    In the profile ``quick`` it is every other opcode, the odd ones or the even ones by the Python version.
    """
    first, step = (1 + sys.version_info[1] % 2, 2) if IS_QUICK and not PYPY else (1, 1)
    for number in itertools.count(first, step):
        moment = Moment(number, modules)
        yield moment
        if not moment.has_come:
            assert number > first, "nothing of these modules ran"
            return


class ScriptedLock:
    """A latch's lock that counts the threads that wait.

    When ``number`` other threads wait, the latch is opened, and the thread that made this lock passes first.
    """

    def __init__(self, latch: _sync.Latch, number: int) -> None:
        self.waiting: list[None] = []
        # The lock's own methods, so that what they raise has no further entry in its traceback.
        self.release, self.locked = latch._lock.release, latch._lock.locked
        self._latch = latch
        self._lock = latch._lock
        self._number = number
        self._main = threading.get_ident()
        vars(latch)["_lock"] = self

    def acquire(self, *arguments: Any) -> bool:
        if threading.get_ident() != self._main:
            self.waiting.append(None)
            return self._lock.acquire(*arguments)
        self.wait_for_threads()
        # Another thread has released the lock in open(), and this one has acquired it.
        self._latch.is_open = True
        return True

    def wait_for_threads(self) -> None:
        wait_until(lambda: len(self.waiting) == self._number)
