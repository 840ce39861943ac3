"""``ChainedCall``: one call of a chain. ``submitter``: how it is started."""

from __future__ import annotations

from concurrent.futures import CancelledError, Executor, Future
from threading import Thread, current_thread
from types import TracebackType
from typing import Any, Callable, Iterable, Protocol, Sequence

from parallel import _process
from parallel._call import Call
from parallel._cancellation import is_cancelled_error
from parallel._checks import check_future, submit_of
from parallel._exceptions import append_context, one_or_group, set_traceback, traceback_of
from parallel._names import joined
from parallel._thread import report
from parallel._waiting import failure_of

_NOT_STARTED: Future[Any] = Future()
"""Stands for the future of a call until there is one. It is cancelled, so nothing waits for it."""
_NOT_STARTED.cancel()


class ChainedCall:
    """A call of a chain: its future, its name, and whether its error has been retrieved."""

    def __init__(self, name: str) -> None:
        self.name: str = name
        self.future: Future[Any] = _NOT_STARTED
        self.is_retrieved: bool = False
        self._failure: BaseException | None = None
        self._traceback: TracebackType | None = None

    def failure(self) -> BaseException | None:
        """Returns what a call raised that is done: the same object each time, with its traceback as it was."""
        if self._failure is None:
            self._failure = failure_of(self.future)
            if self._failure is None:
                return None
            self._traceback = traceback_of(self._failure)
        set_traceback(self._failure, self._traceback)
        return self._failure

    def describe(self) -> str:
        """Describes the state of the call, and changes nothing: another thread may be handling its error."""
        # In this order, a call that ends in between is not taken for pending.
        if self.future.running():
            is_abandoned = isinstance(self.future, Call) and self.future.is_abandoned()
            return f"{self.name} {'abandoned' if is_abandoned else 'running'}"
        if not self.future.done():
            return f"{self.name} pending"
        failure = failure_of(self.future)
        if failure is None:
            return f"{self.name} finished"
        if is_cancelled(self.future):
            return f"{self.name} cancelled"
        return f"{self.name} failed: {type(failure).__name__}"

    def report_if_not_retrieved(self) -> None:
        """Has the error of the call reported, if it fails or has failed, unless somebody has retrieved it."""
        if self.is_retrieved or self.future is _NOT_STARTED:
            return
        self.is_retrieved = True
        if self.future.done():
            _report_failure(self.future, self.name)
        elif isinstance(self.future, Call):
            self.future.add_waiter(_Reporter(self.name))
        else:
            self.future.add_done_callback(_Reporter(self.name).add_done)

    def make_call(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
        """Makes the call, and keeps its future."""
        self.future = call = Call(func, args, kwargs, self.name)
        return call


class Submit(Protocol):
    """Starts a call for a link of a chain.

    An alias would need ``Future[Any]`` as a string on 3.8, which makes the import of the library a tenth slower.
    """

    def __call__(
        self, link: ChainedCall, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], /
    ) -> object:
        """Starts the call, and gives its future to ``link``, if possible before the call begins."""
        ...


def submitter(executor: Executor | None) -> Submit:
    """Returns what starts a call on ``executor``, or, without one, on a thread of its own."""
    if executor is None:
        return START_ON_OWN_THREAD
    submit = submit_of(executor)

    def submit_to_executor(
        link: ChainedCall, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], /
    ) -> None:
        link.future = check_future(submit(func, *args, **kwargs), executor)

    return submit_to_executor


def _start(link: ChainedCall, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], /) -> None:
    _process.pool.start(link.make_call, func, args, kwargs)


START_ON_OWN_THREAD: Submit = _start


class _Reporter:
    """Reports the error of a call that fails after its chain was dropped, on the thread on which it fails."""

    def __init__(self, name: str) -> None:
        self._name = name

    def add_result(self, _: Future[Any], /) -> None:
        """Hears that the call has returned."""

    def add_exception(self, future: Future[Any], /) -> None:
        """Hears that the call has failed."""
        thread = current_thread()
        _report_failure(future, self._name, thread if thread.name == self._name else None)

    add_done = add_exception


def is_cancelled(future: Future[Any]) -> bool:
    """Whether a call that is done was cancelled in a queue, or stopped with ``CancelledError`` when asked to."""
    try:
        failure = future.exception(0)
    except CancelledError:
        return True
    # Its user may have set another one.
    return isinstance(future, Call) and future.was_cancelled and failure is not None and is_cancelled_error(failure)


def failure_of_all(failed: dict[ChainedCall, BaseException], total: int, late: TimeoutError | None) -> BaseException:
    """Returns what to raise if calls have failed, or are ``late``: cancelled ones count last."""
    failures = {link: failure for link, failure in failed.items() if not is_cancelled(link.future)}
    failure = late or next(iter(failed.values()))
    if failures:
        names = joined([link.name for link in failures])
        failure = one_or_group(list(failures.values()), f"{len(failures)} of {total} calls failed: {names}")
        append_context(failure, late)
    try:
        return failure
    finally:
        del failed, failures, failure, late  # The traceback of a group refers to this frame.


def rank(link: ChainedCall) -> int:
    """Orders failed calls: with an exception that is no ``Exception``, then others, then cancelled ones."""
    return 2 if is_cancelled(link.future) else int(isinstance(link.failure(), Exception))


def mark_retrieved(links: Iterable[ChainedCall]) -> None:
    """Notes that somebody has got the errors of these calls."""
    for link in links:
        link.is_retrieved = True


def timed_out(running: Sequence[ChainedCall], total: int, timeout: float | None) -> TimeoutError:
    """Returns an error that names the calls that still run."""
    names = joined([link.name for link in running])
    return TimeoutError(f"{len(running)} of {total} calls still running after {timeout} seconds: {names}")


def _report_failure(future: Future[Any], name: str, thread: Thread | None = None) -> None:
    """Reports the error of a call that nobody will ask for, if it has failed."""
    failure = failure_of(future)
    if failure is None or is_cancelled(future) or (isinstance(future, Call) and future.is_abandoned()):
        return
    # If the call has ended before, or ran elsewhere, a thread that is not started lends the name. A finalizer must not
    # ask for the current thread, nor must Thread(), for its daemon: one that `threading` has forgotten, as it ends,
    # would be listed again, for ever.
    report(failure, thread or Thread(name=name, daemon=False))
