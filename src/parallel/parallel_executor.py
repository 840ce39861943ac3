"""``ParallelExecutor``: one thread per call, a ``Future`` for each."""

from __future__ import annotations

import threading
from concurrent.futures import Executor, Future
from types import MethodType
from typing import Any, Callable, Sequence, TypeVar, cast

from parallel import _process
from parallel._call import Call
from parallel._checks import check_function, check_max_workers
from parallel._compat import ParamSpec
from parallel._limit import Limit, LimitedCall, Runner
from parallel._thread import own_threads

P = ParamSpec("P")
T = TypeVar("T")

M = TypeVar("M")


class _MethodOfBoth:
    """A method that gets the instance that it is called on, or the class."""

    def __init__(self, func: Callable[..., Any]) -> None:
        self.__func__ = func
        self.__doc__ = func.__doc__

    def __get__(self, instance: object, owner: type) -> Any:
        return MethodType(self.__func__, owner if instance is None else instance)


def _of_both(method: M) -> M:
    """Makes a ``classmethod`` a method of both. Checkers see the ``classmethod``."""
    of_both: Any = _MethodOfBoth(cast("Any", method).__func__)
    return of_both  # type: ignore[no-any-return]


class ParallelExecutor(Executor):
    """Calls functions at once, each on a thread of its own.

    The class does so with ``execute_one`` and ``execute``. An instance is a standard ``concurrent.futures.Executor`` in
    which nothing queues, unless it is given a limit: a call starts when it is submitted. Its future is running from the
    beginning, so it cannot be cancelled. A call sees the caller's context variables as they were when it was submitted,
    and keeps its own changes.

    With a limit, the calls above it wait in order, on the same threads as all calls. Their futures are pending, and
    ``cancel()`` returns ``True``. The limit counts the calls of ``submit``, ``map``, ``execute_one`` and ``execute`` of
    that instance only, not those that they make with ``parallel()``. A call has its place until its function returns,
    or until it is abandoned; its done-callbacks need none. If no thread can be started when a place becomes free, the
    thread that freed it runs the queued calls after its done-callbacks; if none is left, they fail with that error.

    Any thread may call any method at any time.

    >>> with ParallelExecutor(max_workers=2) as executor:
    ...     list(executor.map(len, ["one", "three", "eleven"]))
    [3, 5, 6]
    """

    def __init__(self, max_workers: int | None = None) -> None:
        """Makes an executor; starts no thread.

        Args:
            max_workers: How many of its calls run at a time at most; ``None`` for no limit.

        Raises:
            TypeError: ``max_workers`` is neither an ``int`` nor ``None``.
            ValueError: ``max_workers`` is below one.
        """
        self._max_workers = check_max_workers(max_workers)
        # A forked child has threads of its own.
        self._limits: dict[_process.Pool, Limit] = {}
        self._is_shut_down = False

    @_of_both
    @classmethod
    def execute_one(cls, func: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Starts ``func(*args, **kwargs)`` on a thread of its own, at once.

        On an instance, does what ``submit`` does.

        Args:
            func: The function to call.
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
        name = check_function(func, "ParallelExecutor.execute_one()")
        self = _instance_of(cls)
        if self is not None:
            return self._start(func, args, kwargs, name)
        return _process.pool.start(Call, func, args, kwargs, name)

    @_of_both
    @classmethod
    def execute(cls, func: Callable[[], T], /, *funcs: Callable[[], T]) -> list[Future[T]]:
        """Starts functions that take no arguments, each on a thread of its own, at once; all or none of them.

        On an instance, the calls belong to it, as those of ``submit`` do.

        Args:
            func: The first function.
            *funcs: More functions.

        Returns:
            The calls' futures, in the order of the functions.

        Raises:
            TypeError: A function is not callable, or is a coroutine function; nothing has been started.
            RuntimeError: Not enough threads could be started, or the interpreter is shutting down; nothing has been
                started.
            MemoryError: There is no memory for so many threads; nothing has been started.
        """
        __tracebackhide__ = True
        functions = [(each, check_function(each, "ParallelExecutor.execute()")) for each in (func, *funcs)]
        self = _instance_of(cls)
        if self is not None:
            return self._start_all(functions)
        calls = [Call(each, (), {}, name) for each, name in functions]
        _process.pool.start_all(calls)
        return list(calls)

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:  # type: ignore[override, unused-ignore]  # On 3.8 it has the name fn.
        """Starts ``fn(*args, **kwargs)`` on a thread of its own, at once, or as soon as the limit allows.

        Args:
            fn: The function to call.
            *args: Its positional arguments.
            **kwargs: Its keyword arguments, of any name.

        Returns:
            The call's future, which is running, or is pending if there is a limit.

        Raises:
            TypeError: ``fn`` is not callable, or is a coroutine function.
            RuntimeError: The executor has been shut down, or as for ``execute_one``: there was a place for the call,
                but no thread. Then it does not run, nor is it queued.
            MemoryError: As for ``execute_one``.
        """
        __tracebackhide__ = True
        return self._start(fn, args, kwargs, check_function(fn, "ParallelExecutor.submit()"))

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002  # As in the base class.
        """Ends the executor: ``submit`` raises a ``RuntimeError`` from now on.

        Args:
            wait: Whether to wait until all calls and their done-callbacks have ended, also those that are queued.
            cancel_futures: Whether to cancel the calls that are queued, which only a limit makes wait.

        Raises:
            RuntimeError: With ``wait``, when called from one of the executor's own calls, which would wait for itself.
            BaseException: The exception that a signal handler raises meanwhile. The executor is shut down all the same;
                to continue to wait, call this again.
        """
        # Set it, then look for calls. submit() notes the call, then looks whether it is set. So one of the two sees the
        # other.
        self._is_shut_down = True
        if cancel_futures:
            for limit in list(self._limits.values()):
                limit.cancel_queued()
        if not wait:
            return
        thread = own_threads.get(threading.get_ident())
        if thread is not None and thread.runnable in self._unfinished_calls():
            raise RuntimeError("cannot join current thread")
        while True:
            busy = [each for each in self._unfinished_calls() + self._runners() if not each.is_suspended]
            if not busy:
                break
            for each in busy:
                _process.pool.wait_for(each)
        _process.pool.join_idle()

    def __repr__(self) -> str:
        calls = self._unfinished_calls()
        queued = sum(not (call.running() or call.done()) for call in calls)
        running = len(calls) - queued
        states = ["shut down"] if self._is_shut_down else []
        if running or not states:
            states.append(f"{running or 'no'} call{'' if running == 1 else 's'} running")
        if queued:
            states.append(f"{queued} pending")
        return f"<{type(self).__name__}: {', '.join(states)}>"

    def _start(self, func: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any], name: str) -> Future[T]:
        accept = self._check_not_shut_down
        if self._max_workers is None:
            return _process.pool.start(self._make_call, func, args, kwargs, name, accept=accept)
        limit = self._limit(self._max_workers)
        call = LimitedCall(limit, self, func, args, kwargs, name)
        limit.start((call,), accept)
        return call

    def _start_all(self, functions: Sequence[tuple[Callable[[], T], str]]) -> list[Future[T]]:
        accept = self._check_not_shut_down
        if self._max_workers is None:
            calls = [self._make_call(func, (), {}, name) for func, name in functions]
            _process.pool.start_all(calls, accept)
            return list(calls)
        limit = self._limit(self._max_workers)
        limited = [LimitedCall(limit, self, func, (), {}, name) for func, name in functions]
        limit.start(limited, accept)
        return list(limited)

    def _limit(self, number: int) -> Limit:
        """Returns the places and the queue of this process."""
        pool = _process.pool
        return self._limits.get(pool) or self._limits.setdefault(pool, Limit(number, pool))

    def _check_not_shut_down(self) -> None:
        if self._is_shut_down:
            raise RuntimeError("cannot schedule new futures after shutdown")

    def _make_call(self, *call: Any) -> Call:
        made = Call(*call)
        made.executor = self
        return made

    def _unfinished_calls(self) -> list[Call]:
        """Returns the calls of this executor that run in this process."""
        unfinished = list(_process.pool.unfinished)
        return [call for call in unfinished if isinstance(call, Call) and call.executor is self]

    def _runners(self) -> list[Runner]:
        """Returns what runs its calls, if there is a limit."""
        limit = self._limits.get(_process.pool)
        return [each for each in list(_process.pool.unfinished) if isinstance(each, Runner) and each.limit is limit]


def _instance_of(receiver: Any) -> ParallelExecutor | None:
    """Returns what a method of both was called on, unless it was called on the class."""
    return None if isinstance(receiver, type) else receiver
