"""What holds for all tests: no thread outlives its test, no error is lost; and Hypothesis's profiles."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import tempfile
import threading
import traceback
from typing import Any, Callable, Coroutine, Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.strategies import none

from helpers import LIMIT, PROFILE, PYPY, Run, Uncaught, busy_threads, free_garbage, give_own_threads, wait_until

settings.register_profile(
    "ci",
    max_examples=300,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("quick", settings.get_profile("ci"), max_examples=30)
settings.register_profile("nightly", settings.get_profile("ci"), max_examples=20_000, derandomize=False)
settings.load_profile(PROFILE)


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
        frames = sys._current_frames()  # noqa: SLF001  # As documented.
        stacks = ["".join(traceback.format_stack(frames.get(thread.ident or 0))) for thread in left]
        pytest.fail("\n\n".join(f"{thread!r} is left, in\n{stack}" for thread, stack in zip(left, stacks)))


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


@pytest.fixture
def own_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads of the test's own: whatever becomes of them, other tests have others."""
    give_own_threads(monkeypatch)


@pytest.fixture
def log() -> list[str]:
    """What managers did."""
    return []


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    """Runs a coroutine on a new loop, as ``asyncio.run`` does; whatever a loop has to complain of fails the test."""
    new_loop: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
    if request.param == "uvloop":
        new_loop = pytest.importorskip("uvloop", reason="uvloop is not installed").new_event_loop
    problems: list[dict[str, Any]] = []

    def run_on_new_loop(coroutine: Coroutine[Any, Any, Any]) -> Any:
        loop = new_loop()
        try:
            loop.set_debug(True)
            loop.set_exception_handler(lambda _, problem: problems.append(problem))
            return loop.run_until_complete(asyncio.wait_for(coroutine, 2 * LIMIT))
        finally:
            loop.close()

    yield run_on_new_loop
    assert problems == []
