"""The message of an exception group names the calls, or the context managers, that failed."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import Iterator, NoReturn

import pytest

from parallel import parallel, parallel_map

if sys.version_info < (3, 11):
    from exceptiongroup import BaseExceptionGroup


def load(number: int) -> NoReturn:
    raise LookupError(number)


def fetch(number: int) -> NoReturn:
    raise OSError(number)


@contextmanager
def connect(*, enter: bool = True, leave: bool = True) -> Iterator[None]:
    if not enter:
        raise ConnectionError
    yield
    if not leave:
        raise ConnectionError


@contextmanager
def listen(*, enter: bool = True, leave: bool = True) -> Iterator[None]:
    with connect(enter=enter, leave=leave):
        yield


def message(raised: pytest.ExceptionInfo[BaseExceptionGroup[BaseException]]) -> str:
    return str(raised.value.message)


def test_group_names_the_calls_that_failed() -> None:
    with pytest.raises(BaseExceptionGroup) as raised:
        parallel(load)(1).parallel(int)(2).parallel(fetch)(3).results()
    assert message(raised) == "2 of 3 calls failed: load, fetch"


def test_long_list_of_names_is_cut_short() -> None:
    with pytest.raises(BaseExceptionGroup) as raised:
        parallel_map(load, range(13)).results()
    assert message(raised) == f"13 of 13 calls failed: {'load, ' * 10}and 3 more"


def test_group_names_the_managers_that_failed_to_enter() -> None:
    with pytest.raises(BaseExceptionGroup) as raised:
        with parallel(connect(enter=False)).parallel(listen()).parallel(listen(enter=False)):
            pass
    assert message(raised) == "2 of 3 context managers failed to enter: connect, listen"


def test_group_names_the_managers_that_failed_to_exit() -> None:
    with pytest.raises(BaseExceptionGroup) as raised:
        with parallel(connect(leave=False), parallel_exit=True).parallel(listen()).parallel(listen(leave=False)):
            pass
    assert message(raised) == "2 of 3 context managers failed to exit: connect, listen"
