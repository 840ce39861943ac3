"""``ReusableThread``: a thread that performs one runnable after the other, each as a new thread would.

Guarantees
    A runnable finds the name, the trace function and the profile function that a new thread would have, and leaves none
    behind. The thread does not set a function that is in place; a function that replaced itself, as that of coverage
    does, stays. The thread reports what a runnable raises.
"""

from __future__ import annotations

import sys
import threading
from typing import Any, Callable, Protocol

from parallel._compat import getprofile, gettrace, options_for_empty_context
from parallel._exceptions import context_of, raise_unchanged, traceback_of
from parallel._sync import Once

IDLE_NAME = "parallel (idle)"
"""The name of a thread that performs nothing."""

_BEGUN, _WITHDRAWN = "begun", "withdrawn"
_thread_name: Any = threading.Thread.name


class Runnable(Protocol):
    """A piece of work that a thread can perform."""

    name: str
    """The thread's name meanwhile."""

    @property
    def cancellable(self) -> Any:
        """The ``Cancellable`` that the thread runs at this moment, if any."""

    @property
    def is_suspended(self) -> bool:
        """Whether it has begun and has nothing to do, so that the end of the program does not wait for it."""
        ...

    def run(self) -> None:
        """Does the work."""

    def withdraw(self) -> bool:
        """Makes ``run`` do nothing, if it has not begun; returns whether that was in time."""
        ...

    def dismiss(self) -> None:
        """Ends it, if it is suspended."""


class ReusableThread(threading.Thread):
    """A thread of the library's own.

    Its ``name`` is its own: from Python 3.14 on, setting that of ``Thread`` is a system call, a fifth of a round trip.
    The system is told only if the next runnable has another name than the one before.
    """

    def __init__(self, name: str, target: Callable[[ReusableThread], object], *, daemon: bool) -> None:
        self._current_name: str = name
        # The name that the system knows.
        self._system_name: str = name
        super().__init__(name=name, daemon=daemon, **options_for_empty_context())
        self.is_ending: bool = False
        self.runnable: Runnable | None = None
        self.on_end: Callable[[], object] | None = None
        # Claimed by the thread when it begins, or by the thread that starts it and does not want it any more.
        self._beginning: Once[str] = Once()
        self._life = target
        # The functions that this thread has from `threading`, which sets them before `run`.
        self._trace: Any = None
        self._profile: Any = None

    @property
    def name(self) -> str:
        """The name of what the thread performs."""
        return self._current_name

    @name.setter
    def name(self, name: str) -> None:
        self._current_name = self._system_name = str(name)
        _thread_name.__set__(self, name)

    def run(self) -> None:
        """Does what the thread does all its life, unless it is not wanted any more."""
        self._trace, self._profile = gettrace(), getprofile()
        own_threads[threading.get_ident()] = self
        try:
            if self._beginning.claim(_BEGUN):
                self._life(self)
        finally:
            own_threads.pop(threading.get_ident(), None)
        if self.on_end is not None:
            self.on_end()

    def start_or_withdraw(self) -> None:
        """Starts the thread. If that raises, the thread does nothing, unless it has begun.

        Raises:
            RuntimeError: The system has no thread left, or the interpreter is shutting down.
            BaseException: The exception that a signal handler raises.
        """
        handled = sys.exc_info()[1]
        try:
            self.start()
        except BaseException as error:
            self.withdraw()
            # An exception that a signal handler raises in the middle of start() can make `threading` release a lock
            # that it does not hold, or forget a thread that has begun. That error hides the handler's.
            hidden = context_of(error)
            if is_raised_by_threading(error) and hidden is not None and hidden is not handled:
                raise_unchanged(hidden)
            raise
        finally:
            del handled

    def withdraw(self) -> bool:
        """Makes the thread do nothing, if it has not begun; returns whether that was in time."""
        return self._beginning.claim(_WITHDRAWN)

    def perform(self, runnable: Runnable) -> None:
        """Runs ``runnable``, and reports what it raises."""
        trace = profile = None
        self.runnable = runnable
        try:
            try:
                if runnable.name == self._system_name:
                    self._current_name = runnable.name
                else:
                    self.name = runnable.name  # pyright: ignore[reportIncompatibleVariableOverride]  # A property there, too.
                if gettrace() is not self._trace or getprofile() is not self._profile:
                    self._change_hooks()
            finally:
                # Also if an asynchronous exception came that was meant for the runnable before.
                trace, profile = sys.gettrace(), sys.getprofile()
                runnable.run()
        except BaseException as error:
            # A done-callback's: what a call or a manager raises is kept for the thread that waits for it.
            report(error)
        finally:
            self.runnable = None
            # The frames of an error's traceback refer back to this one.
            del runnable
        if sys.gettrace() is not trace:
            sys.settrace(trace)
        if sys.getprofile() is not profile:
            sys.setprofile(profile)
        self._current_name = IDLE_NAME

    def _change_hooks(self) -> None:
        """Sets the functions that a new thread would have by now, unless they are in place."""
        self._trace, self._profile = gettrace(), getprofile()
        if sys.gettrace() is not self._trace:
            sys.settrace(self._trace)
        if sys.getprofile() is not self._profile:
            sys.setprofile(self._profile)
        _do_nothing()


own_threads: dict[int, ReusableThread] = {}
"""The threads of this class that run, by their identifiers."""


def _do_nothing() -> None:
    """Is called for a trace function that replaces itself when it first hears of a call, as that of coverage does."""


def is_raised_by_threading(error: BaseException) -> bool:
    """Whether ``threading`` itself raised ``error``, and not a signal handler in the middle of it."""
    entry = traceback_of(error)
    while entry is not None and entry.tb_next is not None:
        entry = entry.tb_next
    return entry is not None and entry.tb_frame.f_globals.get("__name__") == threading.__name__


def report(error: BaseException, thread: threading.Thread | None = None) -> None:
    """Reports an error that no caller can be given to ``threading.excepthook``, as threads do with theirs.

    ``thread`` is the thread to name, by default the current one. The default hook ignores ``SystemExit``.
    """
    arguments: Any = (type(error), error, traceback_of(error), thread or threading.current_thread())
    try:
        threading.excepthook(threading.ExceptHookArgs(arguments))
    except BaseException as broken:
        # `threading` does the same with an error of the hook.
        sys.excepthook(type(broken), broken, traceback_of(broken))
    finally:
        del arguments, error
