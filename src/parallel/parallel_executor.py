"""``ParallelExecutor``: one thread per call, a ``Future`` for each."""

from __future__ import annotations

import threading
from concurrent.futures import Executor, Future
from typing import Any, Callable, TypeVar

from parallel import _process
from parallel._call import Call
from parallel._checks import checked_name
from parallel._compat import ParamSpec

P = ParamSpec("P")
T = TypeVar("T")


class ParallelExecutor(Executor):
    """Calls functions at once, each on a thread of its own.

    The class does so with ``execute_one`` and ``execute``. An instance is a standard ``concurrent.futures.Executor`` in
    which nothing queues: a call starts when it is submitted. Its future is running from the beginning, so it cannot be
    cancelled. A call sees the caller's context variables as they were when it started, and keeps its own changes.

    Any thread may call any method at any time.
    """

    def __init__(self) -> None:
        self._is_shut_down = False

    @classmethod
    def execute_one(cls, func: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Starts ``func(*args, **kwargs)`` on a thread of its own, at once.

        Args:
            func: What to call.
            *args: Its positional arguments.
            **kwargs: Its keyword arguments, of any name.

        Returns:
            The call's future, which is running.

        Raises:
            TypeError: ``func`` is not callable, or is a coroutine function.
            RuntimeError: No thread could be started, or the interpreter is shutting down.
            MemoryError: There is no memory for one more thread.
        """
        __tracebackhide__ = True
        name = checked_name(func, "ParallelExecutor.execute_one()")
        return _process.pool.start(Call, func, args, kwargs, name)

    @classmethod
    def execute(cls, func: Callable[[], T], /, *funcs: Callable[[], T]) -> list[Future[T]]:
        """Starts functions that take no arguments, each on a thread of its own, at once; all or none of them.

        Args:
            func: The first function.
            *funcs: More functions.

        Returns:
            The calls' futures, in the order of the functions.

        Raises:
            TypeError: One is not callable, or is a coroutine function; nothing has been started.
            RuntimeError: Not enough threads could be started, or the interpreter is shutting down; nothing has been
                started.
            MemoryError: There is no memory for so many threads; nothing has been started.
        """
        __tracebackhide__ = True
        where = "ParallelExecutor.execute()"
        calls = [Call(each, (), {}, checked_name(each, where)) for each in (func, *funcs)]
        _process.pool.start_all(calls)
        return list(calls)

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:  # type: ignore[override, unused-ignore]  # On 3.8 it has the name fn.
        """Starts ``fn(*args, **kwargs)`` on a thread of its own, at once.

        Args:
            fn: What to call.
            *args: Its positional arguments.
            **kwargs: Its keyword arguments, of any name.

        Returns:
            The call's future, which is running.

        Raises:
            TypeError: ``fn`` is not callable, or is a coroutine function.
            RuntimeError: The executor has been shut down, or as for ``execute_one``.
            MemoryError: As for ``execute_one``.
        """
        __tracebackhide__ = True
        name = checked_name(fn, "ParallelExecutor.submit()")
        return _process.pool.start(_SubmittedCall, self, fn, args, kwargs, name, accept=self._check_not_shut_down)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002  # As in the base class.
        """Ends the executor: ``submit`` raises a ``RuntimeError`` from now on.

        Args:
            wait: Whether to wait until all calls and their done-callbacks have ended.
            cancel_futures: Changes nothing: no call is ever waiting to be started.

        Raises:
            RuntimeError: With ``wait``, when called from one of the executor's own calls, which would wait for itself.
            BaseException: What a signal handler raises meanwhile. The executor is shut down all the same; to continue
                to wait, call this again.
        """
        del cancel_futures
        # Set it, then look for calls. submit() notes the call, then looks whether it is set. So one of the two sees the
        # other.
        self._is_shut_down = True
        if not wait:
            return
        calls = self._unfinished_calls()
        if any(call.thread == threading.get_ident() for call in calls):
            raise RuntimeError("cannot join current thread")
        for call in calls:
            _process.pool.wait_for(call)
        _process.pool.join_idle()

    def __repr__(self) -> str:
        running = len(self._unfinished_calls())
        states = ["shut down"] if self._is_shut_down else []
        if running or not states:
            states.append(f"{running or 'no'} call{'' if running == 1 else 's'} running")
        return f"<{type(self).__name__}: {', '.join(states)}>"

    def _check_not_shut_down(self) -> None:
        if self._is_shut_down:
            raise RuntimeError("cannot schedule new futures after shutdown")

    def _unfinished_calls(self) -> list[_SubmittedCall]:
        """Returns the calls of this executor that run in this process."""
        unfinished = list(_process.pool.unfinished)
        return [call for call in unfinished if isinstance(call, _SubmittedCall) and call.executor is self]


class _SubmittedCall(Call):
    """A call that an instance of ``ParallelExecutor`` waits for in ``shutdown``."""

    def __init__(self, executor: ParallelExecutor, *call: Any) -> None:
        super().__init__(*call)
        self.executor = executor
        self.thread: int | None = None

    def run(self) -> None:
        self.thread = threading.get_ident()
        try:
            super().run()
        finally:
            # The frames of an error's traceback refer back to this one.
            del self
