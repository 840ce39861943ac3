"""``Unwinding``: the exception that one exit leaves to the next. ``Delivery``: an outcome on its way to the block."""

from __future__ import annotations

from typing import Any, Callable, Generic, TypeVar

from parallel._sync import Once

T = TypeVar("T")

_DELIVERED, _GIVEN_UP = "delivered", "given up"


class Unwinding:
    """The exception, if any, with which the next manager exits, as in nested ``with`` statements. Immutable."""

    __slots__ = ("_is_raised", "_is_suppressible", "being_handled", "error")

    def __init__(
        self,
        error: BaseException | None,
        being_handled: BaseException | None,
        *,
        is_suppressible: bool = True,
        is_raised: bool = False,
    ) -> None:
        """Begins with an exception, or none.

        Args:
            error: The exception to exit with, if any.
            being_handled: The exception that is being handled around the block, if any.
            is_suppressible: Whether the true return value of an exit suppresses the exception.
            is_raised: Whether an exit raised it.
        """
        self.error = error
        self.being_handled = being_handled
        self._is_raised = is_raised
        self._is_suppressible = is_suppressible

    @property
    def raised(self) -> BaseException | None:
        """The exception, if an exit raised it."""
        return self.error if self._is_raised else None

    def suppressed(self) -> Unwinding:
        """Returns what an exit leaves that returns a true value."""
        return Unwinding(None, self.being_handled) if self._is_suppressible else self

    def with_raised(self, error: BaseException) -> Unwinding:
        """Returns what an exit leaves that raises ``error``."""
        return Unwinding(error, self.being_handled, is_suppressible=self._is_suppressible, is_raised=True)


class EnterOutcome:
    """The value that ``__enter__`` returned, or the exception that it raised."""

    __slots__ = ("is_cancelled", "raised", "value")

    def __init__(self, value: Any, raised: BaseException | None = None, *, is_cancelled: bool = False) -> None:
        self.value = value
        self.raised = raised
        # Whether it raised `CancelledError` after it had been asked to stop.
        self.is_cancelled = is_cancelled


class Delivery(Generic[T]):
    """An outcome. A thread delivers it, unless the thread that waits for it gives it up before; decided once."""

    def __init__(self) -> None:
        self._decision: Once[str] = Once()
        self._on_delivered: Callable[[], object] | None = None
        self.outcome: T | None = None

    @property
    def is_delivered(self) -> bool:
        """Whether the outcome has been delivered."""
        return self._decision.holder is _DELIVERED

    def deliver(self, outcome: T) -> bool:
        """Delivers the outcome and tells who waits; returns whether it had not been given up."""
        self.outcome = outcome
        if not self._decision.claim(_DELIVERED):
            self.drop()
            return False
        callback = self._on_delivered
        if callback is not None:
            callback()
        return True

    def when_delivered(self, callback: Callable[[], object]) -> None:
        """Has ``callback`` called when the outcome is delivered, or at once, or both, if it has been."""
        # Store the callback, then check the decision. deliver() decides, then reads the callback. So at least one of
        # the two calls it.
        self._on_delivered = callback
        if self.is_delivered:
            callback()

    def give_up(self) -> bool:
        """Stops waiting; returns whether that was in time. If not, the outcome has been delivered."""
        return self._decision.claim(_GIVEN_UP)

    def get(self) -> T:
        """Returns the outcome, which has been delivered and not dropped."""
        assert self.outcome is not None  # noqa: S101  # See above.
        return self.outcome

    def drop(self) -> None:
        """Drops the outcome, and the callback, which may refer to this object."""
        self.outcome = self._on_delivered = None
