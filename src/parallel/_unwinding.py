"""``Unwinding``: the exception that one exit leaves to the next. ``Delivery``: an outcome on its way to the block."""

from __future__ import annotations

from typing import Any, Callable

from parallel._sync import Once

_DELIVERED, _GIVEN_UP = "delivered", "given up"


class Unwinding:
    """The exception, if any, with which the next manager exits, as in nested ``with`` statements. Immutable."""

    __slots__ = ("_is_suppressible", "being_handled", "error", "is_raised")

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
        self.is_raised = is_raised
        self._is_suppressible = is_suppressible

    def following(self, outcome: Outcome) -> Unwinding:
        """Returns what an exit that was given this unwinding leaves to the next."""
        if outcome.raised is not None:
            return self.with_raised(outcome.raised)
        if outcome.value and self._is_suppressible:
            return Unwinding(None, self.being_handled)
        return self

    def with_raised(self, error: BaseException) -> Unwinding:
        """Returns what remains after an exit raised ``error``."""
        return Unwinding(error, self.being_handled, is_suppressible=self._is_suppressible, is_raised=True)


class Outcome:
    """The value that ``__enter__`` returned, or the truth of that which ``__exit__`` returned; or what they raised."""

    __slots__ = ("is_cancelled", "raised", "value")

    def __init__(self, value: Any, raised: BaseException | None = None, *, is_cancelled: bool = False) -> None:
        self.value = value
        self.raised = raised
        # Whether the method raised `CancelledError` after it had been asked to stop.
        self.is_cancelled = is_cancelled


class Delivery:
    """An outcome. A thread delivers it, unless the thread that waits for it gives it up before; decided once."""

    def __init__(self, on_delivered: Callable[[], object] | None = None) -> None:
        self._decision: Once[str] = Once()
        self._on_delivered = on_delivered
        self._outcome: Outcome | None = None

    @property
    def is_delivered(self) -> bool:
        """Whether the outcome has been delivered."""
        return self._decision.holder is _DELIVERED

    def deliver(self, outcome: Outcome) -> bool:
        """Delivers the outcome and tells who waits; returns whether it had not been given up."""
        self._outcome = outcome
        if not self._decision.claim(_DELIVERED):
            self._outcome = None
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
        is_in_time = self._decision.claim(_GIVEN_UP)
        if is_in_time:
            self._on_delivered = None
        return is_in_time

    def look(self) -> Outcome | None:
        """Returns the outcome that was delivered, or ``None`` if it has been taken."""
        return self._outcome

    def take(self) -> Outcome:
        """Returns the outcome that was delivered, and drops it, and the callback, which may refer to this object."""
        outcome, self._outcome = self._outcome, None
        self._on_delivered = None
        return outcome  # type: ignore[return-value]  # It has been delivered.
