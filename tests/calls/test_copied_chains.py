"""A copy of a chain of calls reports no error a second time, whether copying is refused or not."""

from __future__ import annotations

import copy
import gc
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable, Iterator

import pytest

from helpers import LIMIT, PYPY, Uncaught, fail, wait_for_idle_threads, wait_until
from parallel import FutureCollection, parallel


class FailedError(Exception):
    pass


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """An event that a call waits for, set at the end of the test in any case."""
    gate = threading.Event()
    yield gate
    gate.set()


def failed(error: BaseException) -> FutureCollection[Any]:
    """A chain of one call, which has failed."""
    with ThreadPoolExecutor(1) as executor:
        return parallel(fail, executor=executor)(error)


def copied(chain: FutureCollection[Any], copying: Callable[[Any], Any]) -> FutureCollection[Any] | None:
    """A copy of a chain, or nothing where copying is refused."""
    try:
        copy_of_it: FutureCollection[Any] = copying(chain)
    except TypeError:
        return None
    return copy_of_it


def settled(uncaught: list[Uncaught]) -> list[BaseException | None]:
    """The errors reported after everything has ended that could still report one."""
    gc.collect()
    wait_for_idle_threads()
    gc.collect()
    return [report.exc_value for report in uncaught]


# On PyPy, locks can be copied, and so deep copies are chains with calls and errors of their own.
COPYINGS = [copy.copy] if PYPY else [copy.copy, copy.deepcopy]
copyings = pytest.mark.parametrize("copying", COPYINGS, ids=lambda each: each.__name__)


@copyings
def test_error_of_a_copied_chain_is_reported_once(uncaught: list[Uncaught], copying: Callable[[Any], Any]) -> None:
    error = FailedError()
    calls = failed(error)
    another = copied(calls, copying)
    del calls, another
    assert len(settled(uncaught)) == 1


@copyings
def test_error_of_a_chain_copied_while_it_runs_is_reported_once(
    uncaught: list[Uncaught], gate: threading.Event, copying: Callable[[Any], Any]
) -> None:
    def fail_late() -> None:
        assert gate.wait(LIMIT)
        raise FailedError

    calls = parallel(fail_late)()
    another = copied(calls, copying)
    del calls, another
    gc.collect()
    gate.set()
    wait_until(lambda: uncaught)
    assert len(settled(uncaught)) == 1


@copyings
def test_error_taken_from_a_chain_is_not_reported_by_its_copy(
    uncaught: list[Uncaught], copying: Callable[[Any], Any]
) -> None:
    calls = failed(FailedError())
    another = copied(calls, copying)
    with pytest.raises(FailedError):
        calls.results(timeout=LIMIT)
    del calls, another
    assert settled(uncaught) == []


@copyings
def test_copying_leaves_the_chain_usable(copying: Callable[[Any], Any]) -> None:
    calls = parallel(int)()
    copied(calls, copying)
    assert calls.parallel(str)(1).results(timeout=LIMIT) == (0, "1")
