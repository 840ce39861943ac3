"""``FutureContextCollection``: a chain of context managers, for one ``with`` statement.

The rule behind all of it: once everything is entered, ``with parallel(a).parallel(b)`` behaves exactly like
``with a, b``, except that the managers do not run on the caller's thread. A chain makes a ``Block`` for each statement.
"""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any, ContextManager, Generic, NoReturn, TypeVar

from parallel._checks import check_context_manager, check_parallel_exit, check_timeout
from parallel._compat import TypeVarTuple, Unpack
from parallel._context_block import AnyBlock, Block
from parallel._exceptions import raise_unchanged
from parallel._mistakes import explain_arguments
from parallel._names import joined, name_of
from parallel._sync import Once

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
B = TypeVar("B", bound=AnyBlock)
_ENTER = "`with contexts as (a, b):` gives what the context managers' __enter__ returned"

_ENTERED_ALREADY = "cannot enter a FutureContextCollection that is entered already"
_CHAINED_WHILE_ENTERED = "cannot chain onto a FutureContextCollection while it is entered: chain first, then enter"


class FutureContextCollection(Generic[Unpack[Ts]]):
    """A chain of context managers, for one ``with``: ``with parallel(a).parallel(b) as (x, y): ...``.

    Each manager is entered and exited on a thread of its own, in a context of its own. All are entered at once. They
    exit from the last to the first, or, with ``parallel_exit``, all at once.

    ``chain.parallel(context_manager)`` consumes the chain: its managers belong to the new chain that it returns. The
    old chain raises a ``RuntimeError`` when it is entered or chained onto, so a forgotten assignment loses no manager.

    After it has exited, a chain can be entered again, if its managers can. Any thread may use a chain, and may exit it
    on a different thread from the one that entered it. If several threads enter it at once, one succeeds.
    """

    def __init__(self, managers: tuple[Any, ...], timeout: float | None, parallel_exit: bool) -> None:  # noqa: FBT001  # Not for users.
        """For the library itself: ``parallel`` and ``create`` make collections."""
        self._managers = managers
        self._timeout = timeout
        self._parallel_exit = parallel_exit
        # Claimed by the block that is entered, before any manager is, and replaced when it has exited; or, for good, by
        # the call of ``parallel`` that consumes this chain, with the name of its manager.
        self._user: Once[AnyBlock | list[str]] = Once()
        self._interruption: BaseException | None = None

    @staticmethod
    @explain_arguments
    def create(
        context_manager: ContextManager[T], /, *, timeout: float | None = None, parallel_exit: bool = False
    ) -> FutureContextCollection[T]:
        """Does for context managers what ``parallel(context_manager)`` does.

        Args:
            context_manager: The context manager to enter, on a thread of its own.
            timeout: How many seconds all of them together may take to enter; ``None`` for no limit.
            parallel_exit: Exits all at once, instead of from the last to the first.

        Returns:
            The chain, of which nothing is entered yet.

        Raises:
            TypeError: As for ``parallel``.
            ValueError: ``timeout`` is NaN.
        """
        check_context_manager(context_manager, "FutureContextCollection.create()")
        check_parallel_exit(parallel_exit)
        return FutureContextCollection((context_manager,), check_timeout(timeout), parallel_exit)

    @explain_arguments
    def parallel(self, context_manager: ContextManager[T], /) -> FutureContextCollection[Unpack[Ts], T]:
        """Makes a chain with one more context manager, and the same options. This consumes the chain.

        Args:
            context_manager: The context manager to enter with the others.

        Returns:
            The new chain.

        Raises:
            TypeError: ``context_manager`` is not a context manager.
            RuntimeError: The chain is entered, or has been consumed.
        """
        check_context_manager(context_manager, "FutureContextCollection.parallel()")
        consumption = [name_of(context_manager)]
        try:
            self._claim(consumption, _CHAINED_WHILE_ENTERED)
            return FutureContextCollection((*self._managers, context_manager), self._timeout, self._parallel_exit)
        except BaseException:
            self._release(consumption)  # A signal handler may raise anywhere here.
            raise

    def __enter__(self) -> tuple[Unpack[Ts]]:
        """Enters all managers at once, and returns what their ``__enter__`` returned, in the order of the chain.

        If an ``__enter__`` fails, the others finish first. If the time limit passes, or a signal handler raises an
        exception (as Ctrl-C does), this does not wait for them. Then all managers that were entered exit with the
        failure, and it is raised. A manager that is still entering is asked to stop (see ``cancellation``). It exits on
        its own thread as soon as its ``__enter__`` has returned.

        Raises:
            BaseException: The exception that an ``__enter__`` raised, if one failed, or the signal handler.
            BaseExceptionGroup: Several failed; an ``ExceptionGroup`` if all failures are ``Exception``.
            TimeoutError: The time limit passed, and none had failed by then.
            RuntimeError: The chain is entered already or has been consumed, a thread could not be started, or the
                interpreter is shutting down.
        """
        __tracebackhide__ = True
        block = Block(self._managers, self._parallel_exit)
        failure = None
        try:
            self._claim(block, _ENTERED_ALREADY)
            if self._interruption is not None:
                block.interrupt(self._interruption)
            entered: Any
            entered, failure = block.enter(self._timeout)
            if failure is not None:
                raise_unchanged(failure)
            return entered  # type: ignore[no-any-return]  # Of the managers' own types.
        except BaseException as error:
            block.abandon_with(error)
            self._release(block)
            # The traceback refers to this frame. Not in a `finally`: nothing may raise once the block is entered.
            del self, block, failure
            raise

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        """Exits all managers, as ``with a, b`` would, from the last to the first, and waits for that.

        Does nothing if the chain is not entered. If a signal handler raises an exception (as Ctrl-C does), the exit
        that was being waited for continues in the background, and the other managers exit with that exception.

        Returns:
            Whether one of the managers suppressed the exception.

        Raises:
            BaseException: The exception that an exit raised, or the signal handler; with ``parallel_exit``, a group if
                several exits raised.
        """
        # A signal handler may raise at any call. So nothing is called before the `try`, and `except` asks once more
        # whether this is who exits the block.
        exiter: list[None] = []
        block = error = left = None
        try:
            __tracebackhide__ = True
            block = self._claim_exit(Block, exiter)
            if block is None:
                return None
            error = exc_type() if exc_value is None and exc_type is not None else exc_value
            left = block.exit(error)
            if left.raised is not None:
                raise_unchanged(left.raised)
            return None if error is None else left.error is None
        except BaseException as raised:
            self._abandon(Block, exiter, raised)
            raise
        finally:
            self._end_exit(exiter)
            # The traceback refers to this frame.
            del self, block, error, left, exc_value, traceback

    async def __aenter__(self) -> tuple[Unpack[Ts]]:
        """Enters all managers as ``__enter__`` does, without blocking the event loop (asyncio).

        Raises:
            CancelledError: The task was cancelled; managers that are still entering are treated as after an interrupt.
            BaseException: As for ``__enter__``.
        """
        __tracebackhide__ = True
        # Imported late: programs without asyncio do not pay for it.
        from parallel._asyncio import AsyncBlock  # noqa: PLC0415

        # The thread holds another chain, so that this one can be dropped.
        inner: FutureContextCollection[Unpack[Ts]] = FutureContextCollection(
            self._managers, self._timeout, self._parallel_exit
        )
        block = AsyncBlock(inner, inner._interrupt)
        try:
            self._claim(block, _ENTERED_ALREADY)
            entered: tuple[Unpack[Ts]] = await block.enter()
            return entered
        except BaseException as error:
            block.abandon_with(error)
            self._release(block)
            del self, inner, block  # As above.
            raise

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        """Exits all managers as ``__exit__`` does, without blocking the event loop (asyncio).

        Raises:
            CancelledError: The task was cancelled; the exits continue in the background.
            BaseException: As for ``__exit__``.
        """
        __tracebackhide__ = True
        from parallel._asyncio import AsyncBlock  # noqa: PLC0415  # Late, as in `__aenter__`.

        exiter: list[None] = []
        block = None
        try:
            block = self._claim_exit(AsyncBlock, exiter)
            return None if block is None else await block.exit(exc_value)
        except BaseException as raised:
            self._abandon(AsyncBlock, exiter, raised)
            raise
        finally:
            self._end_exit(exiter)
            # The traceback refers to this frame.
            del self, block, exc_value, traceback

    def __repr__(self) -> str:
        user = self._user.holder
        if isinstance(user, list):
            return f"<{type(self).__name__}: consumed by .parallel({user[0]})>"
        names = joined([name_of(manager) for manager in self._managers])
        return f"<{type(self).__name__}: {names or 'empty'}{'' if user is None else ' (entered)'}>"

    if not TYPE_CHECKING:
        # Mistakes. Checkers see none of these, and refuse the mistakes in their own words.

        def __iter__(self) -> NoReturn:
            """Raises a ``TypeError``: ``with`` gives what can be unpacked."""
            raise TypeError(f"a FutureContextCollection is entered, not unpacked: {_ENTER}")

        def __dir__(self) -> list[str]:
            """Leaves out what only explains a mistake."""
            return [name for name in object.__dir__(self) if name not in ("futures", "results")]

        # Not __getattr__(), which would make each attribute of the class slower.
        @property
        def futures(self) -> NoReturn:
            """Raises an ``AttributeError``: only calls have futures."""
            raise AttributeError(f"a FutureContextCollection has no .futures: {_ENTER}")

        @property
        def results(self) -> NoReturn:
            """Raises an ``AttributeError``: only calls have results."""
            raise AttributeError(
                f"a FutureContextCollection has no .results: {_ENTER}; for calls, parallel(func)(...).results()"
            )

    def _claim(self, user: AnyBlock | list[str], refusal: str) -> None:
        """Makes ``user`` what enters or consumes the chain; raises ``refusal`` if the chain is entered."""
        is_first = self._user.claim(user)
        del user  # The traceback refers to this frame.
        if is_first:
            return
        consumption = self._user.holder
        if isinstance(consumption, list):
            refusal = (
                f"this FutureContextCollection has been consumed by .parallel({consumption[0]}): use the "
                f"FutureContextCollection which that call returned, as in `contexts = contexts.parallel(manager)`"
            )
        del consumption
        raise RuntimeError(refusal)

    def _release(self, user: AnyBlock | list[str]) -> None:
        """Lets the chain be entered or chained onto again, if ``user`` is what enters or consumes it."""
        if self._user.holder is user:
            self._user = Once()

    def _claim_exit(self, kind: type[B], exiter: object) -> B | None:
        """Returns what is entered, if it is of that kind and ``exiter`` is the one that exits it."""
        block = self._user.holder
        return block if isinstance(block, kind) and block.exiter.claim(exiter) else None

    def _abandon(self, kind: type[AnyBlock], exiter: object, error: BaseException) -> None:
        """Has the managers exit with ``error``, if ``exiter`` is the one that exits the block."""
        block = self._claim_exit(kind, exiter)
        if block is not None:
            block.abandon_with(error)

    def _end_exit(self, exiter: object) -> None:
        block = self._user.holder
        if isinstance(block, AnyBlock) and block.exiter.holder is exiter:
            self._release(block)

    def _interrupt(self, error: BaseException) -> None:
        """Has the wait for the managers, which blocks another thread, end with ``error``."""
        # Store the error, then look at the block. __enter__ claims the block, then looks at the error. So one of the
        # two sees the other.
        self._interruption = error
        block = self._user.holder
        if isinstance(block, Block):
            block.interrupt(error)
