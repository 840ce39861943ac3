"""A prepared call has the annotations of its function, for ``typing.get_type_hints`` and others."""

from __future__ import annotations

import functools
import sys
import typing
from typing import Any, Callable

import pytest

from parallel import FutureCollection, parallel

PREPARE = pytest.mark.parametrize(
    "prepare", [parallel, lambda func: parallel(int)().parallel(func), FutureCollection.create]
)


def load(number: int, name: str, *, strict: bool = False) -> str:
    return f"{number}{name}{strict}"


def plain(number):  # type: ignore[no-untyped-def]  # On purpose.
    return number


class Loader:
    def method(self, number: int) -> str:
        return str(number)


@functools.wraps(load)
def decorated(*args: Any, **kwargs: Any) -> Any:
    return load(*args, **kwargs)


@PREPARE
@pytest.mark.parametrize("func", [load, plain, decorated, Loader().method], ids=lambda func: func.__qualname__)
def test_type_hints_of_a_prepared_call_are_the_functions(prepare: Callable[[Any], Any], func: Any) -> None:
    assert typing.get_type_hints(prepare(func)) == typing.get_type_hints(func)
    assert prepare(func).__annotations__ == func.__annotations__


def test_annotations_that_were_assigned_are_carried_over() -> None:
    def assigned(number: int) -> None:
        pass

    assigned.__annotations__ = {"number": "float"}
    assert typing.get_type_hints(parallel(assigned)) == {"number": float}


def test_function_itself_keeps_its_annotations() -> None:
    before = dict(load.__annotations__)
    parallel(load)
    assert load.__annotations__ == before


def program(source: str) -> Any:
    """Runs a program that does not postpone the evaluation of annotations as this file does."""
    names: dict[str, Any] = {"parallel": parallel, "__name__": __name__}
    exec(compile(source, "program", "exec", dont_inherit=True), names)  # noqa: S102  # See above.
    return names


@pytest.mark.skipif(sys.version_info < (3, 14), reason="annotations are lazy from 3.14 on")
def test_lazy_annotations_are_not_evaluated_before_they_are_asked_for() -> None:
    names = program("def later(number: Later) -> Later: return number\nprepared = parallel(later)")
    with pytest.raises(NameError):
        typing.get_type_hints(names["prepared"])
    names["Later"] = int
    assert names["prepared"].__annotations__ == {"number": int, "return": int}
    assert typing.get_type_hints(names["prepared"]) == {"number": int, "return": int}
    assert names["prepared"](7).results() == (7,)


@pytest.mark.skipif(sys.version_info < (3, 13), reason="get_type_hints() knows type parameters from 3.12.4 on")
def test_type_parameters_are_carried_over() -> None:
    names = program("def same[T](value: 'T') -> 'T': return value\nprepared = parallel(same)")
    assert names["prepared"].__type_params__ == names["same"].__type_params__
    assert typing.get_type_hints(names["prepared"]) == typing.get_type_hints(names["same"])
