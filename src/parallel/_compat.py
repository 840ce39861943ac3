"""Differences between Python versions, and every private name of the standard library but those of ``Future``.

Each private name says what happens without it. ``typing_extensions`` and ``exceptiongroup`` are needed below 3.11 only.
"""

from __future__ import annotations

import atexit
import sys
import threading
from contextvars import Context
from typing import Any, Callable, TypeVar

T = TypeVar("T")

if sys.version_info >= (3, 10):
    from typing import ParamSpec
else:
    from typing_extensions import ParamSpec

if sys.version_info >= (3, 11):
    from builtins import BaseExceptionGroup, ExceptionGroup
    from typing import TypeVarTuple, Unpack
else:
    from exceptiongroup import BaseExceptionGroup, ExceptionGroup
    from typing_extensions import TypeVarTuple, Unpack

if sys.version_info >= (3, 9):

    def make_subscriptable(cls: T) -> T:
        """Returns ``cls``, a subclass of ``Future``, which has been generic since Python 3.9."""
        return cls

else:

    def make_subscriptable(cls: T) -> T:
        """Lets ``cls[int]`` be ``cls``."""
        cls.__class_getitem__ = classmethod(lambda cls, _: cls)  # type: ignore[attr-defined]  # As above.
        return cls


if sys.version_info >= (3, 10):
    from threading import getprofile, gettrace
else:

    def gettrace() -> Callable[..., Any] | None:
        """Returns what ``threading.settrace`` was given. Without the private name, calls are not traced."""
        hook: Callable[..., Any] | None = getattr(threading, "_trace_hook", None)
        return hook

    def getprofile() -> Callable[..., Any] | None:
        """Returns what ``threading.setprofile`` was given. Without the private name, calls are not profiled."""
        hook: Callable[..., Any] | None = getattr(threading, "_profile_hook", None)
        return hook


def options_for_empty_context() -> dict[str, Any]:
    """Returns the options of ``Thread`` that keep a thread from inheriting its creator's context.

    Free-threaded builds inherit by default from Python 3.14 on: a thread that is reused would hold that context.
    """
    return {"context": Context()} if sys.version_info >= (3, 14) else {}


if sys.version_info >= (3, 9):

    def register_at_main_thread_end(func: Callable[[], object]) -> object:
        """Has ``func`` called when the main thread has ended, before the interpreter joins other threads.

        ``concurrent.futures`` uses the same private hook. Without it, ``atexit`` calls ``func``, after all other
        handlers: the program still waits for unfinished calls, but later.
        """
        return getattr(threading, "_register_atexit", atexit.register)(func)

else:

    def register_at_main_thread_end(func: Callable[[], object]) -> object:
        """Does the same: the interpreter looks ``threading._shutdown`` up by its name when it ends."""
        shutdown = getattr(threading, "_shutdown", None)
        if shutdown is None:
            return atexit.register(func)

        def call_and_shut_down() -> None:
            func()
            shutdown()

        threading._shutdown = call_and_shut_down  # noqa: SLF001  # See above.
        return None


if sys.version_info >= (3, 14):

    def copy_annotations(source: Any, target: Any) -> None:
        """Gives a function the annotations of another, without evaluating them."""
        annotate = source.__annotate__
        if annotate is None:  # There are none, or they were assigned, or are strings.
            target.__annotations__ = source.__annotations__
        else:
            target.__annotate__ = annotate
        target.__type_params__ = source.__type_params__

else:

    def copy_annotations(source: Any, target: Any) -> None:
        """Gives a function the annotations of another."""
        target.__annotations__ = source.__annotations__
        if sys.version_info >= (3, 12):
            target.__type_params__ = source.__type_params__


_IS_EXIT_FIRST = sys.version_info >= (3, 14)
FIRST_METHOD_OF_WITH = "__exit__" if _IS_EXIT_FIRST else "__enter__"
"""Which of its two methods ``with`` looks up first. PyPy looks up both before it asks for one."""
FIRST_METHOD_OF_ASYNC_WITH = "__aexit__" if _IS_EXIT_FIRST or sys.version_info < (3, 9) else "__aenter__"

__all__ = [
    "FIRST_METHOD_OF_ASYNC_WITH",
    "FIRST_METHOD_OF_WITH",
    "BaseExceptionGroup",
    "ExceptionGroup",
    "ParamSpec",
    "TypeVarTuple",
    "Unpack",
    "copy_annotations",
    "getprofile",
    "gettrace",
    "make_subscriptable",
    "options_for_empty_context",
    "register_at_main_thread_end",
]
