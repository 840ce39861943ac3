"""What differs between Python versions, in one place.

The only importer of ``typing_extensions`` and ``exceptiongroup``, both needed below Python 3.11 only.
"""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Any, Callable

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

if not TYPE_CHECKING and sys.implementation.name == "pypy":
    from __pypy__ import set_exc_info

    def set_handled_traceback(error: BaseException) -> None:
        """Has the traceback of ``error``, which is being handled, taken as it is now.

        PyPy keeps the one that it was raised with beside it, and puts it back when the exception is looked at.
        """
        set_exc_info(type(error), error, error.__traceback__)

else:

    def set_handled_traceback(error: BaseException) -> None:
        """Nothing: a change of the traceback of an exception that is being handled is seen everywhere."""


WITH_RESTORES_TRACEBACK = sys.version_info < (3, 11)
"""Whether ``with`` gives an exception back the traceback that it had before an exit that did not suppress it."""

_threading: Any = threading
"""Its private parts are in no stub."""

if sys.version_info >= (3, 10):
    from threading import getprofile, gettrace
else:

    def gettrace() -> Callable[..., Any] | None:
        """What ``threading.settrace`` was given."""
        hook: Callable[..., Any] | None = _threading._trace_hook  # noqa: SLF001  # What 3.10 made public.
        return hook

    def getprofile() -> Callable[..., Any] | None:
        """What ``threading.setprofile`` was given."""
        hook: Callable[..., Any] | None = _threading._profile_hook  # noqa: SLF001  # As above.
        return hook


if sys.version_info >= (3, 9):
    # Private, but what concurrent.futures itself uses: there is no public hook between the end of the main thread
    # and the atexit handlers.
    register_at_main_thread_end: Callable[[Callable[[], object]], object] = _threading._register_atexit  # noqa: SLF001  # As above.
else:

    def register_at_main_thread_end(func: Callable[[], object]) -> None:
        """Has ``func`` called when the main thread has ended, before other threads are joined, as 3.9 and later can.

        The interpreter looks ``threading._shutdown`` up by name when it ends.
        """
        shutdown = _threading._shutdown  # noqa: SLF001  # What 3.9 has a hook in.

        def call_and_shut_down() -> None:
            func()
            shutdown()

        _threading._shutdown = call_and_shut_down  # noqa: SLF001  # As above.


__all__ = [
    "WITH_RESTORES_TRACEBACK",
    "BaseExceptionGroup",
    "ExceptionGroup",
    "ParamSpec",
    "TypeVarTuple",
    "Unpack",
    "getprofile",
    "gettrace",
    "register_at_main_thread_end",
    "set_handled_traceback",
]
