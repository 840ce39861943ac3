"""Chains of context managers give a tuple of exactly what each enters to. Read by checkers only; see test_typing.py."""

from __future__ import annotations

import contextlib
import sqlite3
import tempfile
import threading
from concurrent.futures import Future
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from types import TracebackType
from typing import Any, ContextManager, Generator, Generic, Literal, Tuple, TypeVar

from typing_extensions import Self, TypeVarTuple, Unpack, assert_type

from parallel import FutureCollection, FutureContextCollection, parallel

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


@contextmanager
def connection(host: str) -> Generator[int, None, None]:
    """Yields a number."""
    yield len(host)


@contextmanager
def folder() -> Generator[str, None, None]:
    """Yields a text."""
    yield ""


class ReturnsNone:
    """Its exit returns nothing."""

    def __enter__(self) -> Self:
        """Enters."""
        return self

    def __exit__(self, *args: object) -> None:
        """Leaves."""


class ReturnsBool:
    """Its exit says whether to suppress."""

    def __enter__(self) -> int:
        """Enters."""
        return 1

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        """Leaves."""
        return exc_type is KeyError


class Inherits(ReturnsBool):
    """A subclass that inherits both methods."""


class ReturnsTrue:
    """Its exit always suppresses."""

    def __enter__(self) -> str:
        """Enters."""
        return ""

    def __exit__(self, *args: object) -> Literal[True]:
        """Leaves."""
        return True


class ReturnsFalse:
    """Its exit never suppresses."""

    def __enter__(self) -> bytes:
        """Enters."""
        return b""

    def __exit__(self, *args: object) -> Literal[False]:
        """Leaves."""
        return False


class ReturnsAny:
    """Its exit returns anything."""

    def __enter__(self) -> float:
        """Enters."""
        return 2.5

    def __exit__(self, *args: object) -> Any:
        """Leaves."""


class ReturnsOptionalBool(AbstractContextManager[int]):
    """A subclass of the abstract class, whose exit may say nothing."""

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        """Leaves."""
        return None

    def __enter__(self) -> int:
        """Enters."""
        return 1


class Lent(Generic[T]):
    """A generic context manager."""

    def __init__(self, item: T) -> None:
        """Lends an item."""
        self.item = item

    def __enter__(self) -> T:
        """Enters."""
        return self.item

    def __exit__(self, *args: object) -> None:
        """Leaves."""


class Both:
    """A context manager that can be called too."""

    def __call__(self, text: str) -> bytes:
        """Calls."""
        return text.encode()

    def __enter__(self) -> int:
        """Enters."""
        return 1

    def __exit__(self, *args: object) -> None:
        """Leaves."""


def one_manager() -> None:
    """one context manager"""
    assert_type(parallel(connection("")), FutureContextCollection[int])
    with parallel(connection("")) as (first,):
        assert_type(first, int)


def two_managers_unpacked() -> None:
    """two, unpacked"""
    with parallel(connection("")).parallel(folder()) as (first, second):
        assert_type(first, int)
        assert_type(second, str)


def two_managers_whole() -> None:
    """two, as one target"""
    with parallel(connection("")).parallel(folder()) as entered:
        assert_type(entered, Tuple[int, str])


def no_target() -> None:
    """no target"""
    with parallel(connection("")).parallel(folder()):
        pass


def eight_managers() -> None:
    """eight"""
    chain = (
        parallel(connection(""))
        .parallel(folder())
        .parallel(ReturnsNone())
        .parallel(ReturnsBool())
        .parallel(ReturnsTrue())
        .parallel(ReturnsFalse())
        .parallel(connection(""))
        .parallel(folder())
    )
    with chain as entered:
        assert_type(entered, Tuple[int, str, ReturnsNone, int, str, bytes, int, str])


def twenty_five_managers() -> None:
    """twenty-five"""
    chain = (
        parallel(connection(""))
        .parallel(folder())
        .parallel(connection(""))
        .parallel(folder())
        .parallel(connection(""))
        .parallel(folder())
        .parallel(connection(""))
        .parallel(folder())
        .parallel(connection(""))
        .parallel(folder())
        .parallel(connection(""))
        .parallel(folder())
        .parallel(connection(""))
        .parallel(folder())
        .parallel(connection(""))
        .parallel(folder())
        .parallel(connection(""))
        .parallel(folder())
        .parallel(connection(""))
        .parallel(folder())
        .parallel(connection(""))
        .parallel(folder())
        .parallel(connection(""))
        .parallel(folder())
        .parallel(ReturnsAny())
    )
    with chain as entered:
        assert_type(entered[0], int)
        assert_type(entered[23], str)
        assert_type(entered[24], float)


def options() -> None:
    """`timeout=` and `parallel_exit=`"""
    with parallel(connection(""), timeout=2.5, parallel_exit=True).parallel(folder()) as (first, second):
        assert_type(first, int)
        assert_type(second, str)
    assert_type(parallel(connection(""), timeout=None), FutureContextCollection[int])


def create() -> None:
    """`FutureContextCollection.create`"""
    chain = FutureContextCollection.create(connection(""), timeout=1, parallel_exit=True)
    assert_type(chain.parallel(folder()), FutureContextCollection[int, str])


def exit_returns_none() -> None:
    """`__exit__` that returns `None`, `__enter__` that returns `Self`"""
    with parallel(ReturnsNone()) as (entered,):
        assert_type(entered, ReturnsNone)


def exit_returns_bool() -> None:
    """`__exit__` that returns `bool`"""
    with parallel(ReturnsBool()).parallel(Inherits()) as entered:
        assert_type(entered, Tuple[int, int])


def exit_returns_optional_bool() -> None:
    """`__exit__` that returns `Optional[bool]`"""
    with parallel(ReturnsOptionalBool()) as entered:
        assert_type(entered, Tuple[int])


def exit_returns_literal() -> None:
    """`__exit__` that returns `Literal[True]` or `Literal[False]`"""
    with parallel(ReturnsTrue()).parallel(ReturnsFalse()) as entered:
        assert_type(entered, Tuple[str, bytes])


def exit_returns_any() -> None:
    """`__exit__` that returns `Any`"""
    with parallel(ReturnsAny()) as entered:
        assert_type(entered, Tuple[float])


def subclass_of_abstract_class(manager: AbstractContextManager[bytes], other: ContextManager[str]) -> None:
    """`AbstractContextManager`, `ContextManager` and a subclass"""
    with parallel(manager).parallel(other).parallel(ReturnsOptionalBool()) as entered:
        assert_type(entered, Tuple[bytes, str, int])


def generic_manager(item: T) -> T:
    """a generic context manager"""
    with parallel(Lent(item)).parallel(Lent("x")) as (mine, text):
        assert_type(text, str)
        return mine


def standard_library_files() -> None:
    """files, folders, locks of the standard library"""
    with parallel(open("x", "rb")).parallel(open("x")) as (binary, text):
        assert_type(binary.read(), bytes)
        assert_type(text.read(), str)
    with parallel(tempfile.TemporaryDirectory()).parallel(threading.Lock()) as (path, acquired):
        assert_type(path, str)
        assert_type(acquired, bool)


def standard_library_contextlib(stack: ExitStack[bool | None]) -> None:
    """`nullcontext`, `suppress`, `closing`, `ExitStack`, a database"""
    with parallel(nullcontext(len("x"))).parallel(suppress(KeyError)) as entered:
        assert_type(entered, Tuple[int, None])
    with parallel(contextlib.closing(sqlite3.connect(":memory:"))).parallel(stack) as (database, same_stack):
        assert_type(database, sqlite3.Connection)
        same_stack.enter_context(database)


def both_manager_and_callable() -> None:
    """what is both a context manager and callable, entered"""
    with parallel(Both()) as entered:
        assert_type(entered, Tuple[int])
    with parallel(folder()).parallel(Both()) as (_, number):
        assert_type(number, int)
    assert_type(parallel(Both(), timeout=1).parallel(Both()), FutureContextCollection[int, int])


def both_called() -> None:
    """the same, called"""
    assert_type(parallel(Both())("x"), FutureCollection[bytes])
    assert_type(parallel(len)("x").parallel(Both())("x").results(), Tuple[int, bytes])
    assert_type(parallel(Both())("x").parallel(len)("x").results(), Tuple[bytes, int])


def both_as_chain_of_managers() -> None:
    """the same, given to a function that takes a chain of managers"""
    chain: FutureContextCollection[int] = parallel(Both())
    with chain as entered:
        assert_type(entered, Tuple[int])
    assert_type(chain_of_any_length(parallel(Both())), Tuple[int])


def both_called_in_lambda() -> None:
    """the same, called in a lambda"""
    assert_type(parallel(lambda: Both()("x"))(), FutureCollection[bytes])


def class_of_managers() -> None:
    """a class of context managers, called"""
    assert_type(parallel(ReturnsNone)(), FutureCollection[ReturnsNone])
    assert_type(parallel(connection)("x").results()[0].__enter__(), int)


def calls_and_managers() -> None:
    """results entered"""
    with parallel(Lent(parallel(connection)("x").results()[0])) as (manager,):
        manager.__exit__(None, None, None)


def chain_as_parameter(chain: FutureContextCollection[int, str]) -> str:
    """a chain as a parameter"""
    with chain.parallel(ReturnsFalse()) as (first, second, third):
        assert_type(first, int)
        assert_type(third, bytes)
        return second


def chain_of_any_length(chain: FutureContextCollection[Unpack[Ts]]) -> tuple[Unpack[Ts]]:
    """a function that takes chains of any length"""
    with chain as entered:
        return entered


def chain_given_to_generic_function() -> None:
    """a chain given to a function that takes any"""
    assert_type(chain_of_any_length(parallel(connection("")).parallel(folder())), Tuple[int, str])


def chain_in_chain() -> None:
    """a chain as a context manager of a chain"""
    with parallel(parallel(connection("")).parallel(folder())).parallel(folder()) as (inner, outer):
        assert_type(inner, Tuple[int, str])
        assert_type(outer, str)


def chain_in_exit_stack() -> None:
    """a chain in an `ExitStack`, and among other context managers"""
    with ExitStack() as stack:
        assert_type(stack.enter_context(parallel(connection("")).parallel(folder())), Tuple[int, str])
    with folder() as first, parallel(connection("")) as (second,):
        assert_type(first, str)
        assert_type(second, int)


def result_of_executor(futures: list[Future[int]]) -> None:
    """an executor as a context manager of a chain"""
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415  # Used here only.

    with parallel(ThreadPoolExecutor()) as (pool,):
        futures.append(pool.submit(len, "x"))


def return_in_block() -> int:
    """a function that ends in a `with` block"""
    with parallel(connection("")) as (first,):
        return first


def raise_in_block() -> int:
    """a function that ends by raising in a `with` block"""
    with parallel(connection("")).parallel(folder()):
        raise NotImplementedError


def name_bound_in_block() -> int:
    """a name bound in a `with` block, used after it"""
    with parallel(connection("")) as (first,):
        number = first
    return number


def after_block() -> str:
    """code after a `with` block"""
    with parallel(connection("")) as (first,):
        print(first)
    return "reached"
