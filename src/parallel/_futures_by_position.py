"""The type of ``FutureCollection.futures``. Only checkers read this file."""

from __future__ import annotations

from typing import Any, NoReturn, TypeVar, overload

from parallel._call_future import CallFuture
from parallel._compat import Unpack
from parallel.future_collection import FutureCollection

T1 = TypeVar("T1")
T2 = TypeVar("T2")
T3 = TypeVar("T3")
T4 = TypeVar("T4")
T5 = TypeVar("T5")
T6 = TypeVar("T6")
T7 = TypeVar("T7")
T8 = TypeVar("T8")
T9 = TypeVar("T9")
T10 = TypeVar("T10")


class FuturesByPosition:
    """A descriptor that gives each future the type of its call: for up to ten calls, or any number of one type."""

    @overload
    def __get__(self, chain: None, owner: Any, /) -> FuturesByPosition: ...

    @overload
    def __get__(self, chain: FutureCollection[T1], owner: Any, /) -> tuple[CallFuture[T1]]: ...

    @overload
    def __get__(self, chain: FutureCollection[T1, T2], owner: Any, /) -> tuple[CallFuture[T1], CallFuture[T2]]: ...

    @overload
    def __get__(
        self, chain: FutureCollection[T1, T2, T3], owner: Any, /
    ) -> tuple[CallFuture[T1], CallFuture[T2], CallFuture[T3]]: ...

    @overload
    def __get__(
        self, chain: FutureCollection[T1, T2, T3, T4], owner: Any, /
    ) -> tuple[CallFuture[T1], CallFuture[T2], CallFuture[T3], CallFuture[T4]]: ...

    @overload
    def __get__(
        self, chain: FutureCollection[T1, T2, T3, T4, T5], owner: Any, /
    ) -> tuple[CallFuture[T1], CallFuture[T2], CallFuture[T3], CallFuture[T4], CallFuture[T5]]: ...

    @overload
    def __get__(
        self, chain: FutureCollection[T1, T2, T3, T4, T5, T6], owner: Any, /
    ) -> tuple[CallFuture[T1], CallFuture[T2], CallFuture[T3], CallFuture[T4], CallFuture[T5], CallFuture[T6]]: ...

    @overload
    def __get__(
        self, chain: FutureCollection[T1, T2, T3, T4, T5, T6, T7], owner: Any, /
    ) -> tuple[
        CallFuture[T1], CallFuture[T2], CallFuture[T3], CallFuture[T4], CallFuture[T5], CallFuture[T6], CallFuture[T7]
    ]: ...

    @overload
    def __get__(
        self, chain: FutureCollection[T1, T2, T3, T4, T5, T6, T7, T8], owner: Any, /
    ) -> tuple[
        CallFuture[T1],
        CallFuture[T2],
        CallFuture[T3],
        CallFuture[T4],
        CallFuture[T5],
        CallFuture[T6],
        CallFuture[T7],
        CallFuture[T8],
    ]: ...

    @overload
    def __get__(
        self, chain: FutureCollection[T1, T2, T3, T4, T5, T6, T7, T8, T9], owner: Any, /
    ) -> tuple[
        CallFuture[T1],
        CallFuture[T2],
        CallFuture[T3],
        CallFuture[T4],
        CallFuture[T5],
        CallFuture[T6],
        CallFuture[T7],
        CallFuture[T8],
        CallFuture[T9],
    ]: ...

    @overload
    def __get__(
        self, chain: FutureCollection[T1, T2, T3, T4, T5, T6, T7, T8, T9, T10], owner: Any, /
    ) -> tuple[
        CallFuture[T1],
        CallFuture[T2],
        CallFuture[T3],
        CallFuture[T4],
        CallFuture[T5],
        CallFuture[T6],
        CallFuture[T7],
        CallFuture[T8],
        CallFuture[T9],
        CallFuture[T10],
    ]: ...

    @overload
    def __get__(
        self,
        chain: FutureCollection[T1, T2, T3, T4, T5, T6, T7, T8, T9, T10, Any, Unpack[tuple[Any, ...]]],
        owner: Any,
        /,
    ) -> tuple[CallFuture[Any], ...]: ...

    @overload
    def __get__(  # type: ignore[overload-cannot-match]  # mypy says so, and matches it.
        self, chain: FutureCollection[Unpack[tuple[T1, ...]]], owner: Any, /
    ) -> tuple[CallFuture[T1], ...]: ...

    @overload
    def __get__(
        self, chain: FutureCollection[Unpack[tuple[Any, ...]]], owner: Any, /
    ) -> tuple[CallFuture[Any], ...]: ...

    def __get__(self, chain: Any, owner: Any, /) -> Any:
        """Gives the futures."""

    def __set__(self, chain: Any, value: NoReturn) -> None:
        """Refuses to be set."""
