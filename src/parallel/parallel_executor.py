"""``ParallelExecutor``: one thread per call, a ``Future`` for each."""

from __future__ import annotations

from concurrent.futures import Executor, Future, InvalidStateError
from contextvars import copy_context
from threading import get_ident
from typing import Any, Callable, Sequence, TypeVar

from parallel import _threads
from parallel._call_future import CallFuture
from parallel._checks import checked_name, name_of
from parallel._compat import ParamSpec
from parallel._gate import Gate

P = ParamSpec("P")
T = TypeVar("T")


class ParallelExecutor(Executor):
    """Calls functions at once, each on a thread of its own.

    The class does so with ``execute_one`` and ``execute``. An instance is a standard ``concurrent.futures.Executor`` in
    which nothing ever queues: a call starts when it is submitted, whatever the other calls do. Its futures are
    running from the beginning, so they cannot be cancelled.

    Calls see the context variables of their caller as they were when the call was started, and keep their own changes
    to themselves. All methods may be called from any thread at any time.
    """

    def __init__(self) -> None:
        """Makes an executor, which needs no arguments: there is nothing to set."""
        self._shut_down = False
        # By process: the calls of a parent never end in a forked child.
        self._running: dict[object, _Running] = {}

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
        _threads.current.expect()
        call = Call(func, args, kwargs, checked_name(func, "ParallelExecutor.execute_one()"))
        _threads.current.start(call)
        return call

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
        where = "ParallelExecutor.execute()"
        return _start_all([Call(each, (), {}, checked_name(each, where)) for each in (func, *funcs)])

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
            RuntimeError: The executor has been shut down, no thread could be started, or the interpreter is shutting
                down.
            MemoryError: There is no memory for one more thread.
        """
        _threads.current.expect()
        name = checked_name(fn, "ParallelExecutor.submit()")
        call = _SubmittedCall(self, fn, args, kwargs, name)
        try:
            # First noted and then checked; shutdown() does the two the other way round, so one of them sees the other.
            self._running_here().calls[call] = None
            if self._shut_down:
                raise RuntimeError("cannot schedule new futures after shutdown")
            _threads.current.start(call)
        except BaseException:
            self._forget(call)
            raise
        return call

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002  # As in the base class.
        """Ends the executor: ``submit`` raises a ``RuntimeError`` from now on.

        Args:
            wait: Whether to wait until all calls and their done-callbacks have ended.
            cancel_futures: Changes nothing: no call is ever waiting to be started.

        Raises:
            RuntimeError: With ``wait``, when called from one of the executor's own calls, which would wait for itself.
            BaseException: What a signal handler raises while it waits. The executor is shut down all the same, and
                waiting for it can be gone on with by calling this again.
        """
        del cancel_futures
        self._shut_down = True
        if not wait:
            return
        running = self._running_here()
        if any(call.thread == get_ident() for call in list(running.calls)):
            raise RuntimeError("cannot join current thread")
        if running.calls:
            running.all_ended.wait()

    def __repr__(self) -> str:
        running = len(self._running_here().calls)
        states = ["shut down"] if self._shut_down else []
        if running or not states:
            states.append(f"{running or 'no'} call{'' if running == 1 else 's'} running")
        return f"<{type(self).__name__}: {', '.join(states)}>"

    def _running_here(self) -> _Running:
        """The calls that run in this process."""
        running = self._running.get(_threads.process)
        if running is None:
            # Of several threads that are the first in a forked child, all get the same.
            running = self._running.setdefault(_threads.process, _Running())
            for process in list(self._running):
                if process is not _threads.process:
                    self._running.pop(process, None)
        return running

    def _forget(self, call: _SubmittedCall) -> None:
        running = self._running_here()
        running.calls.pop(call, None)
        if self._shut_down and not running.calls:
            running.all_ended.open()


class _Running:
    """The calls of an executor that run in one process, and the wait for their end."""

    def __init__(self) -> None:
        self.calls: dict[_SubmittedCall, None] = {}
        self.all_ended = Gate()


class Call(CallFuture):
    """A function and its arguments, started on a thread, and the future of what becomes of it."""

    def __init__(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], name: str) -> None:
        """Prepares the call, with the caller's context variables as they are now."""
        super().__init__()
        self.name = name
        self._context = copy_context()
        self._func = func
        self._args = args
        # Nearly all have none: an object less to be held, and for the garbage collector to look at.
        self._kwargs = kwargs or None

    def run(self) -> None:
        """Makes the call, and its done-callbacks, in the copy of the caller's context."""
        context = self._context
        del self._context
        try:
            # Not the bound method, which takes a little more of the stack: a page more for each call, on CPython 3.13.
            context.run(Call._run, self)
        finally:
            # The frames of an error's traceback refer back to this one.
            del self

    def _run(self) -> None:
        func, args, kwargs = self._func, self._args, self._kwargs
        # Nothing of the call is kept while done-callbacks run, nor after results() has returned.
        del self._func, self._args, self._kwargs
        try:
            result = func(*args) if kwargs is None else func(*args, **kwargs)
        except BaseException as error:
            del func, args, kwargs
            if error.__traceback__ is not None:
                error.__traceback__ = error.__traceback__.tb_next  # Without this frame.
            self._fail(error)
        else:
            del func, args, kwargs
            try:
                self.set_result(result)
            except InvalidStateError:
                pass  # Its user has set it, and so has no use for the result.
        finally:
            # As above.
            del self

    def _fail(self, error: BaseException) -> None:
        try:
            self.set_exception(error)
        except InvalidStateError:
            _threads.report(error)  # Its user has set it, so nobody will ask for the error.
        finally:
            del self, error


class _SubmittedCall(Call):
    """A call that an instance of ``ParallelExecutor`` waits for in ``shutdown``."""

    def __init__(self, executor: ParallelExecutor, *call: Any) -> None:
        super().__init__(*call)
        self._executor = executor
        self.thread: int | None = None

    def run(self) -> None:
        executor = self._executor
        self.thread = get_ident()
        try:
            super().run()
        finally:
            executor._forget(self)  # noqa: SLF001  # One class in two parts.
            # The frames of an error's traceback refer back to this one.
            del self


def _start_all(calls: list[Call]) -> list[Future[Any]]:
    _threads.current.start_all(calls)
    return list(calls)


def start_calls(func: Callable[..., T], arguments: Sequence[tuple[Any, ...]]) -> list[Future[T]]:
    """Starts a call, of a function that has been checked, for each of ``arguments``; all or none of them."""
    name = name_of(func)
    return _start_all([Call(func, each, {}, name) for each in arguments])


def start_call(func: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any], name: str) -> Future[T]:
    """Starts a call of a function that has been checked, and has that name."""
    _threads.current.expect()
    call = Call(func, args, kwargs, name)
    _threads.current.start(call)
    return call
