"""When ``FutureCollection.results`` returns."""

from enum import Enum


class ReturnWhen(str, Enum):
    """When ``FutureCollection.results`` stops waiting; the values of the constants of ``concurrent.futures``."""

    FIRST_COMPLETED = "FIRST_COMPLETED"
    """Not for ``results()``, which returns every result; for ``concurrent.futures.wait(calls.futures, ...)``."""

    FIRST_EXCEPTION = "FIRST_EXCEPTION"
    """As soon as a call has failed, or all have returned."""

    ALL_COMPLETED = "ALL_COMPLETED"
    """When all calls have ended."""
