"""Outcomes: waiting for futures; what failed as one exception or a group; the chains of ``__context__``.

Exceptions are compared with ``None`` and never tested for truth, which they may define. Functions that handle an
exception forget it before they end: a traceback holds the frames it went through, with their variables.
"""

from __future__ import annotations

import sys
from concurrent.futures import CancelledError, Future
from types import TracebackType
from typing import Any, Callable, Iterator, NoReturn, Sequence, TypeVar

from parallel._compat import BaseExceptionGroup, set_handled_traceback
from parallel._gate import Countdown

T = TypeVar("T")


def failure_of(future: Future[Any], timeout: float | None = None) -> BaseException | None:
    """Waits until ``future`` is done, and gives what it failed with; a cancelled one failed with ``CancelledError``.

    Raises:
        concurrent.futures.TimeoutError: It was not done within ``timeout`` seconds.
    """
    try:
        return future.exception(timeout)
    except CancelledError as error:
        return error.with_traceback(None)


class FirstFailure:
    """Waits until one of several futures has failed, or all are done.

    ``concurrent.futures.wait`` would never see a future that its executor cancelled while it was queued
    (``shutdown(cancel_futures=True)``): the futures' callbacks do.
    """

    def __init__(self, futures: Sequence[Future[Any]]) -> None:
        self._running = Countdown(len(futures))
        for future in futures:
            if future.done():
                # Not as a callback, out of which the exception of a signal handler would not come.
                self._on_done(future)
            else:
                future.add_done_callback(self._on_done)

    def _on_done(self, future: Future[Any]) -> None:
        self._running.count()
        if failure_of(future) is not None:
            self._running.open()

    def wait(self, timeout: float | None) -> None:
        """Waits, for ``timeout`` seconds at most."""
        self._running.wait(timeout)


def call_when_done(futures: Sequence[Future[Any]], callback: Callable[[], object]) -> None:
    """Has ``callback`` called once all are done, on the thread that ends the last, or on this one."""
    # One is taken for each that is done: an atomic count.
    running: list[None] = [None] * len(futures)

    def on_done(_: Future[Any]) -> None:
        running.pop()
        if not running:
            callback()

    for future in futures:
        future.add_done_callback(on_done)
    if not futures:
        callback()


def combined(failures: Sequence[BaseException], message: str) -> BaseException:
    """The one failure itself, or a group of several, with the context and a traceback as if it had been raised."""
    if len(failures) == 1:
        return failures[0]
    return raised_here(BaseExceptionGroup(message, failures))


def raised_here(error: BaseException) -> BaseException:
    """Gives a new exception what raising it would: the exception being handled as its context, and a traceback."""
    try:
        raise error
    except BaseException:
        return error
    finally:
        del error


def contexts_of(error: BaseException | None) -> Iterator[BaseException]:
    """``error``, its context, the context's context and so on, each once."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__context__


def append_context(error: BaseException, context: BaseException | None) -> None:
    """Puts ``context`` at the end of the chain of contexts of ``error``, unless either is in the other's chain.

    Where both chains end alike, it goes in front of what they share.
    """
    contexts = list(contexts_of(context))
    chain = list(contexts_of(error))
    if context is None or _contains(contexts, error) or _contains(chain, context):
        return
    last = next((link for link in chain if link.__context__ is None or _contains(contexts, link.__context__)), None)
    if last is not None:
        last.__context__ = context


def _contains(errors: Sequence[BaseException], error: BaseException) -> bool:
    return any(each is error for each in errors)


def raise_unchanged(error: BaseException) -> NoReturn:
    """Raises ``error`` and leaves all contexts as they are.

    A plain ``raise`` would make the exception that is being handled its context, in place of its own, and would
    remove it from that exception's chain.
    """
    links = [(link, link.__context__) for link in contexts_of(sys.exc_info()[1])]
    links.append((error, error.__context__))
    try:
        raise error
    finally:
        _set_contexts(links)
        del links, error


def _set_contexts(links: Sequence[tuple[BaseException, BaseException | None]]) -> None:
    for error, context in links:
        error.__context__ = context


def call_handling(error: BaseException | None, func: Callable[[], T]) -> T:
    """Calls ``func`` while ``error`` is being handled, as in the body of an ``except`` clause that caught it.

    ``error`` may be handled on several threads at once: each takes back what its ``raise`` did to the traceback. If one
    of them raises it again meanwhile, its traceback may lose entries on free-threaded builds and below 3.11.
    """
    if error is None:
        return func()
    try:
        raise error
    except BaseException:
        _remove_own_frames(error)
        set_handled_traceback(error)
        try:
            return func()
        finally:
            # Up to 3.10, a bare raise in `func` has put it back.
            _remove_own_frames(error)
            del error


def _remove_own_frames(error: BaseException) -> None:
    """Takes all frames of ``call_handling`` off, also those of other threads.

    Two that each took off their own could undo one another's change, on free-threaded builds: whoever comes last leaves
    none.
    """
    own = call_handling.__code__
    while True:
        # Looked at anew each time: frames that another thread has put in front, by raising the error, are to stay. With
        # a GIL, from 3.11 on, no other thread runs between this look and the change.
        entry = error.__traceback__
        if entry is None or entry.tb_frame.f_code is not own:
            break
        error.__traceback__ = entry.tb_next
    previous = entry
    while previous is not None:
        entry = previous.tb_next
        if entry is not None and entry.tb_frame.f_code is own:
            previous.tb_next = entry.tb_next
        else:
            previous = entry


def without_frames_of(error: BaseException, *files: str) -> BaseException:
    """Takes the frames of ``files`` off the start of the traceback of ``error``, as long as others follow."""
    traceback: TracebackType | None = error.__traceback__
    while traceback is not None and traceback.tb_next is not None and traceback.tb_frame.f_code.co_filename in files:
        traceback = traceback.tb_next
    return error.with_traceback(traceback)
