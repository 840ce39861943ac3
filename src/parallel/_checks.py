"""Bad input, named where it comes in: what came, what was expected, what to do."""

from __future__ import annotations

import threading
from abc import ABCMeta
from concurrent.futures import Executor, Future
from functools import partial
from types import CodeType, CoroutineType, FunctionType
from typing import Any, Callable, Sequence, SupportsFloat, cast

from parallel._names import attribute_of, describe, name_of
from parallel.return_when import ReturnWhen

_PLAIN_METACLASSES = (type, ABCMeta)
"""They have no special method that a class could be taken to have."""
_HINT_FOR_ASYNC = "; it is an asynchronous context manager: enter it with `async with`"
_HINT_FOR_MANAGERS = "; to enter several context managers, use parallel_contexts([a, b])"
_OF_WITH = ("__enter__", "__exit__")
_OF_ASYNC_WITH = ("__aenter__", "__aexit__")
_COROUTINE = 0x80  # inspect.CO_COROUTINE; importing inspect would double the time that importing parallel takes.


def is_context_manager(target: object) -> bool:
    """Whether ``with`` would take ``target``, and is meant to: a proxy of a function has the methods, too."""
    return _has_methods(target, _OF_WITH)


def is_async_context_manager(target: object) -> bool:
    """The same for ``async with``."""
    return _has_methods(target, _OF_ASYNC_WITH)


def _has_methods(target: object, names: tuple[str, str]) -> bool:
    cls = type(target)
    if not _are_on(cls, names):
        return False
    if cls.__getattribute__ is object.__getattribute__:
        shown: object = target.__class__
    else:  # A proxy shows the class of the object that it stands for.
        shown = attribute_of(target, "__class__")
    return shown is cls or not isinstance(shown, type) or _are_on(shown, names)


def _are_on(cls: type, names: tuple[str, str]) -> bool:
    """Whether instances have special methods, as the interpreter looks them up: not on the metaclass."""
    first, second = names
    if getattr(cls, first, None) is None or getattr(cls, second, None) is None:
        return False
    return type(cls) in _PLAIN_METACLASSES or all(any(name in vars(each) for each in cls.__mro__) for name in names)


def check_function(func: Any, where: str, takes: str = "a function or another callable") -> str:
    """Gives the name of ``func``, which ``where`` calls on a thread.

    Raises:
        TypeError: It cannot be called, or calling it only makes a coroutine.
    """
    __tracebackhide__ = True
    if type(func) is FunctionType and not func.__code__.co_flags & _COROUTINE:
        return name_of(func)  # The usual case.
    # From Python 3.10 on, what `asynccontextmanager` makes is callable: it decorates.
    if not callable(func) or (type(func).__module__ == "contextlib" and not is_context_manager(func)):
        raise TypeError(f"{where} takes {takes}, not {describe(func)}{hint_for_non_callable(func)}")
    if _is_coroutine_function(func):
        raise TypeError(
            f"{where} takes an ordinary function, not {describe(func)}, which is a coroutine function; "
            f"to run it on a thread of its own, call asyncio.run() on its coroutine: parallel(asyncio.run)(coroutine)"
        )
    return name_of(func)


def hint_for_non_callable(target: Any) -> str:
    """Says what to do instead of passing ``target``, which cannot be called."""
    if is_context_manager(target):
        return "; it is a context manager: to enter it, start a chain of its own with parallel(context_manager)"
    if is_async_context_manager(target):
        return _HINT_FOR_ASYNC
    if isinstance(target, (list, tuple)):
        if target and all(map(is_context_manager, cast("Sequence[object]", target))):
            return _HINT_FOR_MANAGERS
        return ": pass the function itself, neither what calling it returned nor a list of functions"
    if isinstance(target, CoroutineType):
        return "; it is a coroutine: await it, or run it on a thread of its own, parallel(asyncio.run)(coroutine)"
    return _hint_for_half_a_context_manager(target) or ": pass the function itself, not what calling it returned"


def _hint_for_half_a_context_manager(target: object) -> str:
    """Says which of the two methods ``target`` lacks, if it has the other one."""
    cls = type(target)
    for name, other in (_OF_WITH, _OF_WITH[::-1]):
        # The one that a chain of calls has is a property, which only explains.
        if callable(getattr(cls, name, None)) and not hasattr(cls, other):
            return f"; it does not support the context manager protocol: it has {name}, but no {other}"
    return ""


def check_iterable(iterable: object, position: int) -> None:
    """Raises a ``TypeError`` unless an argument of ``parallel_map()`` is iterable."""
    if not _is_iterable(iterable):
        raise TypeError(
            f"parallel_map() takes iterables of arguments, and its argument {position} is {describe(iterable)}; "
            f"to give the same to each call, use functools.partial()"
        )


def check_several(managers: object) -> None:
    """Raises a ``TypeError`` unless the argument of ``parallel_contexts()`` is iterable."""
    if not _is_iterable(managers):
        is_manager = is_context_manager(managers)
        hint = "; for one context manager, use parallel(context_manager)" if is_manager else ""
        raise TypeError(f"parallel_contexts() takes one iterable of context managers, not {describe(managers)}{hint}")


def _is_iterable(target: object) -> bool:
    return hasattr(type(target), "__iter__") or hasattr(type(target), "__getitem__")


def check_context_manager(target: Any, where: str) -> None:
    """Raises a ``TypeError`` unless ``with`` would take ``target``."""
    if is_context_manager(target):
        return
    hint = _hint_for_half_a_context_manager(target)
    if is_async_context_manager(target):
        hint = _HINT_FOR_ASYNC
    elif isinstance(target, type) and hasattr(target, "__enter__"):
        hint = f"; did you mean {target.__name__}()?"
    elif _is_coroutine_function(target):
        hint = "; it is a coroutine function: run it in a chain of its own, parallel(asyncio.run)(coroutine)"
    elif type(target) in (list, tuple):
        hint = _HINT_FOR_MANAGERS
    elif callable(target):
        hint = "; it is callable: pass what calling it returns, or call it in a chain of its own, parallel(func)(...)"
    raise TypeError(f"{where} takes a context manager (with __enter__ and __exit__), not {describe(target)}{hint}")


def _is_coroutine_function(func: Any) -> bool:
    """Whether calling ``func`` only makes a coroutine; sees through methods, partials and ``__call__``."""
    while isinstance(func, partial):
        func = func.func
    code = attribute_of(func, "__code__")
    if not isinstance(code, CodeType):
        code = attribute_of(type(func).__call__, "__code__")
    return isinstance(code, CodeType) and bool(code.co_flags & _COROUTINE)


def submit_of(executor: Any) -> Callable[..., Future[Any]]:
    """Gives the ``submit`` of an executor.

    Raises:
        TypeError: It is not a ``concurrent.futures.Executor``.
    """
    if not isinstance(executor, Executor):
        hint = f"; did you mean {executor.__name__}()?" if isinstance(executor, type) else ""
        raise TypeError(f"executor must be a concurrent.futures.Executor, not {describe(executor)}{hint}")
    return executor.submit


def check_future(future: object, executor: Executor) -> Future[Any]:
    """Gives what an executor's ``submit`` returned.

    Raises:
        TypeError: It is no future.
    """
    # Some executors have futures of their own.
    if all(hasattr(type(future), name) for name in ("add_done_callback", "exception", "result")):
        return cast("Future[Any]", future)
    raise TypeError(
        f"executor must be a concurrent.futures.Executor whose submit() returns a Future, "
        f"but that of {describe(executor)} returned {describe(future)}"
    )


def check_timeout(timeout: object) -> float | None:
    """Gives a time limit in seconds as locks take it; ``None`` is none, and one below zero has passed already.

    Raises:
        TypeError: It is not a number.
        ValueError: It is not a number of seconds (NaN).
    """
    if timeout is None:
        return None
    if isinstance(timeout, (str, bytes, bool, complex, type)) or not isinstance(timeout, SupportsFloat):
        raise TypeError(f"timeout must be a number of seconds or None, not {describe(timeout)}")
    try:
        seconds = float(timeout)
    except OverflowError:
        # An integer that no float can hold: longer than any lock can wait.
        return threading.TIMEOUT_MAX if timeout > 0 else 0.0  # type: ignore[operator, unused-ignore]  # See above.
    if not (seconds < 0 or seconds >= 0):  # As math.isnan, which would have to be imported.
        raise ValueError("timeout must be a number of seconds or None, not NaN")
    return min(max(seconds, 0.0), threading.TIMEOUT_MAX)


def check_max_workers(max_workers: object) -> int | None:
    """Gives a limit on how many calls run at a time; ``None`` is none.

    Raises:
        TypeError: It is no ``int``.
        ValueError: It is below one.
    """
    if max_workers is None:
        return None
    if not isinstance(max_workers, int) or isinstance(max_workers, bool):
        raise TypeError(f"max_workers must be a positive int or None, not {describe(max_workers)}")
    if max_workers < 1:
        raise ValueError(f"max_workers must be greater than 0, or None for no limit, not {max_workers}")
    return max_workers


def check_parallel_exit(parallel_exit: Any) -> None:
    """Raises a ``TypeError`` unless ``parallel_exit`` is a truth value."""
    if not isinstance(parallel_exit, bool):
        raise TypeError(f"parallel_exit must be True or False, not {describe(parallel_exit)}")


def check_return_when(return_when: Any) -> ReturnWhen:
    """Gives the member that ``results()`` was asked for, which may be given as its value.

    Raises:
        ValueError: It is none, or it is ``FIRST_COMPLETED``.
    """
    try:
        member = ReturnWhen(return_when)
    except ValueError:
        raise ValueError(
            f"return_when must be ReturnWhen.ALL_COMPLETED or ReturnWhen.FIRST_EXCEPTION, not {describe(return_when)}"
        ) from None
    if member is ReturnWhen.FIRST_COMPLETED:
        raise ValueError(
            "results() returns the results of all calls, so it does not take ReturnWhen.FIRST_COMPLETED; "
            "for the first one, use concurrent.futures.wait(calls.futures, return_when=FIRST_COMPLETED)"
        )
    return member
