"""Limits of checkers, each shown without the library. Read by checkers only; see test_typing.py."""

from __future__ import annotations

from typing import Callable, List, TypeVar, overload

from typing_extensions import ParamSpec, Protocol, TypeVarTuple, Unpack, assert_type

P = ParamSpec("P")
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
Ts = TypeVarTuple("Ts")


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


class Pool:
    """Stands for a class whose constructor is overloaded, and has type variables of its own."""

    @overload
    def __init__(self, size: int = 1) -> None: ...

    @overload
    def __init__(self, size: int, func: Callable[[Unpack[Ts]], object], args: tuple[Unpack[Ts]]) -> None: ...

    def __init__(self, size: int = 1, func: Callable[..., object] | None = None, args: object = ()) -> None:
        """Takes a function with its arguments, or neither."""


class Entered(Protocol[T_co]):
    """Stands for the protocol of context managers."""

    def enter(self) -> T_co:
        """Enters."""
        ...


class Both:
    """Stands for a class of context managers that can be called."""

    def enter(self) -> str:
        """Enters."""
        return ""

    def __call__(self) -> None:
        """Calls."""


@overload
def either(target: Entered[T]) -> list[T]: ...


@overload
def either(target: Callable[..., object]) -> int: ...


def either(target: object) -> object:
    """Stands for a function that takes context managers and functions."""
    return target


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


def overloads_of_a_constructor() -> None:
    """A class is refused if its constructor is overloaded and has type variables of its own

    `ThreadPoolExecutor` is such a class. The way around: call it in a lambda,
    `parallel(lambda: ThreadPoolExecutor(2))()`.
    """
    prepared(Pool)(2)  # wrong: ty


def class_taken_for_its_instance() -> None:
    """Since a class is no context manager, its instances are not taken for any either, if they can be called

    This concerns classes that have `__call__` beside `__enter__` and `__exit__`, and only if the checker reads a call
    of the class first. The way around: call the class in a lambda, `parallel(lambda: Both())()`.
    """
    assert_type(either(Both), int)
    assert_type(either(Both()), List[str])  # wrong: pyright
