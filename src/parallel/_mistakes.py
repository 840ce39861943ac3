"""Mistakes with a chain, such as iterating over calls: each raises an error that says what to write instead.

The chains get these methods at run time, so that checkers see none of them, and refuse the mistakes in their own words.
A chain of calls must not pass for a context manager. So it has only that one of the two methods that ``with`` looks up
first.
"""

from __future__ import annotations

from types import FunctionType
from typing import NoReturn

from parallel._compat import FIRST_METHOD_OF_ASYNC_WITH, FIRST_METHOD_OF_WITH

_UNPACKED = "a FutureCollection holds calls, not their results: ask for these with .results(), as in"
_ENTERED = (
    "a FutureCollection is not entered: it calls functions; to enter context managers in parallel, give parallel() the "
    'managers, which calling the functions makes: `with parallel(connect("a")).parallel(connect("b")) as (a, b):`'
)
_ENTER = "`with contexts as (a, b):` gives what the context managers' __enter__ returned"
_NOT_CALLED = (
    "this call has been prepared, but not started: give the arguments of the function in a second pair of parentheses, "
    "as in parallel(func)(...).results()"
)


class MistakesWithCalls:
    """Methods of ``FutureCollection`` that only mistakes meet."""

    def __iter__(self) -> NoReturn:
        """Raises a ``TypeError``: ``results()`` returns what can be unpacked."""
        raise TypeError(f"{_UNPACKED} `a, b = calls.results()`")

    def __getitem__(self, index: object) -> NoReturn:
        """Raises a ``TypeError``: ``results()`` returns what has an index."""
        raise TypeError(f"{_UNPACKED} `calls.results()[0]`; its futures are in .futures")

    def __len__(self) -> int:
        """Raises a ``TypeError``: ``results()`` returns what has a length."""
        raise TypeError(f"{_UNPACKED} `len(calls.results())`; its futures are in .futures")

    def __bool__(self) -> bool:
        """Returns ``True``: otherwise ``__len__`` would be asked."""
        return True


class MistakesWithContexts:
    """Methods of ``FutureContextCollection`` that only mistakes meet."""

    def __iter__(self) -> NoReturn:
        """Raises a ``TypeError``: ``with`` gives what can be unpacked."""
        raise TypeError(f"a FutureContextCollection is entered, not unpacked: {_ENTER}")

    def __dir__(self) -> list[str]:
        """Leaves out what only explains a mistake."""
        return [name for name in object.__dir__(self) if name not in ("futures", "results")]

    # Not __getattr__(), which would make each attribute of the class slower.
    @property
    def futures(self) -> NoReturn:
        """Raises an ``AttributeError``: only calls have futures."""
        raise AttributeError(f"a FutureContextCollection has no .futures: {_ENTER}")

    @property
    def results(self) -> NoReturn:
        """Raises an ``AttributeError``: only calls have results."""
        raise AttributeError(
            f"a FutureContextCollection has no .results: {_ENTER}; for calls, parallel(func)(...).results()"
        )


def explain_mistakes(chain: type, mistakes: type) -> None:
    """Gives a chain the methods of a class above, as if they had been defined there."""
    for name, method in vars(mistakes).items():
        if isinstance(method, FunctionType):
            method.__module__, method.__qualname__ = chain.__module__, f"{chain.__qualname__}.{name}"
        if isinstance(method, (FunctionType, property)):
            setattr(chain, name, method)


def refuse_unstarted(*_: object, **__: object) -> NoReturn:
    """Stands for the methods of a chain on a prepared call, which is a function and has none."""
    raise TypeError(_NOT_CALLED)


def _refuse_to_enter(_: object) -> NoReturn:
    """Raises a ``TypeError``: calls are not entered."""
    raise TypeError(_ENTERED)


# A property: `with` only has to look it up. So a chain has no method that could be taken for that of a manager.
for _name in (FIRST_METHOD_OF_WITH, FIRST_METHOD_OF_ASYNC_WITH):
    setattr(MistakesWithCalls, _name, property(_refuse_to_enter))
