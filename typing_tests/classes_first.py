"""A class is called, then an instance of it is entered. Read by checkers only; see test_typing.py.

``instances_first.py`` has the same cases the other way round. A checker must not mix up the two in either order.
"""

from __future__ import annotations

import socket
import sqlite3
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ContextDecorator, closing, contextmanager, nullcontext, suppress
from io import BufferedReader, TextIOWrapper
from pathlib import Path
from typing import Generator, Generic, Tuple, TypeVar
from zipfile import ZipFile

from typing_extensions import Self, assert_type

from parallel import FutureCollection, FutureContextCollection, ParallelExecutor, parallel

T = TypeVar("T")


class Plain:
    """A context manager."""

    def __init__(self, number: int) -> None:
        """Takes an argument."""
        self.number = number

    def __enter__(self) -> Self:
        """Enters."""
        return self

    def __exit__(self, *args: object) -> None:
        """Exits."""


class Lent(Generic[T]):
    """A generic context manager."""

    def __init__(self, item: T) -> None:
        """Lends an item."""
        self.item = item

    def __enter__(self) -> T:
        """Enters."""
        return self.item

    def __exit__(self, *args: object) -> None:
        """Exits."""


class Both:
    """A context manager that can be called too."""

    def __call__(self, text: str) -> bytes:
        """Calls."""
        return text.encode()

    def __enter__(self) -> int:
        """Enters."""
        return 1

    def __exit__(self, *args: object) -> bool:
        """Exits."""
        return not args


class Decorator(ContextDecorator):
    """A context manager that decorates."""

    def __enter__(self) -> bytes:
        """Enters."""
        return b""

    def __exit__(self, *args: object) -> bool | None:
        """Exits."""
        return None


class Abstract(AbstractContextManager[float]):
    """A subclass of the abstract class."""

    def __enter__(self) -> float:
        """Enters."""
        return 1.5

    def __exit__(self, *args: object) -> None:
        """Exits."""


class Parser:
    """An object that can be called only."""

    def __call__(self, text: str) -> int:
        """Parses a number."""
        return int(text)


@contextmanager
def number(text: str) -> Generator[int, None, None]:
    """Yields a number."""
    yield len(text)


def temporary_directory() -> None:
    """`TemporaryDirectory`"""
    # limit: overloads_taken_together: ty
    assert_type(parallel(tempfile.TemporaryDirectory)(prefix="x").results()[0].name, str)
    assert_type(parallel(tempfile.TemporaryDirectory()), FutureContextCollection[str])


def thread_pool() -> None:
    """`ThreadPoolExecutor`"""
    # limit: overloads_of_a_constructor: ty
    assert_type(parallel(ThreadPoolExecutor)(2), FutureCollection[ThreadPoolExecutor])
    assert_type(parallel(ThreadPoolExecutor(2)), FutureContextCollection[ThreadPoolExecutor])


def own_executor() -> None:
    """`ParallelExecutor`"""
    assert_type(parallel(ParallelExecutor)(), FutureCollection[ParallelExecutor])
    assert_type(parallel(ParallelExecutor()), FutureContextCollection[ParallelExecutor])


def lock() -> None:
    """`threading.Lock`"""
    assert_type(parallel(threading.Lock)().results()[0].locked(), bool)
    assert_type(parallel(threading.Lock()), FutureContextCollection[bool])


def condition() -> None:
    """`threading.Condition`"""
    assert_type(parallel(threading.Condition)(), FutureCollection[threading.Condition])
    assert_type(parallel(threading.Condition()), FutureContextCollection[bool])


def file() -> None:
    """`open`"""
    assert_type(parallel(open)("x").results()[0].closed, bool)
    assert_type(parallel(open("x", "rb")), FutureContextCollection[BufferedReader])


def path() -> None:
    """`Path.open`"""
    assert_type(parallel(Path("x").open)().results()[0].closed, bool)
    assert_type(
        parallel(Path("x").open()).parallel(Path("x").open("w")), FutureContextCollection[TextIOWrapper, TextIOWrapper]
    )


def archive() -> None:
    """`ZipFile`"""
    assert_type(parallel(ZipFile)("x"), FutureCollection[ZipFile])
    assert_type(parallel(ZipFile("x")), FutureContextCollection[ZipFile])


def connection() -> None:
    """`socket.socket`"""
    assert_type(parallel(socket.socket)(), FutureCollection[socket.socket])
    assert_type(parallel(socket.socket()), FutureContextCollection[socket.socket])


def database() -> None:
    """`sqlite3.connect`"""
    assert_type(parallel(lambda: sqlite3.connect("x"))(), FutureCollection[sqlite3.Connection])
    assert_type(parallel(sqlite3.connect("x")).__enter__(), Tuple[sqlite3.Connection])


def empty() -> None:
    """`nullcontext`"""
    # limit: overload_taken_first: zuban
    # limit: overloads_taken_together: ty
    assert_type(parallel(nullcontext)(len("x")), FutureCollection[nullcontext[int]])
    assert_type(parallel(nullcontext(len("x"))), FutureContextCollection[int])


def suppressing() -> None:
    """`suppress`"""
    assert_type(parallel(suppress)(KeyError), FutureCollection[suppress])
    assert_type(parallel(suppress(KeyError)), FutureContextCollection[None])


def closing_files() -> None:
    """`closing`"""
    assert_type(parallel(closing)(ZipFile("x")), FutureCollection[closing[ZipFile]])
    assert_type(parallel(closing(ZipFile("x"))), FutureContextCollection[ZipFile])


def decorated() -> None:
    """a function with `@contextmanager`"""
    assert_type(parallel(number)("x").results()[0].__enter__(), int)
    assert_type(parallel(number("x")), FutureContextCollection[int])


def decorator() -> None:
    """a `ContextDecorator`"""
    # limit: class_taken_for_its_instance: pyright
    assert_type(parallel(Decorator)(), FutureCollection[Decorator])
    assert_type(parallel(Decorator()), FutureContextCollection[bytes])


def callable_manager() -> None:
    """a class of managers that are callable"""
    # limit: class_taken_for_its_instance: pyright
    assert_type(parallel(Both)(), FutureCollection[Both])
    assert_type(parallel(Both()).__enter__(), Tuple[int])


def plain_manager() -> None:
    """a class of managers that are not"""
    assert_type(parallel(Plain)(1), FutureCollection[Plain])
    assert_type(parallel(Plain(1), timeout=1), FutureContextCollection[Plain])


def generic_manager() -> None:
    """a generic class of managers"""
    assert_type(parallel(Lent)("x"), FutureCollection[Lent[str]])
    assert_type(parallel(Lent("x"), parallel_exit=True), FutureContextCollection[str])


def callable_object() -> None:
    """a class of callables that are no managers"""
    assert_type(parallel(Parser)(), FutureCollection[Parser])
    assert_type(parallel(Parser())("x"), FutureCollection[int])


def subclass() -> None:
    """a subclass of `AbstractContextManager`"""
    assert_type(parallel(Abstract)(), FutureCollection[Abstract])
    assert_type(parallel(Abstract()), FutureContextCollection[float])
