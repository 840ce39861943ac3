"""``FutureCollection``: calls chained, results asked."""

from __future__ import annotations

import functools
import sys
from concurrent.futures import CancelledError, Executor, Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from threading import Thread, current_thread
from time import monotonic
from types import FunctionType, TracebackType
from typing import Any, Callable, Generator, Generic, Literal, NoReturn, Protocol, Sequence, TypeVar, overload

from parallel import _threads
from parallel._checks import (
    check_chained_function,
    check_function,
    check_return_when,
    check_timeout,
    listed,
    name_of,
    submit_of,
)
from parallel._compat import ParamSpec, TypeVarTuple, Unpack
from parallel._outcomes import (
    FirstFailure,
    append_context,
    combined,
    failure_of,
    raise_unchanged,
)
from parallel.parallel_executor import start_call, start_calls
from parallel.return_when import ReturnWhen

P = ParamSpec("P")
T = TypeVar("T")
Ts = TypeVarTuple("Ts")
_ALL_COMPLETED = ReturnWhen.ALL_COMPLETED


class Start(Protocol):
    """What starts calls.

    Not an alias: below 3.9 that could have its ``Future[Any]`` as a string only. Up to 3.13 the first string that is
    met among types takes 1.5 ms, a tenth of what it takes to import ``concurrent.futures``.
    """

    def __call__(
        self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], name: str, /
    ) -> Future[Any]:
        """Starts the call of a function with these arguments, which has that name."""
        ...  # Otherwise pyright takes this for all that it does.


class FutureCollection(Generic[Unpack[Ts]]):
    """Calls that were started in parallel: ``parallel(func)(...)`` starts the first, ``.parallel(func)(...)`` one more.

    ``results()`` waits for them and gives their results, in the order in which they were chained.

    Calling what ``chain.parallel(func)`` returned consumes the chain: the call belongs to the new collection that it
    returns, and the old one raises a ``RuntimeError`` from everything, so that no call is lost by forgetting to assign
    the new one.

    A call's error that nobody took is reported through ``threading.excepthook`` once the collection is dropped. It has
    been taken when ``results()`` raised it, alone or in a group, or when ``futures`` was read.

    All methods may be called from any thread at any time.
    """

    def __init__(self, links: list[Link], start: Start) -> None:
        """For the library itself: ``parallel`` and ``create`` make collections."""
        self._start = start
        self._consumer = ""
        self._first_failure_watch: FirstFailure | None = None
        self._first_failure: Link | None = None
        self._all_returned = False
        # The list is taken out, atomically, by whoever consumes the chain.
        self._held = [links]

    # Overloads: with an optional executor=, mypy would keep only the first overload of an overloaded func.
    @overload
    @staticmethod
    def create(func: Callable[P, T], /) -> Callable[P, FutureCollection[T]]: ...

    @overload
    @staticmethod
    def create(func: Callable[P, T], /, *, executor: Executor | None) -> Callable[P, FutureCollection[T]]: ...

    @staticmethod
    def create(func: Callable[P, T], /, *, executor: Executor | None = None) -> Callable[P, FutureCollection[T]]:
        """Prepares the first call of a chain, as ``parallel(func)`` does for functions.

        Args:
            func: What to call.
            executor: What runs the calls of the chain; by default, each has a thread of its own.

        Returns:
            A function with the parameters of ``func`` that starts the call and returns the chain. It raises a
            ``RuntimeError`` or a ``MemoryError`` if no thread can be had, or what ``executor.submit`` raises.

        Raises:
            TypeError: ``func`` is not callable, or is a coroutine function, or ``executor`` is not an executor.
        """
        check_function(func, "FutureCollection.create()")
        return prepared(func, None, start_of(executor))

    # Overloads: as above. mypy 1.14, the last for 3.8, and 1.15 crash on overloads of which both self and what they are
    # called on are of a type with a TypeVarTuple. So self is an object: all checkers still know what the chain holds.
    @overload
    def parallel(self: object, func: Callable[P, T], /) -> Callable[P, FutureCollection[Unpack[Ts], T]]: ...

    @overload
    def parallel(
        self: object, func: Callable[P, T], /, *, executor: Executor | None
    ) -> Callable[P, FutureCollection[Unpack[Ts], T]]: ...

    def parallel(
        self, func: Callable[P, T], /, *, executor: Executor | None = None
    ) -> Callable[P, FutureCollection[Unpack[Ts], T]]:
        """Prepares one more call.

        Args:
            func: What to call.
            executor: What runs this call and those chained after it; by
                default, what ran the one before.

        Returns:
            A function with the parameters of ``func`` that starts the call,
            consumes this collection and returns the one to go on with. If the
            call cannot be started, it leaves this collection as it was and
            raises a ``RuntimeError`` or a ``MemoryError``, or what the
            executor raises.

        Raises:
            TypeError: ``func`` is not callable, or is a coroutine function or
                a context manager, or ``executor`` is not an executor.
            RuntimeError: The collection has been consumed.
        """
        check_chained_function(func)
        self._links()
        return prepared(func, self, self._start if executor is None else start_of(executor))

    def results(
        self,
        *,
        timeout: float | None = None,
        return_when: Literal[ReturnWhen.ALL_COMPLETED, ReturnWhen.FIRST_EXCEPTION] = ReturnWhen.ALL_COMPLETED,
    ) -> tuple[Unpack[Ts]]:
        """Waits for the calls and returns their results, in the chain's order.

        It blocks until then, and may be asked again, also after a time limit or
        Ctrl-C ended the wait: the calls go on.

        Args:
            timeout: For how many seconds to wait at most; without, for as long
                as it takes.
            return_when: ``ALL_COMPLETED`` waits for all calls.
                ``FIRST_EXCEPTION`` raises the first failure as soon as it
                happens.

        Returns:
            What the calls returned, in the order of the chain.

        Raises:
            BaseException: What a call raised, if one failed, with its own
                traceback and context; or what a signal handler raised during
                the wait, as Ctrl-C does.
            BaseExceptionGroup: If several failed, with their exceptions in the
                order of the chain; an ``ExceptionGroup`` if all are
                ``Exception``. On Python 3.10 and below, that of the
                ``exceptiongroup`` package.
            TimeoutError: The time limit passed, and no call had failed by then.
            TypeError: ``timeout`` is not a number.
            ValueError: ``timeout`` is NaN, or ``return_when`` is none of the
                two.
            RuntimeError: The collection has been consumed.
        """
        seconds = check_timeout(timeout)
        links = self._links()
        if return_when is _ALL_COMPLETED or check_return_when(return_when) is _ALL_COMPLETED:
            failure = self._wait_for_all(links, seconds)
        else:
            failure = self._wait_for_first(links, seconds)
        if failure is None:
            self._all_returned = True
            return tuple([link.future.result() for link in links])
        append_context(failure, sys.exc_info()[1])
        try:
            raise_unchanged(failure)
        finally:
            # The traceback refers to this frame.
            del self, links, failure

    @property
    def futures(self) -> tuple[Future[Any], ...]:
        """The calls' futures, in the order of the chain.

        Whoever reads it answers for the errors: they are not reported any more. It never blocks.

        Raises:
            RuntimeError: The collection has been consumed.
        """
        links = self._links()
        for link in links:
            link.taken = True
        return tuple(link.future for link in links)

    def __await__(self) -> Generator[Any, None, tuple[Unpack[Ts]]]:
        """Waits for the calls without blocking the event loop (asyncio), and gives what ``results()`` gives.

        A task that is cancelled meanwhile leaves the calls running. It may be awaited on any event loop, and again.

        Raises:
            BaseException: What ``results()`` raises: an error of a call, or a group of several.
            asyncio.CancelledError: The task was cancelled.
            RuntimeError: The collection has been consumed.
        """
        # Imported late: who does not use asyncio does not pay for it.
        from parallel._asynchronous import wait_for_all  # noqa: PLC0415

        yield from wait_for_all([link.future for link in self._links()]).__await__()
        try:
            return self.results()
        finally:
            # The traceback refers to this frame.
            del self

    def __repr__(self) -> str:
        try:
            states = listed([link.describe() for link in self._held[0]])
        except IndexError:
            states = f"consumed by .parallel({self._consumer})(...)"
        return f"<{type(self).__name__}: {states or 'empty'}>"

    def __del__(self) -> None:
        held = getattr(self, "_held", None)  # What could not be made has none.
        if not held or self._all_returned:
            return
        for link in held[0]:
            if link.taken:
                continue
            if link.future.done():
                _report_failure(link.future, link.name)
            else:
                link.future.add_done_callback(functools.partial(_report_failure, name=link.name, runs_here=True))

    def _links(self) -> list[Link]:
        try:
            return self._held[0]
        except IndexError:
            self._raise_consumed()

    def _raise_consumed(self) -> NoReturn:
        raise RuntimeError(
            f"this FutureCollection has been consumed by .parallel({self._consumer})(...): "
            f"use the FutureCollection which that call returned, as in `calls = calls.parallel(func)(...)`"
        )

    def _take_links(self, consumer: str) -> list[Link]:
        try:
            links = self._held.pop()
        except IndexError:
            self._raise_consumed()
        self._consumer = consumer
        return links

    def _put_links_back(self, links: list[Link]) -> None:
        self._held.append(links)

    def _wait_for_all(self, links: list[Link], timeout: float | None) -> BaseException | None:
        """Waits for all calls; gives what to raise, if anything."""
        failed: list[Link] = []
        running: list[Link] = []
        end = None if timeout is None else monotonic() + timeout
        # From the last on: when that has ended, mostly all have, so that the caller is woken once.
        for link in reversed(links):
            try:
                failure = link.failure(None if end is None else max(end - monotonic(), 0.0))
            except FutureTimeoutError:
                running.append(link)
            else:
                if failure is not None:
                    failed.append(link)
        failed.reverse()
        running.reverse()
        timed_out = _timed_out(running, len(links), timeout) if running else None
        if not failed:
            return timed_out
        failure = combined([_taken(link) for link in failed], f"{len(failed)} of {len(links)} calls failed")
        append_context(failure, timed_out)
        try:
            return failure
        finally:
            # The traceback of a group refers to this frame.
            del failure

    def _wait_for_first(self, links: list[Link], timeout: float | None) -> BaseException | None:
        """Waits until a call has failed or all have returned; gives what to raise, if anything."""
        if self._first_failure is None:
            if self._first_failure_watch is None:
                self._first_failure_watch = FirstFailure([link.future for link in links])
            self._first_failure_watch.wait(timeout)
            running = [link for link in links if not link.future.done()]
            failed = [link for link in links if link not in running and link.failure() is not None]
            if not failed:
                return _timed_out(running, len(links), timeout) if running else None
            # The answer stays the same when more calls fail.
            self._first_failure = next(
                (link for link in failed if not isinstance(link.failure(), Exception)), failed[0]
            )
        return _taken(self._first_failure)


class Link:
    """One call of a chain: its future, its name, and whether somebody has taken its error."""

    def __init__(self, future: Future[Any], name: str) -> None:
        """A call that has been started."""
        self.future: Future[Any] = future
        self.name: str = name
        self.taken: bool = False
        self._failure: BaseException | None = None
        self._traceback: TracebackType | None = None

    def failure(self, timeout: float | None = None) -> BaseException | None:
        """Waits for the call and gives what it raised, the same object each time, with its traceback as it was.

        Raises:
            concurrent.futures.TimeoutError: It has not ended within ``timeout`` seconds.
        """
        if self._failure is None:
            self._failure = failure_of(self.future, timeout)
            if self._failure is None:
                return None
            self._traceback = self._failure.__traceback__
        return self._failure.with_traceback(self._traceback)

    def describe(self) -> str:
        """Says in what state the call is, and changes nothing: its error may be being handled just now."""
        # In this order: what ends in between is not taken for pending.
        if self.future.running():
            return f"{self.name} running"
        if not self.future.done():
            return f"{self.name} pending"
        failure = failure_of(self.future)
        if failure is None:
            return f"{self.name} finished"
        return f"{self.name} failed: {type(failure).__name__}"


def start_map(
    func: Callable[..., T], arguments: Sequence[tuple[Any, ...]], executor: Executor | None
) -> FutureCollection[Unpack[tuple[T, ...]]]:
    """Starts a call of ``func``, which has been checked, for each of ``arguments``.

    All or none of them are started; but another executor may have begun some before it refuses one.
    """
    name = name_of(func)
    if executor is None:
        futures = start_calls(func, arguments)
        return FutureCollection([Link(future, name) for future in futures], start_call)
    start = start_of(executor)
    links: list[Link] = []
    try:
        links.extend(Link(start(func, each, {}, name), name) for each in arguments)
    except BaseException:
        for link in links:
            link.future.cancel()
        # Those that run already report their errors, as those of any chain that is dropped.
        FutureCollection(links, start)
        raise
    return FutureCollection(links, start)


def start_of(executor: Executor | None) -> Start:
    """Gives what starts a call on ``executor``, or, without one, on a thread of its own."""
    if executor is None:
        return start_call
    submit = submit_of(executor)
    return lambda func, args, kwargs, _: submit(func, *args, **kwargs)


def prepared(
    func: Callable[P, T], chain: FutureCollection[Unpack[tuple[Any, ...]]] | None, start_call: Start
) -> Callable[P, Any]:
    """Makes the function that looks like ``func`` and starts it as the last call of a chain."""
    name = name_of(func)

    def start(*args: Any, **kwargs: Any) -> FutureCollection[Any]:
        links = [] if chain is None else chain._take_links(name)  # noqa: SLF001  # One class in two parts.
        try:
            links.append(Link(start_call(func, args, kwargs, name), name))
        except BaseException:
            if chain is not None:
                chain._put_links_back(links)  # noqa: SLF001  # As above.
            raise
        return FutureCollection(links, start_call)

    if type(func) is not FunctionType:
        start.__name__ = name.rpartition(".")[2]
        start.__qualname__ = name
        try:
            return functools.wraps(func)(start)
        except Exception:
            # A proxy may have every attribute, so that its name is no string; or raise when it is asked for one.
            return start
    # What functools.wraps sets, but for the attributes that only decorators use: it would cost as much as half a call.
    start.__module__ = func.__module__
    start.__name__ = func.__name__
    start.__qualname__ = func.__qualname__
    start.__doc__ = func.__doc__
    start.__dict__["__wrapped__"] = func
    return start


def _timed_out(running: Sequence[Link], total: int, timeout: float | None) -> TimeoutError:
    names = listed([link.name for link in running])
    return TimeoutError(f"{len(running)} of {total} calls still running after {timeout} seconds: {names}")


def _taken(link: Link) -> BaseException:
    link.taken = True
    failure = link.failure()
    assert failure is not None  # noqa: S101  # Only links that failed come here.
    return failure


def _report_failure(future: Future[Any], name: str, *, runs_here: bool = False) -> None:
    """Reports the error of a call that nobody will ask for, naming the thread that it ran on, if it is still there."""
    failure = failure_of(future)
    if failure is None or isinstance(failure, CancelledError):
        return
    thread = current_thread() if runs_here else None
    if thread is None or thread.name != name:
        # The call has ended before, or runs elsewhere. A finalizer must not ask for the current thread, nor must
        # Thread(), for its daemon: one that `threading` has forgotten, as it ends, would be listed anew, for ever.
        thread = Thread(name=name, daemon=False)
    _threads.report(failure, thread)
