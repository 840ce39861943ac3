"""``Call``: a function, its arguments and a copy of the caller's context; also the future of the call's outcome."""

from __future__ import annotations

import threading
from contextvars import Context
from typing import Any, Callable

from parallel._call_future import OwnFuture
from parallel._cancellation import Cancellable, StopRequest, current_request, is_cancelled_error
from parallel._context_variables import copy_context_for_call
from parallel._exceptions import set_traceback, traceback_of
from parallel._thread import own_threads, report


class Call(OwnFuture, Cancellable):
    """A call that a thread performs.

    Its function and arguments are in a dictionary, out of which the thread takes them when it begins, or the starter
    when it withdraws the call. ``dict.pop`` decides which of them, and raises nothing.
    """

    executor: object = None
    """The executor that waits for it in ``shutdown``, if any."""
    was_cancelled: bool = False
    """Whether it ended with a ``CancelledError`` after it had been asked to stop."""

    def __init__(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], name: str) -> None:
        """Prepares the call, with the caller's context variables as they are now."""
        # With super(), making a call takes 1.05 times as long (CPython 3.13).
        OwnFuture.__init__(self)
        self.name: str = name
        self._context: Context | None = copy_context_for_call()
        if threading.get_ident() in own_threads:
            self.parent_request: StopRequest | None = current_request()
        self._pending = {None: (func, args, kwargs)}

    @property
    def cancellable(self) -> Cancellable | None:
        """This call, until it ends; done-callbacks are not part of it."""
        return None if self.done() else self

    @property
    def is_suspended(self) -> bool:
        """Whether nobody waits for it any more."""
        return self.is_abandoned()

    def cancel(self) -> bool:
        """Asks the call to stop, if it is running; see ``cancellation``. Returns ``False``: it cannot be forced to."""
        if not self.done():
            self.request.set()
        return False

    def abandon(self) -> None:
        """Asks the call to stop, and has nobody wait for it any more, nor for the calls that it makes."""
        if not self.done():
            self.request.set(is_abandoned=True)

    def run(self) -> None:
        """Makes the call, and its done-callbacks, in the copy of the caller's context."""
        context, self._context = self._context, None
        try:
            if context is not None:
                # Not the bound method, which takes more of the stack: a page for each call (CPython 3.13).
                context.run(Call._run, self)
        except BaseException as error:
            if self.done():
                raise  # It is a done-callback's.
            # An asynchronous exception came before the function was called, or after.
            self._fail(error)
        finally:
            # The frames of an error's traceback refer back to this one.
            del self, context

    def withdraw(self) -> bool:
        """Makes ``run`` do nothing, if it has not begun; returns whether that was in time."""
        if self._pending.pop(None, None) is None:
            return False
        self._context = None
        return True

    def dismiss(self) -> None:
        """Does nothing: a call is never suspended."""

    def _run(self) -> None:
        pending = self._pending.pop(None, None)
        if pending is None:
            return  # It has been withdrawn.
        func, args, kwargs = pending
        del pending
        try:
            try:
                result = func(*args, **kwargs)
            finally:
                if self._request is not None:
                    self._request.end()
        except BaseException as error:
            # Nothing of the call is kept while done-callbacks run, nor after results() has returned.
            del func, args, kwargs
            traceback = traceback_of(error)
            set_traceback(error, None if traceback is None else traceback.tb_next)  # Without this frame.
            del traceback
            self._fail(error)
        else:
            del func, args, kwargs
            self.try_to_set(result, None)  # If its user has set it, the result is of no use.
        finally:
            # The frames of an error's traceback refer back to this one.
            del self

    def _fail(self, error: BaseException) -> None:
        try:
            self.was_cancelled = is_cancelled_error(error) and self.has_been_asked_to_stop()
            if not self.try_to_set(None, error) and not self.was_cancelled and not self.is_abandoned():
                report(error)  # Its user has set it, so no caller will get the error.
        finally:
            del self, error
