"""Mistakes: wrong arguments, a call that nobody started, calls in ``with``. The errors say what to write instead."""

from __future__ import annotations

from functools import wraps
from typing import Any, Callable, NoReturn, TypeVar, cast

from parallel._exceptions import raise_unchanged, strip_own_frames, traceback_of

F = TypeVar("F", bound=Callable[..., Any])


def explain_arguments(function: F) -> F:
    """Decorates a function: if the interpreter refuses the arguments, the error says what to write instead.

    Checkers see the function as it is. In a traceback, the wrapper stands for all frames of the function.
    """

    @wraps(function)
    def checked(*arguments: Any, **options: Any) -> Any:
        __tracebackhide__ = True
        try:
            return function(*arguments, **options)
        except BaseException as error:
            message = None
            if type(error) is TypeError and _is_from_interpreter(error):
                # Imported late: it is needed for mistakes only.
                from parallel._arguments import explanation  # noqa: PLC0415

                message = explanation(function, arguments, options)
            # The traceback refers to this frame. Debuggers show its arguments, so there must be some.
            arguments, options = (), {}
            if message is not None:
                raise_unchanged(TypeError(message))
            raise strip_own_frames(error)  # noqa: B904  # The same one.

    return cast(F, checked)


def _is_from_interpreter(error: BaseException) -> bool:
    """Whether the interpreter refused the arguments of a call: then the function has no frame in the traceback."""
    traceback = traceback_of(error)
    return traceback is not None and traceback.tb_next is None


def refuse_unstarted(*_: object, **__: object) -> NoReturn:
    """Stands for the methods of a chain on a prepared call, which is a function and has none."""
    raise TypeError(
        "this call has been prepared, but not started: give the arguments of the function in a second pair of "
        "parentheses, as in parallel(func)(...).results()"
    )


def refuse_to_enter(_: object) -> NoReturn:
    """Stands for the methods of a context manager on a chain of calls, which has none."""
    raise TypeError(
        "a FutureCollection is not entered: it calls functions; to enter context managers in parallel, give "
        "parallel() the managers, which calling the functions makes: "
        '`with parallel(connect("a")).parallel(connect("b")) as (a, b):`'
    )
