"""``Limit``: at most so many calls of an executor run at a time; the others wait in a queue, in order.

What
    A *place* is the right to run one call. A ``Runner`` is a runnable that has a place: a thread of the pool performs
    it, and it runs queued calls one after the other, without a switch between threads. When a call in that place ends
    and has done-callbacks, or is abandoned, the place goes to another runner.

Guarantees
    As ``Threads``: any thread, signal handler or finalizer may call any method in the middle of any other, and no lock
    is held. If ``start`` raises, a call that has not begun does not run.

Invariant
    A place is in ``_free``, or in the ``places`` of a runner. It moves in one call of C code, which no exception of a
    signal handler interrupts. A thread that adds a call to ``queue`` adds it, then looks for a free place; a thread
    that frees a place frees it, then looks for a call. So at least one of the two brings them together. A thread that
    abandons a call notes that, then frees its place if the call is running; the runner sets the call to running, then
    looks. The state of a call changes under its lock, so that no place is freed that the next call has.

Relies on
    A single operation of a ``deque`` or a ``list`` is atomic, with the GIL and on free-threaded builds.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import Any, Callable, Sequence, TypeVar

from parallel import _process
from parallel._call import Call, SubmittedCall
from parallel._cancellation import Cancellable
from parallel._sync import Once, is_from_handler
from parallel._thread import IDLE_NAME, ReusableThread, is_raised_by_threading, own_threads

T = TypeVar("T")

_MOST_PLACES = 1_000_000
"""No system has more threads."""

_POP: Any = deque.pop  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]  # It pops anything.
_POP_FIRST: Any = deque.popleft  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]  # As above.
_POP_LAST: Any = list.pop  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]  # As above.

_BEGUN, _WITHDRAWN = "begun", "withdrawn"


class Limit:
    """The places and the queue of one executor, in one process."""

    def __init__(self, number: int, pool: _process.Pool) -> None:
        """Prepares ``number`` places, for calls on the threads of ``pool``."""
        self.pool = pool
        self.queue: deque[LimitedCall] = deque()
        # For runners, which are started before they take a call.
        self.name = IDLE_NAME
        self._number = min(number, _MOST_PLACES)
        self._free: deque[bool] = deque([True]) * self._number

    def start(self, calls: Sequence[LimitedCall], accept: Callable[[], object]) -> None:
        """Runs calls, those at once for which there is a place; all or none of them.

        Args:
            calls: The calls, which are pending.
            accept: Called when they are noted as unfinished; it may raise to refuse them.

        Raises:
            RuntimeError: Not enough threads could be started for the free places.
            BaseException: What ``accept`` or a signal handler raises.
        """
        runners: list[Runner] = []
        try:
            self.pool.add(calls)
            accept()
            if self._free and not self.queue:
                self._prepare_runners(calls, runners)
                self.pool.start_all(runners)
            self.queue.extend(calls[len(runners) :] if runners else calls)
            if self._free and self.queue:
                self.start_runners()
        except BaseException:
            for call in calls:
                call.withdraw()
            for runner in runners:
                if runner.withdraw():
                    self.free_place(runner.places)
            self.bring_together()
            raise

    def start_runners(self) -> None:
        """Starts a runner for each queued call for which there is a free place; raises as ``start`` does."""
        if self.pool is not _process.pool:
            return  # This is a forked child: the queue is the parent's.
        for _ in range(min(len(self.queue), len(self._free))):
            runner = Runner(self)
            try:
                if not self.take_place(runner.places):
                    return
                self.pool.start_all([runner])
            except BaseException:
                if runner.withdraw():
                    self.free_place(runner.places)
                raise

    def take_place(self, places: list[bool]) -> bool:
        """Moves a free place to ``places``; returns whether there was one."""
        return _move_one(_POP, self._free, places)

    def free_place(self, places: list[bool]) -> None:
        """Frees the place in ``places``, unless another thread has."""
        if places:
            _move_one(_POP_LAST, places, self._free)

    def cancel_queued(self) -> None:
        """Cancels all calls that are queued."""
        for call in self.queue.copy():
            call.cancel()

    def count_pending(self) -> int:
        """Returns how many calls wait."""
        return sum(not call.done() for call in self.queue.copy())

    def _prepare_runners(self, calls: Sequence[LimitedCall], runners: list[Runner]) -> None:
        """Adds to ``runners`` one for each of the first calls, as far as there are places."""
        for call in calls:
            self.name = call.name
            runners.append(Runner(self, call))
            if not self.take_place(runners[-1].places):
                runners.pop()
                return

    def bring_together(self) -> None:
        """Starts runners, however a place came to be free. If no thread can be started, queued calls fail.

        Raises:
            BaseException: What a signal handler raises. The runners have been started all the same.
        """
        try:
            self.start_runners()
        except BaseException as error:
            if is_raised_by_threading(error):
                self._fail_queued(error)
                return
            try:
                self.start_runners()
            except BaseException as second:
                self._fail_queued(second)
            raise

    def _fail_queued(self, error: BaseException) -> None:
        """Has the queued calls fail, unless a runner has a place and will take them."""
        while self.queue and len(self._free) >= self._number:
            taken: list[LimitedCall] = []
            _move_one(_POP_FIRST, self.queue, taken)
            for call in taken:
                call.fail(error)


class LimitedCall(SubmittedCall):
    """A call that waits for a place."""

    def __init__(
        self,
        limit: Limit,
        executor: object,
        func: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        name: str,
    ) -> None:
        Call.__init__(self, func, args, kwargs, name)  # Not by way of the class between: that takes longer.
        self.set_pending()
        self.executor = executor
        self.thread: int | None = None
        # The list of the runner that has taken the call.
        self.places: list[bool] = []
        self._limit = limit

    @property
    def is_suspended(self) -> bool:
        return self.cancelled() or self.is_abandoned()

    def cancel(self) -> bool:
        """Cancels the call, if it is queued. If it is running, asks it to stop and returns ``False``."""
        return self.try_to_cancel() or super().cancel()

    def abandon(self) -> None:
        super().abandon()
        self.let_go()

    def let_go(self) -> None:
        """Cancels a call that has been abandoned, if it is queued; frees the place of one that runs."""
        try:
            if not self.try_to_cancel() and self.is_abandoned():
                self.call_if_running(lambda: self._limit.free_place(self.places))
        finally:
            self._limit.bring_together()

    def withdraw(self) -> bool:
        """Cancels the call, if it is queued; returns whether that was in time."""
        return self.try_to_cancel()

    def run(self) -> None:
        self.thread = threading.get_ident()
        try:
            Call.run(self)
        finally:
            self._limit.pool.remove(self)
            # The frames of an error's traceback refer back to this one.
            del self

    def fail(self, error: BaseException) -> None:
        """Has a queued call fail, which cannot be run."""
        try:
            self.try_to_set(None, error)
            self.drop()
        finally:
            del self, error

    def drop(self) -> None:
        """Frees what a call holds that will not run; nobody waits for it any more."""
        Call.withdraw(self)
        self._limit.pool.remove(self)

    def before_callbacks(self) -> None:
        """Frees the place. If another thread sets the future in the middle of the call, the call keeps the place."""
        if self.thread is None:
            self.drop()
        elif self.thread == threading.get_ident():
            self._limit.free_place(self.places)
            try:
                self._limit.start_runners()
            except BaseException:  # noqa: S110  # There is no thread: this one looks again after the callbacks.
                pass


class Runner:
    """Runs queued calls one after the other, in one place."""

    def __init__(self, limit: Limit, first: LimitedCall | None = None) -> None:
        """Prepares to run ``first``, or the first call of the queue."""
        self.limit = limit
        self.places: list[bool] = []
        # At most one: the call that it runs.
        self._calls: list[LimitedCall] = [] if first is None else [first]
        self.name: str = limit.name
        self._beginning: Once[str] = Once()

    @property
    def cancellable(self) -> Cancellable | None:
        """That of its call."""
        calls = self._calls[:]
        return calls[0].cancellable if calls else None

    @property
    def is_suspended(self) -> bool:
        """Whether it runs a call that has been abandoned."""
        calls = self._calls[:]
        return bool(calls) and calls[0].thread is not None and calls[0].is_abandoned()

    def run(self) -> None:
        """Runs calls until none is queued, or there is no place."""
        if not self._beginning.claim(_BEGUN):
            return  # It has been withdrawn.
        thread = own_threads[threading.get_ident()]
        is_over = False
        while not is_over:
            try:
                self._run_calls(thread)
                is_over = True
            except BaseException:  # noqa: S110  # An asynchronous exception, meant for the call before.
                pass

    def withdraw(self) -> bool:
        """Makes ``run`` do nothing, if it has not begun; returns whether that was in time."""
        return self._beginning.claim(_WITHDRAWN)

    def dismiss(self) -> None:
        """Does nothing: it ends by itself."""

    def _run_calls(self, thread: ReusableThread) -> None:
        """Runs calls until there is none, or no place for it. May be called again after any exception."""
        limit, places, calls = self.limit, self.places, self._calls
        queue = limit.queue
        while limit.pool is _process.pool:  # Otherwise a call has forked, and this is the child.
            if calls:
                call = calls[0]
                call.places = places
                if call.is_abandoned():
                    call.try_to_cancel()
                if call.begin():
                    if call.is_abandoned():
                        call.let_go()
                    thread.perform(call)
                else:
                    call.drop()
                calls.clear()
            elif queue and (places or limit.take_place(places)):
                _move_one(_POP_FIRST, queue, calls)
            elif places:
                limit.free_place(places)
            else:
                return


def let_go_abandoned() -> None:
    """Has abandoned calls give their places back, also those that other abandoned calls have submitted."""
    for runnable in list(_process.pool.unfinished):
        if isinstance(runnable, LimitedCall) and runnable.is_abandoned():
            runnable.let_go()
    _process.pool.note_suspended()


def _move_one(take: Callable[[Any], T], source: deque[T] | list[T], target: deque[T] | list[T]) -> bool:
    """Moves an item in one call of C code, so that no exception of a signal handler loses it.

    Returns whether there was one.
    """
    try:
        target.extend(map(take, (source,)))
    except IndexError as error:
        if is_from_handler(error):
            raise
        return False
    return True
