"""Limits of checkers, each shown without the library. Read by checkers only; see test_typing.py."""

from __future__ import annotations

from typing import Callable, TypeVar, overload

from typing_extensions import ParamSpec, assert_type

P = ParamSpec("P")
T = TypeVar("T")


@overload
def prepared(func: int) -> int: ...


@overload
def prepared(func: Callable[P, T]) -> Callable[P, T]: ...


def prepared(func: int | Callable[P, T]) -> int | Callable[P, T]:
    """Stands for an overloaded function that passes a signature on."""
    return func


def prepared_with(func: Callable[P, T], option: int) -> Callable[P, T]:
    """Stands for the same with one more argument."""
    print(option)
    return func


@overload
def double(item: int) -> int: ...


@overload
def double(item: str) -> str: ...


def double(item: int | str) -> int | str:
    """Stands for an overloaded function whose signature is passed on."""
    return item * 2


def overload_taken_first() -> None:
    """Of an overloaded function, only the first overload is kept

    Other overloads are refused; by mypy only if there is one more argument, `parallel(open, executor=executor)`. The
    way around: call it in a lambda, `parallel(lambda: open(path, "rb"))()`.
    """
    prepared(double)("x")  # wrong: zuban
    prepared_with(double, 1)("x")  # wrong: mypy, zuban


def overloads_taken_together() -> None:
    """Of an overloaded function, the results of all overloads become a union

    Nothing is refused, but the result is wider than it should be. The way around: call it in a lambda,
    `parallel(lambda: open(path, "rb"))()`.
    """
    assert_type(prepared(double)(1), int)  # wrong: ty
