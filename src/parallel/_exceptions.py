"""Tracebacks, chains of contexts, and groups of exceptions. The only file that writes to an exception.

Guarantees
    The library reads and writes attributes through the descriptors of ``BaseException``, as the interpreter does, and
    compares exceptions with ``is``. So a class may refuse attributes (a frozen dataclass), define truth, or override
    ``with_traceback``.

Invariant
    A function that handles an exception drops it before it returns: the traceback holds the function's frame, and the
    frame would hold the exception.
"""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any, Callable, Iterator, NoReturn, Sequence, TypeVar

from parallel._compat import BaseExceptionGroup

T = TypeVar("T")

_traceback: Any = BaseException.__traceback__
_context: Any = BaseException.__context__


def traceback_of(error: BaseException) -> TracebackType | None:
    """Returns ``error.__traceback__``."""
    return _traceback.__get__(error)  # type: ignore[no-any-return]


def set_traceback(error: BaseException, traceback: TracebackType | None) -> None:
    """Sets ``error.__traceback__``."""
    _traceback.__set__(error, traceback)


def context_of(error: BaseException) -> BaseException | None:
    """Returns ``error.__context__``."""
    return _context.__get__(error)  # type: ignore[no-any-return]


def contexts_of(error: BaseException | None) -> Iterator[BaseException]:
    """Yields ``error``, its context, the context's context and so on, each once."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = context_of(error)


def append_context(error: BaseException, context: BaseException | None) -> None:
    """Puts ``context`` at the end of the chain of contexts of ``error``.

    Does nothing if either is in the other's chain. If the two chains have the same end, ``context`` goes in front of
    what they share.
    """
    if context is None:
        return
    contexts = {id(each) for each in contexts_of(context)}
    chain = list(contexts_of(error))
    if id(error) in contexts or any(each is context for each in chain):
        return
    for link in chain:
        following = context_of(link)
        if following is None or id(following) in contexts:
            _context.__set__(link, context)
            return


def one_or_group(failures: Sequence[BaseException], message: str) -> BaseException:
    """Returns the only failure, or a group of several; the same object twice is one failure."""
    different = list({id(failure): failure for failure in failures}.values())
    if len(different) == 1:
        return different[0]
    return with_traceback_from_here(BaseExceptionGroup(message, different))


def with_traceback_from_here(error: BaseException) -> BaseException:
    """Returns a new exception with what ``raise`` gives: a traceback, and the exception being handled as context."""
    try:
        raise error
    except BaseException:
        return error
    finally:
        del error


def raise_unchanged(error: BaseException) -> NoReturn:
    """Raises ``error`` and leaves all contexts as they are.

    A plain ``raise`` would replace its context with the exception being handled, and would cut ``error`` out of that
    exception's own chain. The library's frames at the start of the traceback are replaced by this one.
    """
    __tracebackhide__ = True
    contexts = [(link, context_of(link)) for link in contexts_of(sys.exc_info()[1])]
    contexts.append((error, context_of(error)))
    set_traceback(error, _without_own_frames(traceback_of(error)))
    try:
        raise error
    finally:
        for link, context in contexts:
            _context.__set__(link, context)
        # The traceback refers to this frame.
        contexts.clear()
        # Not `del error`: debuggers show the arguments of a frame.
        link = context = error = None  # type: ignore[assignment]


def being_handled(error: BaseException | None, func: Callable[[], T]) -> T:
    """Calls ``func`` while ``error`` is being handled, as in an ``except`` clause that caught it.

    Several threads may handle the same exception at once. If one of them raises it again meanwhile, the traceback may
    lose entries on free-threaded builds and below Python 3.11.
    """
    if error is None:
        return func()
    try:
        raise error
    except BaseException:
        _remove_entries_of(being_handled, error)
        try:
            return func()
        finally:
            _remove_entries_of(being_handled, error)
            del error


def _remove_entries_of(func: Any, error: BaseException) -> None:
    """Removes all entries of ``func`` from the traceback of ``error``, also those that other threads added.

    If two threads each removed only their own entry, one could undo the other's change on free-threaded builds.
    """
    code = func.__code__
    while True:
        # Read it anew each time: another thread may have added an entry in front. With the GIL, from Python 3.11 on, no
        # other thread runs between this read and the write.
        entry = traceback_of(error)
        if entry is None or entry.tb_frame.f_code is not code:
            break
        set_traceback(error, entry.tb_next)
    previous = entry
    while previous is not None:
        entry = previous.tb_next
        if entry is not None and entry.tb_frame.f_code is code:
            previous.tb_next = entry.tb_next
        else:
            previous = entry


def remove_own_frames(error: BaseException) -> BaseException:
    """Removes the library's frames from the start of the traceback, unless nothing would be left; returns ``error``."""
    traceback = traceback_of(error)
    set_traceback(error, _without_own_frames(traceback) or traceback)
    return error


def strip_own_frames(error: BaseException) -> BaseException:
    """Does the same for an error that is raised again from here, and so always gets a frame."""
    set_traceback(error, _without_own_frames(traceback_of(error)))
    return error


def _without_own_frames(traceback: TracebackType | None) -> TracebackType | None:
    while traceback is not None and traceback.tb_frame.f_globals.get("__package__") == __package__:
        traceback = traceback.tb_next
    return traceback
