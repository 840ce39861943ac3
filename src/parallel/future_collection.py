"""``FutureCollection``: a chain of calls and their results."""

from __future__ import annotations

import functools
import sys
from concurrent.futures import Executor, Future
from types import FunctionType
from typing import TYPE_CHECKING, Any, Callable, Generator, Generic, Literal, NoReturn, Sequence, TypeVar, cast

from parallel import _process
from parallel._call import Call
from parallel._chained_call import (
    START_ON_OWN_THREAD,
    ChainedCall,
    Submit,
    failure_of_all,
    mark_retrieved,
    rank,
    submitter,
    timed_out,
)
from parallel._checks import check_function, check_return_when, check_timeout
from parallel._compat import (
    FIRST_METHOD_OF_ASYNC_WITH,
    FIRST_METHOD_OF_WITH,
    ParamSpec,
    TypeVarTuple,
    Unpack,
    copy_annotations,
)
from parallel._exceptions import append_context, raise_unchanged
from parallel._limit import let_go_abandoned
from parallel._mistakes import explain_arguments, refuse_to_enter, refuse_unstarted
from parallel._names import is_ordinary, joined
from parallel._sync import Once
from parallel._waiting import AllDone, FirstFailure
from parallel.return_when import ReturnWhen

if TYPE_CHECKING:
    from parallel._futures_by_position import FuturesByPosition

P = ParamSpec("P")
T = TypeVar("T")
Ts = TypeVarTuple("Ts")
_ALL_COMPLETED = ReturnWhen.ALL_COMPLETED
_NOT_RESULTS = "a FutureCollection holds calls, not their results: ask for these with .results(), as in"


class FutureCollection(Generic[Unpack[Ts]]):
    """A chain of calls: ``parallel(func)(...)`` starts the first, ``.parallel(func)(...)`` one more.

    Calling what ``chain.parallel(func)`` returned consumes the chain: the call belongs to the new chain that it
    returns. The old chain raises a ``RuntimeError`` from everything, so a forgotten assignment loses no call.

    Errors are reported through ``threading.excepthook`` if the chain is dropped and nobody retrieved them, by
    ``results()`` or ``futures``. Any thread may call any method at any time.
    """

    def __init__(self) -> None:
        """Makes a chain without calls; ``parallel``, ``parallel_map`` and ``create`` make others."""
        self._links: list[ChainedCall] = []
        self._submit = START_ON_OWN_THREAD
        self._latches: dict[type[AllDone], AllDone] = {}
        self._first_failed: ChainedCall | None = None
        self._all_returned = False
        # Claimed by the call that consumes this chain, with its name. When it has begun, its chain takes the links.
        self._consumption: Once[list[str]] = Once()

    @staticmethod
    @explain_arguments
    def create(func: Callable[P, T], /) -> Callable[P, FutureCollection[T]]:
        """Does for functions what ``parallel(func)`` does.

        Args:
            func: The function to call.

        Returns:
            A function with the parameters of ``func`` that starts the call and returns the chain.

        Raises:
            TypeError: As for ``parallel``.
        """
        name = check_function(func, "FutureCollection.create()")
        return prepare_call(func, name, None, START_ON_OWN_THREAD)

    @explain_arguments
    def parallel(self, func: Callable[P, T], /) -> Callable[P, FutureCollection[Unpack[Ts], T]]:
        """Prepares one more call, which runs where the first one does.

        Args:
            func: The function to call.

        Returns:
            A function with the parameters of ``func`` that starts the call,
            consumes this chain and returns a new one. If the call cannot start,
            it raises a ``RuntimeError`` or a ``MemoryError``, or what the
            executor raises, and leaves this chain as it was.

        Raises:
            TypeError: ``func`` is not callable, or is a coroutine function or a
                context manager.
            RuntimeError: The chain has been consumed.
        """
        name = check_function(func, "FutureCollection.parallel()")
        self._check_not_consumed()
        return prepare_call(func, name, self, self._submit)

    @explain_arguments
    def results(
        self,
        *,
        timeout: float | None = None,
        return_when: Literal[ReturnWhen.ALL_COMPLETED, ReturnWhen.FIRST_EXCEPTION] = ReturnWhen.ALL_COMPLETED,
    ) -> tuple[Unpack[Ts]]:
        """Waits for the calls and returns their results.

        Blocks until then. It may be called again, also after a timeout or
        Ctrl-C: the calls continue.

        Args:
            timeout: For how many seconds to wait at most; ``None`` for no
                limit.
            return_when: ``ALL_COMPLETED`` waits for all calls;
                ``FIRST_EXCEPTION`` raises the first failure as it happens.

        Returns:
            The return values of the calls, in the order of the chain.

        Raises:
            BaseException: The exception that a call raised, if one failed, with
                its own traceback and context; or the exception that a signal
                handler raised during the wait, as Ctrl-C does.
            BaseExceptionGroup: Several calls failed. It holds their exceptions
                in the order of the chain; an ``ExceptionGroup`` if all are
                ``Exception``. On Python 3.10 and below, that of the
                ``exceptiongroup`` package.
            TimeoutError: The time limit passed, and no call had failed by then.
            TypeError: ``timeout`` is not a number.
            ValueError: ``timeout`` is NaN, or ``return_when`` is neither of the
                two.
            RuntimeError: The chain has been consumed.
        """
        __tracebackhide__ = True
        seconds = check_timeout(timeout)
        is_for_all = return_when is _ALL_COMPLETED or check_return_when(return_when) is _ALL_COMPLETED
        kind = AllDone if is_for_all else FirstFailure
        links = self._current_links()
        link = None
        latch = self._latches.get(kind)
        if latch is None:
            latch = self._latches[kind] = kind([link.future for link in links])
        are_all_done = latch.wait(seconds) and is_for_all
        running: list[ChainedCall] = []
        failed: dict[ChainedCall, BaseException] = {}
        for link in links:
            if not are_all_done and not link.future.done():
                running.append(link)
                continue
            failure = link.failure()
            if failure is not None:
                failed[link] = failure
        if not running and not failed:
            self._all_returned = True
            return tuple([link.future.result() for link in links])
        late = timed_out(running, len(links), seconds) if running else None
        if failed and not is_for_all:
            # The answer stays the same when more calls fail.
            self._first_failed = self._first_failed or min(failed, key=rank)
            failure = failed[self._first_failed]
            failed = {link: each for link, each in failed.items() if each is failure}
        else:
            failure = failure_of_all(failed, len(links), late)
        append_context(failure, sys.exc_info()[1])
        try:
            raise_unchanged(failure)
        except BaseException as raised:
            if raised is failure:  # A signal handler may have raised something else.
                mark_retrieved(failed)
            raise
        finally:
            # The traceback refers to this frame.
            del self, links, link, running, failed, failure, late

    def cancel(self) -> None:
        """Asks all calls that still run to stop, the last one first; see ``cancellation``. Does not wait for them.

        Another executor drops those of its calls that it has not started.

        Raises:
            RuntimeError: The chain has been consumed.
        """
        for link in reversed(self._current_links()):
            link.future.cancel()

    def abandon(self) -> None:
        """Asks all calls that still run to stop, and has nobody wait for them any more.

        Neither the end of the program nor ``shutdown(wait=True)`` waits for them, nor for calls that they make. Their
        errors are not reported. The chain may still be asked for its results and futures. Calls on another executor can
        only be cancelled.

        Raises:
            RuntimeError: The chain has been consumed.
        """
        for link in reversed(self._current_links()):
            link.is_retrieved = True
            if isinstance(link.future, Call):
                link.future.abandon()
            else:
                link.future.cancel()
        let_go_abandoned()

    def _get_futures(self) -> tuple[Future[Any], ...]:
        """The calls' futures, each with the type of its call, in the order of the chain."""
        links = self._current_links()
        for link in links:
            link.is_retrieved = True
        return tuple(link.future for link in links)

    futures: FuturesByPosition = cast(Any, property(_get_futures))
    """The calls' futures, in the order of the chain: ``tuple[CallFuture[int], CallFuture[str]]``.

    Reading it never blocks. The chain no longer reports errors once its futures have been read: the caller checks them.
    Checkers know the type of each future of up to ten calls; those of a longer chain are ``CallFuture[Any]``.

    Raises:
        RuntimeError: The chain has been consumed.
    """

    def __await__(self) -> Generator[Any, None, tuple[Unpack[Ts]]]:
        """Waits for the calls without blocking the event loop (asyncio), and returns what ``results()`` returns.

        Any event loop may await a chain, also again.

        Raises:
            BaseException: As for ``results()``.
            asyncio.CancelledError: The task was cancelled. The calls are asked to stop.
        """
        __tracebackhide__ = True
        from parallel._asyncio import wait_for_all  # noqa: PLC0415  # Programs without asyncio do not pay for it.

        yield from wait_for_all([link.future for link in self._current_links()]).__await__()
        try:
            return self.results()
        finally:
            # The traceback refers to this frame.
            del self

    def __repr__(self) -> str:
        consumption = self._consumption.holder
        if consumption is None:
            states = joined([link.describe() for link in self._links])
        else:
            states = f"consumed by .parallel({consumption[0]})(...)"
        return f"<{type(self).__name__}: {states or 'empty'}>"

    def __del__(self) -> None:
        consumption = getattr(self, "_consumption", None)  # A chain whose `__init__` failed has none.
        if consumption is None or consumption.holder is not None or self._all_returned:
            return
        for link in self._links:
            link.report_if_not_retrieved()

    def _current_links(self) -> list[ChainedCall]:
        # Copy the links, then check. Another thread claims the chain, then takes the links. So this thread has all of
        # them, or raises.
        links = self._links[:]
        self._check_not_consumed()
        return links

    def _check_not_consumed(self) -> None:
        consumption = self._consumption.holder
        if consumption is not None:
            raise RuntimeError(
                f"this FutureCollection has been consumed by .parallel({consumption[0]})(...): "
                f"use the FutureCollection which that call returned, as in `calls = calls.parallel(func)(...)`"
            )

    def _claim(self, consumption: list[str]) -> None:
        """Makes ``consumption`` what consumes this chain."""
        while not self._consumption.claim(consumption):
            self._check_not_consumed()

    def _release(self, consumption: list[str], links: list[ChainedCall]) -> None:
        """Gives the chain its ``links`` back, if any were taken, and lets it be used again."""
        if self._consumption.holder is consumption:
            self._links = links or self._links
            self._consumption = Once()

    if not TYPE_CHECKING:
        # Mistakes. Checkers see none of these methods, and refuse the mistakes in their own words.

        def __iter__(self) -> NoReturn:
            """Raises a ``TypeError``: ``results()`` returns what can be unpacked."""
            raise TypeError(f"{_NOT_RESULTS} `a, b = calls.results()`")

        def __contains__(self, _: object) -> NoReturn:
            """Raises a ``TypeError``: ``results()`` returns what can be searched."""
            raise TypeError(f"{_NOT_RESULTS} `x in calls.results()`")

        def __getitem__(self, _: object) -> NoReturn:
            """Raises a ``TypeError``: ``results()`` returns what has an index."""
            raise TypeError(f"{_NOT_RESULTS} `calls.results()[0]`; its futures are in .futures")

        def __len__(self) -> int:
            """Raises a ``TypeError``: ``results()`` returns what has a length."""
            raise TypeError(f"{_NOT_RESULTS} `len(calls.results())`; its futures are in .futures")

        def __bool__(self) -> bool:
            """Returns ``True``: otherwise ``__len__`` would be asked."""
            return True


# A property of only the method that `with` looks up first: so a chain does not pass for a context manager.
for _name in (FIRST_METHOD_OF_WITH, FIRST_METHOD_OF_ASYNC_WITH):
    setattr(FutureCollection, _name, property(refuse_to_enter))


def start_map(
    func: Callable[..., T], name: str, arguments: Sequence[tuple[Any, ...]], executor: Executor | None
) -> FutureCollection[Unpack[tuple[T, ...]]]:
    """Starts a call of ``func``, which has been checked, for each of ``arguments``.

    Starts all or none of them; but another executor may have begun some before it refuses one.
    """
    submit = submitter(executor)
    links = [ChainedCall(name) for _ in arguments]
    # If starting them raises, dropping this chain reports the errors of those that have begun all the same.
    chain: FutureCollection[Unpack[tuple[T, ...]]] = FutureCollection()
    chain._links, chain._submit = links, submit  # noqa: SLF001  # One class in two parts.
    try:
        if executor is None:
            _process.pool.start_all([link.make_call(func, each, {}) for link, each in zip(links, arguments)])
        else:
            for link, each in zip(links, arguments):
                submit(link, func, each, {})
        return chain
    except BaseException:
        for link in links:
            link.future.cancel()
        raise
    finally:
        del chain, links  # The traceback refers to this frame.


def prepare_call(
    func: Callable[P, T], name: str, chain: FutureCollection[Unpack[tuple[Any, ...]]] | None, submit: Submit
) -> Callable[P, Any]:
    """Makes the function that looks like ``func`` and starts it as the last call of a chain."""

    def start(*args: Any, **kwargs: Any) -> FutureCollection[Any]:
        # A signal handler may raise anywhere here. Then the old chain has its calls back, and the new chain, which is
        # dropped, has the new call, if it has begun.
        consumption = [name]
        link = ChainedCall(name)
        links: list[ChainedCall] = []
        new: FutureCollection[Any] = FutureCollection()
        new._links, new._submit = [link], submit  # noqa: SLF001  # One class in two parts.
        try:
            if chain is not None:
                chain._claim(consumption)  # noqa: SLF001  # As above.
            submit(link, func, args, kwargs)
            if chain is not None:
                links, chain._links = chain._links, links  # noqa: SLF001  # As above.
            links.append(link)
            new._links = links  # noqa: SLF001  # As above.
            return new
        except BaseException:
            new._links = [link]  # noqa: SLF001  # As above.
            if chain is not None:
                chain._release(consumption, [each for each in links if each is not link])  # noqa: SLF001  # As above.
            raise
        finally:
            # The traceback refers to this frame.
            del new, link, links

    # For those who forget to call it.
    attributes = start.__dict__
    attributes["parallel"] = attributes["results"] = refuse_unstarted
    if type(func) is not FunctionType:
        start.__name__ = name.rpartition(".")[2]
        start.__qualname__ = name
        if is_ordinary(func):
            return functools.wraps(func)(start)
        try:
            return functools.wraps(func)(start)
        except Exception:
            # A proxy may have every attribute, so that its name is no string; or raise when it is asked for one.
            return start
    # As functools.wraps does, which takes as long as half a call; without the attributes that only decorators use.
    start.__module__ = func.__module__
    start.__name__ = func.__name__
    start.__qualname__ = func.__qualname__
    start.__doc__ = func.__doc__
    copy_annotations(func, start)
    attributes["__wrapped__"] = func
    return start
