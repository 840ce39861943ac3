"""What all tests share: no thread outlives its test, and hypothesis profiles."""

from __future__ import annotations

import gc
import itertools
import os
import platform
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Generic, NamedTuple, TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.strategies import none

from parallel import _process, _thread

settings.register_profile(
    "ci",
    max_examples=300,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("quick", settings.get_profile("ci"), max_examples=30)
settings.register_profile("nightly", settings.get_profile("ci"), max_examples=20_000, derandomize=False)

S = TypeVar("S")
K = TypeVar("K")

PYPY = platform.python_implementation() == "PyPy"

# A random program takes PyPy a second: few of them are compiled before they have ended.
PROFILE = os.environ.get("HYPOTHESIS_PROFILE", "quick" if PYPY else "ci")
settings.load_profile(PROFILE)
IS_QUICK = PROFILE == "quick"
"""Whether to try fewer inputs: where the same tests run on many interpreters."""
IS_NIGHTLY = PROFILE == "nightly"
"""Whether to try all combinations, which takes half an hour."""

LIMIT = 30.0
"""For how many seconds a test waits for what must happen, before it fails."""


def pytest_configure(config: pytest.Config) -> None:
    """Has child processes share the bytecode of what they import, or each of them would compile the library again."""
    folder = tempfile.TemporaryDirectory()
    config.add_cleanup(folder.cleanup)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ.setdefault("PYTHONPYCACHEPREFIX", folder.name)


def pytest_collection_finish() -> None:
    """Has no collection of garbage look at what was imported for all tests, which would take the longest part of it."""
    if not PYPY:
        make_hypothesis_ready()
        gc.collect()
        gc.freeze()


@given(none())
def make_hypothesis_ready(_: None) -> None:
    """Has Hypothesis make its random generator, of which it wants to know from the collector who holds it."""


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


def busy_threads() -> list[threading.Thread]:
    """All threads but the library's idle ones, which end by themselves."""
    return [thread for thread in threading.enumerate() if thread.name != _thread.IDLE_NAME]


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


def rounds_until(condition: Callable[[], object], limit: float = LIMIT) -> Iterator[int]:
    """Yields the numbers of rounds until enough has happened, however long a round takes; fails if it never does."""
    end = time.monotonic() + limit
    for number in itertools.count():
        if condition():
            return
        assert time.monotonic() < end, f"not enough happened in {number} rounds"
        yield number


def wait_for_idle_threads() -> None:
    """Waits until no thread of the library does anything."""
    wait_until(lambda: not _process.pool.unfinished)


@pytest.fixture(autouse=True)
def no_thread_outlives_its_test() -> Iterator[None]:
    """Fails a test that leaves a thread behind, but for the library's idle ones."""
    before = set(busy_threads())
    yield
    left: list[threading.Thread] = []

    def none_is_left() -> bool:
        left[:] = [thread for thread in busy_threads() if thread not in before]
        return not left

    try:
        wait_until(none_is_left)
    except AssertionError:
        frames = sys._current_frames()
        stacks = ["".join(traceback.format_stack(frames.get(thread.ident or 0))) for thread in left]
        pytest.fail("\n\n".join(f"{thread!r} is left, in\n{stack}" for thread, stack in zip(left, stacks)))


class Uncaught(NamedTuple):
    """What ``threading.excepthook`` was given."""

    exc_value: BaseException | None
    thread_name: str


@pytest.fixture(autouse=True)
def _uncaught(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Uncaught]]:
    """Fails a test in which an error was reported through ``threading.excepthook``, unless it asks for ``uncaught``."""
    reported: list[Uncaught] = []

    def note(report: threading.ExceptHookArgs) -> None:
        # The thread goes on, under another name.
        reported.append(Uncaught(report.exc_value, report.thread.name if report.thread else ""))

    monkeypatch.setattr(threading, "excepthook", note)
    yield reported
    free_garbage()  # Of this test, not of the next.
    if "uncaught" not in request.fixturenames:
        assert reported == []


@pytest.fixture
def uncaught(_uncaught: list[Uncaught]) -> list[Uncaught]:
    """What was reported through ``threading.excepthook`` during the test."""
    return _uncaught
