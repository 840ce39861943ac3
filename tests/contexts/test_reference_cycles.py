"""An exception that propagates from a block is freed by reference counts alone, whatever the managers raise."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import Any, Callable, Iterator

import pytest

from helpers import PYPY, wait_until
from parallel import FutureContextCollection, parallel_contexts

pytestmark = pytest.mark.skipif(PYPY, reason="PyPy frees nothing without a collection")


class NotedError(Exception):
    """An exception that can be weakly referenced."""


def raise_given(error: BaseException) -> None:
    try:
        raise error
    finally:
        del error


def raise_other(_: BaseException) -> None:
    raise NotedError


def raise_from_given(error: BaseException) -> None:
    raise NotedError from error


def raise_given_in_handler(error: BaseException) -> None:
    try:
        raise NotedError
    except NotedError:
        raise_given(error)
    finally:
        del error


class Exits:
    """Exits as it is told, and holds no exception itself."""

    def __init__(self, leave: Callable[[BaseException], object] | None = None) -> None:
        self._leave = leave

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, trace: object) -> None:
        try:
            if self._leave is not None and error is not None:
                self._leave(error)
        finally:
            del error, trace


class FailsToEnter(Exits):
    def __enter__(self) -> None:
        raise NotedError


@pytest.fixture(autouse=True)
def _no_collection() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def leave(chain: FutureContextCollection[Any]) -> weakref.ref[Exception]:
    try:
        with chain:
            raise NotedError
    except Exception as error:
        return weakref.ref(error)
    raise AssertionError


def leave_on_event_loop(chain: FutureContextCollection[Any]) -> weakref.ref[Exception]:
    async def main() -> weakref.ref[Exception]:
        try:
            async with chain:
                raise NotedError
        except Exception as error:
            return weakref.ref(error)
        raise AssertionError

    return asyncio.run(main())


@pytest.mark.parametrize("leaving", [leave, leave_on_event_loop])
@pytest.mark.parametrize("parallel_exit", [False, True])
@pytest.mark.parametrize("raising", [None, raise_given, raise_other, raise_from_given, raise_given_in_handler])
def test_exceptions_and_chain_are_in_no_cycle(
    leaving: Callable[[Any], Any], parallel_exit: bool, raising: Callable[[BaseException], object] | None
) -> None:
    for managers in [
        [Exits(raising)],
        [Exits(), Exits(raising)],
        [Exits(raising), Exits()],
        [FailsToEnter(), Exits(raising)],
        [FailsToEnter(), FailsToEnter(), Exits(raising)],
    ]:
        chain = parallel_contexts(managers, parallel_exit=parallel_exit)
        error, freed = leaving(chain), weakref.ref(chain)
        del chain
        # A thread may be about to drop what it had.
        wait_until(lambda: error() is None and freed() is None)  # noqa: B023  # It is called in this round.
