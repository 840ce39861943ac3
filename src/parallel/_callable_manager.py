"""``CallableContexts``: what ``parallel()`` makes of a context manager that can be called as well, such as a mock."""

from __future__ import annotations

from typing import Any, TypeVar

from parallel._chained_call import START_ON_OWN_THREAD
from parallel._checks import check_function
from parallel._names import describe
from parallel.future_collection import FutureCollection, prepare_call
from parallel.future_context_collection import FutureContextCollection

T = TypeVar("T")


class CallableContexts(FutureContextCollection[T]):
    """A chain of context managers, or the first call of a chain of calls, according to what is done with it."""

    def __init__(self, target: Any, timeout: float | None, parallel_exit: bool) -> None:  # noqa: FBT001  # Not for users.
        super().__init__((target,), timeout, parallel_exit)
        self._options = {"timeout": timeout is not None, "parallel_exit": parallel_exit}
        self.__wrapped__ = target

    def __call__(self, *args: Any, **kwargs: Any) -> FutureCollection[Any]:
        """Starts a call, and returns the chain of calls."""
        target = self.__wrapped__
        check_function(target, "parallel()")
        refuse_options_of_contexts(target, self._options)
        chain: FutureCollection[Any] = prepare_call(target, None, START_ON_OWN_THREAD)(*args, **kwargs)
        return chain


CallableContexts.__name__ = FutureContextCollection.__name__  # Users know it as that.


def refuse_options_of_contexts(target: object, options: dict[str, bool]) -> None:
    """Raises a ``TypeError`` if a call has been given one of the options of context managers."""
    for option, is_given in options.items():
        if is_given:
            hint = "; for calls, give it to results(timeout=...)" if option == "timeout" else ""
            raise TypeError(f"{option}= is for context managers, and {describe(target)} is called here{hint}")
