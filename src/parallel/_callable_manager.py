"""``CallableContexts``: what ``parallel()`` makes of a context manager that can be called as well, such as a mock."""

from __future__ import annotations

from typing import Any, Generic, NoReturn, TypeVar

from parallel._chained_call import START_ON_OWN_THREAD
from parallel._checks import check_function
from parallel._compat import ParamSpec
from parallel._names import describe
from parallel.future_collection import FutureCollection, prepare_call
from parallel.future_context_collection import FutureContextCollection

P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R")


class CallableContexts(FutureContextCollection[T], Generic[P, T, R]):
    """A chain of context managers, or the first call of a chain of calls, according to what is done with it."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> FutureCollection[R]:
        """Starts a call, and returns the chain of calls."""
        (target,) = self._managers
        name = check_function(target, "parallel()")
        if self._timeout is not None or self._parallel_exit:
            refuse_options_of_contexts(target, self._timeout)
        chain: FutureCollection[R] = prepare_call(target, name, None, START_ON_OWN_THREAD)(*args, **kwargs)
        return chain

    @property
    def __wrapped__(self) -> Any:
        """The callable, whose parameters ``inspect.signature`` shows."""
        return self._managers[0]


CallableContexts.__name__ = FutureContextCollection.__name__  # Users know it as that.


def refuse_options_of_contexts(target: object, timeout: float | None) -> NoReturn:
    """Raises a ``TypeError``: a call has been given ``timeout``, or else ``parallel_exit``."""
    option, hint = (
        ("parallel_exit", "") if timeout is None else ("timeout", "; for calls, give it to results(timeout=...)")
    )
    raise TypeError(f"{option}= is for context managers, and {describe(target)} is called here{hint}")
