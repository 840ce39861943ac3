"""``ParallelExecutor(max_workers=...)``: so many calls at a time, and the others wait in order, on the same threads."""

from __future__ import annotations

import asyncio
import gc
import sys
import textwrap
import threading
import weakref
from concurrent.futures import CancelledError, Future, as_completed, wait
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextvars import ContextVar
from typing import Any, Callable, Iterator

import pytest

from children import FORKS, needs_fork, run, starts_threads_at_exit
from helpers import ERRORS, LIMIT, Uncaught, free_garbage, moments, wait_for_idle_threads, wait_until
from parallel import (
    FutureCollection,
    ParallelExecutor,
    ReturnWhen,
    _call,
    _call_future,
    _limit,
    _process,
    _threads,
    cancellation,
    parallel,
    parallel_map,
)
from parallel._call_future import _LatchFuture, _PlainFuture


class Held:
    """A call that stays inside its function until it is released."""

    def __init__(self, start: Callable[..., Any]) -> None:
        self.inside, self._go = threading.Event(), threading.Event()
        self.future = start(self)

    def __call__(self) -> str:
        self.inside.set()
        assert self._go.wait(LIMIT)
        return "ended"

    @property
    def has_begun(self) -> bool:
        return self.inside.is_set()

    def wait_until_inside(self) -> None:
        assert self.inside.wait(LIMIT)

    def release(self) -> None:
        self._go.set()


class Holder:
    """Makes calls of an executor that hold its places."""

    def __init__(self) -> None:
        self.held: list[Held] = []

    def fill(self, executor: ParallelExecutor, number: int = 1) -> list[Held]:
        made = [self.submit(executor) for _ in range(number)]
        for each in made:
            each.wait_until_inside()
        return made

    def submit(self, executor: ParallelExecutor) -> Held:
        self.held.append(Held(executor.submit))
        return self.held[-1]


@pytest.fixture
def holder() -> Iterator[Holder]:
    """Releases at the end all calls that hold places, whatever happened."""
    holder = Holder()
    yield holder
    for each in holder.held:
        each.release()


def fail(error: BaseException) -> None:
    raise error


def free_places(executor: ParallelExecutor) -> int:
    return len(executor._limit(executor._max_workers or 0)._free)


def assert_all_places_free(executor: ParallelExecutor) -> None:
    wait_for_idle_threads()
    assert free_places(executor) == executor._max_workers
    assert executor.submit(int).result(LIMIT) == 0


# The limit


@pytest.mark.parametrize("limit", [0, -1, -(10**30)])
def test_limit_below_one_is_a_value_error(limit: int) -> None:
    with pytest.raises(ValueError, match=rf"^max_workers must be greater than 0, or None for no limit, not {limit}$"):
        ParallelExecutor(max_workers=limit)


@pytest.mark.parametrize("limit", [True, False, 1.0, "4", b"4", [4], int, object()])
def test_limit_of_another_type_is_a_type_error(limit: Any) -> None:
    with pytest.raises(TypeError, match=r"^max_workers must be a positive int or None, not .+"):
        ParallelExecutor(max_workers=limit)


@pytest.mark.parametrize("limit", [1, 3, 10**30])
def test_limit_may_be_any_positive_number(limit: int) -> None:
    with ParallelExecutor(limit) as executor:
        assert list(executor.map(abs, range(-10, 0))) == list(range(10, 0, -1))


def test_without_limit_nothing_waits() -> None:
    barrier = threading.Barrier(50)
    for executor in (ParallelExecutor(None), ParallelExecutor(max_workers=None), ParallelExecutor()):
        assert sorted(executor.map(lambda _: barrier.wait(LIMIT), range(50))) == list(range(50))


START: dict[str, Callable[[ParallelExecutor, Callable[[], Any], int], list[Future[Any]]]] = {
    "submit": lambda executor, func, number: [executor.submit(func) for _ in range(number)],
    "execute_one": lambda executor, func, number: [executor.execute_one(func) for _ in range(number)],
    "execute": lambda executor, func, number: executor.execute(*[func] * number),
    "chain": lambda executor, func, number: list(chain_of(executor, func, number).futures),
    "parallel_map": lambda executor, func, number: list(
        parallel_map(lambda _: func(), range(number), executor=executor).futures
    ),
}


def chain_of(executor: ParallelExecutor, func: Callable[[], Any], number: int) -> FutureCollection[Any]:
    chain: Any = parallel(func, executor=executor)()
    for _ in range(number - 1):
        chain = chain.parallel(func)()
    result: FutureCollection[Any] = chain
    return result


@pytest.mark.parametrize("way", START)
def test_at_most_so_many_calls_run_at_a_time_and_so_many_do(way: str) -> None:
    three_inside, lock = threading.Barrier(3), threading.Lock()
    inside: list[None] = []
    most: list[int] = []

    def call() -> None:
        with lock:
            inside.append(None)
            most.append(len(inside))
        three_inside.wait(LIMIT)
        with lock:
            inside.pop()
        three_inside.wait(LIMIT)

    with ParallelExecutor(max_workers=3) as executor:
        futures = START[way](executor, call, 30)
        assert not wait(futures, LIMIT).not_done
        assert [future.exception(0) for future in futures] == [None] * 30
    assert max(most) == 3


def test_map_waits_for_places() -> None:
    three_inside = threading.Barrier(3)
    with ParallelExecutor(max_workers=3) as executor:
        results = executor.map(lambda number: (three_inside.wait(LIMIT), number)[1], range(12))
        assert list(results) == list(range(12))


def test_calls_wait_in_the_order_in_which_they_were_submitted(holder: Holder) -> None:
    order: list[int] = []
    with ParallelExecutor(max_workers=1) as executor:
        (first,) = holder.fill(executor)
        futures = [executor.submit(order.append, number) for number in range(100)]
        futures += executor.execute(*[lambda number=number: order.append(number) for number in range(100, 200)])
        first.release()
        assert not wait(futures, LIMIT).not_done
    assert order == list(range(200))


def test_short_calls_that_wait_run_on_one_thread_after_the_other_call(holder: Holder) -> None:
    with ParallelExecutor(max_workers=1) as executor:
        (first,) = holder.fill(executor)
        threads = [executor.submit(threading.get_ident) for _ in range(100)]
        first.release()
        assert len({thread.result(LIMIT) for thread in threads}) == 1


def test_calls_that_limited_calls_make_are_not_counted() -> None:
    def depth(levels: int) -> int:
        return 1 + parallel(depth)(levels - 1).results(timeout=LIMIT)[0] if levels else 0

    with ParallelExecutor(max_workers=1) as executor:
        assert executor.submit(depth, 20).result(LIMIT) == 20


def test_each_executor_has_a_limit_of_its_own(holder: Holder) -> None:
    with ParallelExecutor(max_workers=1) as one, ParallelExecutor(max_workers=1) as other:
        holder.fill(one)
        assert other.submit(int).result(LIMIT) == 0
        assert ParallelExecutor.execute_one(int).result(LIMIT) == 0
        assert [each.result(LIMIT) for each in ParallelExecutor.execute(int, int)] == [0, 0]
        holder.held[0].release()


def test_call_of_the_class_belongs_to_no_executor(holder: Holder) -> None:
    class Limited(ParallelExecutor):
        """A subclass."""

    for cls in (ParallelExecutor, Limited):
        holder.held.append(Held(cls.execute_one))
        cls(max_workers=1).shutdown()
        assert not holder.held[-1].future.done()


@pytest.mark.parametrize("limit", [None, 1])
@pytest.mark.parametrize("way", ["execute_one", "execute"])
def test_call_of_an_instance_belongs_to_it(holder: Holder, limit: int | None, way: str) -> None:
    executor = ParallelExecutor(limit)
    held = Held(lambda call: START[way](executor, call, 1)[0])
    holder.held.append(held)
    thread = threading.Thread(target=executor.shutdown)
    thread.start()
    try:
        held.wait_until_inside()
        thread.join(0.05)
        assert thread.is_alive()
    finally:
        held.release()
        thread.join(LIMIT)
    with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
        START[way](executor, int, 1)


def test_execute_one_is_a_method_that_tells_of_itself() -> None:
    assert ParallelExecutor.execute_one.__name__ == "execute_one"
    assert ParallelExecutor.execute.__name__ == "execute"
    assert (ParallelExecutor.execute_one.__doc__ or "").startswith("Starts")
    assert (ParallelExecutor.execute.__doc__ or "").startswith("Starts")


def test_repr_tells_how_many_wait(holder: Holder) -> None:
    with ParallelExecutor(max_workers=2) as executor:
        assert repr(executor) == "<ParallelExecutor: no calls running>"
        holder.fill(executor, 2)
        futures = [executor.submit(int) for _ in range(3)]
        assert repr(executor) == "<ParallelExecutor: 2 calls running, 3 pending>"
        assert futures[0].cancel()
        assert repr(executor) == "<ParallelExecutor: 2 calls running, 2 pending>"
        for each in holder.held:
            each.release()


# Futures that wait


@pytest.fixture
def full(holder: Holder) -> Iterator[ParallelExecutor]:
    """An executor whose only place is taken."""
    with ParallelExecutor(max_workers=1) as executor:
        holder.fill(executor)
        yield executor
        for each in holder.held:
            each.release()


def test_future_of_a_call_that_waits_is_pending(full: ParallelExecutor, holder: Holder) -> None:
    future = full.submit(abs, -1)
    assert not future.running()
    assert not future.done()
    assert not future.cancelled()
    assert "pending" in repr(future)
    with pytest.raises(FutureTimeoutError):
        future.result(0)
    assert wait([future], 0).not_done == {future}
    holder.held[0].release()
    assert future.result(LIMIT) == 1
    assert not future.cancel()


def test_call_that_waits_can_be_cancelled(full: ParallelExecutor) -> None:
    ran: list[None] = []
    future = full.submit(ran.append, None)
    assert future.cancel()
    assert future.cancel()
    assert future.cancelled()
    assert future.done()
    assert not future.running()
    for ask in (future.result, future.exception):
        with pytest.raises(CancelledError):
            ask(0)
    full.shutdown(wait=False)
    assert ran == []


def test_cancelled_call_never_runs(full: ParallelExecutor, holder: Holder) -> None:
    ran: list[int] = []
    futures = [full.submit(ran.append, number) for number in range(10)]
    assert all(future.cancel() for future in futures[::2])
    holder.held[0].release()
    full.shutdown()
    assert ran == [1, 3, 5, 7, 9]


def test_all_who_wait_hear_of_a_cancelled_call(full: ParallelExecutor) -> None:
    future = full.submit(int)
    called: list[Future[int]] = []
    future.add_done_callback(called.append)
    waiters = [
        parallel(lambda: wait([future], LIMIT).done)(),
        parallel(lambda: wait([future], LIMIT, "FIRST_COMPLETED").done)(),
        parallel(lambda: set(as_completed([future], LIMIT)))(),
        parallel(lambda: {future} if isinstance(waited_for(future), CancelledError) else set())(),
    ]
    wait_until(lambda: len(future._waiters) == 3)
    assert future.cancel()
    assert [waiter.results(timeout=LIMIT) for waiter in waiters] == [({future},)] * 4
    assert called == [future]
    future.add_done_callback(called.append)
    assert called == [future] * 2


def waited_for(future: Future[Any]) -> BaseException | None:
    try:
        return future.exception(LIMIT)
    except CancelledError as error:
        return error


@pytest.mark.parametrize("return_when", [ReturnWhen.ALL_COMPLETED, ReturnWhen.FIRST_EXCEPTION])
def test_results_raises_the_cancelled_error_of_a_call_that_waited(
    full: ParallelExecutor, holder: Holder, return_when: Any
) -> None:
    calls = parallel(abs, executor=full)(-1).parallel(abs)(-2)
    assert repr(calls) == "<FutureCollection: abs pending, abs pending>"
    waiting = parallel(lambda: calls.results(timeout=LIMIT, return_when=return_when))()
    assert calls.futures[1].cancel()
    if return_when is ReturnWhen.ALL_COMPLETED:
        holder.held[0].release()
    with pytest.raises(CancelledError):
        waiting.results(timeout=LIMIT)


def test_await_hears_of_a_cancelled_call(full: ParallelExecutor) -> None:
    async def cancel_while_waited_for() -> None:
        calls = parallel(abs, executor=full)(-1)
        task = asyncio.ensure_future(awaited(calls))
        await asyncio.sleep(0)
        assert calls.futures[0].cancel()
        with pytest.raises(CancelledError):
            await asyncio.wait_for(task, LIMIT)

    async def awaited(calls: Any) -> Any:
        return await calls

    asyncio.run(cancel_while_waited_for())


def test_task_that_is_cancelled_cancels_the_call_that_waits(full: ParallelExecutor, holder: Holder) -> None:
    ran: list[None] = []

    async def cancel_task() -> None:
        task = asyncio.get_running_loop().run_in_executor(full, ran.append, None)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel_task())
    holder.held[0].release()
    full.shutdown()
    assert ran == []


def test_cancelled_call_is_reported_by_nobody(full: ParallelExecutor) -> None:
    calls = parallel(abs, executor=full)(-1)
    calls.cancel()
    assert repr(calls) == "<FutureCollection: abs cancelled>"
    del calls
    gc.collect()


def test_arguments_of_a_cancelled_call_are_freed_at_once(full: ParallelExecutor) -> None:
    class Argument:
        pass

    argument = Argument()
    reference = weakref.ref(argument)
    future = full.submit(id, argument)
    del argument
    assert future.cancel()
    free_garbage()
    assert reference() is None


def test_user_may_set_a_future_that_waits(full: ParallelExecutor, holder: Holder) -> None:
    ran: list[None] = []
    future = full.submit(ran.append, None)
    future.set_result(None)
    assert future.result(0) is None
    assert not future.cancel()
    holder.held[0].release()
    assert full.submit(int).result(LIMIT) == 0
    assert ran == []


def test_user_who_sets_the_future_of_a_running_call_frees_no_place(full: ParallelExecutor, holder: Holder) -> None:
    waiting = full.submit(int)
    holder.held[0].future.add_done_callback(id)
    holder.held[0].future.set_result(None)
    assert not waiting.done()
    assert free_places(full) == 0
    assert len(full._runners()) == 1
    holder.held[0].release()
    assert waiting.result(LIMIT) == 0


@pytest.mark.parametrize("cls", [_LatchFuture, _PlainFuture])
def test_future_can_be_pending_at_first(cls: Any) -> None:
    future = cls()
    future.set_pending()
    assert not future.running()
    assert future.begin()
    assert future.running()
    assert not future.try_to_cancel()
    assert future.begin()
    assert future.try_to_set(1, None)
    assert not future.begin()
    assert not future.try_to_cancel()
    assert future.result(0) == 1


@pytest.mark.parametrize("cls", [_LatchFuture, _PlainFuture])
def test_pending_future_is_cancelled_for_everyone(cls: Any) -> None:
    future = cls()
    future.set_pending()
    called: list[Any] = []
    future.add_done_callback(called.append)
    assert future.try_to_cancel()
    assert future.try_to_cancel()
    assert not future.begin()
    assert not future.try_to_set(1, None)
    assert future.cancelled()
    assert future.done()
    assert called == [future]
    assert wait([future], 0).done == {future}
    with pytest.raises(CancelledError):
        future.result(0)
    heard: list[Any] = []

    class Waiter:
        add_result = add_exception = add_done = staticmethod(heard.append)

    future.add_waiter(Waiter())
    assert heard == [future]


def test_calls_with_plain_futures_wait_and_end_the_same() -> None:
    code = """
    import concurrent.futures
    for name in [name for name in sys.modules if name.startswith("parallel")]: del sys.modules[name]
    class Future(concurrent.futures.Future):
        def __init__(self):
            super().__init__()
            self.one_more = None
    concurrent.futures.Future = Future
    from parallel import _call_future, ParallelExecutor
    assert issubclass(_call_future.CallFuture, _call_future._PlainFuture)
    inside, go, done = threading.Event(), threading.Event(), threading.Event()
    with ParallelExecutor(max_workers=1) as executor:
        first = executor.submit(lambda: (inside.set(), go.wait(15))[1])
        assert inside.wait(15)
        waiting, cancelled = executor.submit(abs, -1), executor.submit(abs, -2)
        assert first.running() and not waiting.running()
        assert cancelled.cancel() and not first.cancel()
        blocking = executor.submit(int)
        blocking.add_done_callback(lambda _: done.wait(15))
        after = executor.submit(abs, -3)
        go.set()
        assert (first.result(15), waiting.result(15), after.result(8)) == (True, 1, 3)
        assert not concurrent.futures.wait([cancelled], 15).not_done
        done.set()
    """
    assert run(code) == []


# Places


def test_place_is_free_while_done_callbacks_of_its_call_block(holder: Holder) -> None:
    go_on, called = threading.Event(), threading.Event()

    def block(_: Future[Any]) -> None:
        called.set()
        assert go_on.wait(LIMIT)

    with ParallelExecutor(max_workers=1) as executor:
        try:
            (first,) = holder.fill(executor)
            first.future.add_done_callback(block)
            waiting = executor.submit(abs, -1)
            first.release()
            assert waiting.result(LIMIT) == 1
            assert called.wait(LIMIT)
            assert executor.submit(abs, -2).result(LIMIT) == 2
        finally:
            go_on.set()
    assert_all_places_free_again(executor)


def test_callback_may_submit_and_wait(holder: Holder) -> None:
    results: list[Any] = []
    with ParallelExecutor(max_workers=1) as executor:
        (first,) = holder.fill(executor)
        first.future.add_done_callback(lambda _: results.append(executor.submit(abs, -1).result(LIMIT)))
        waiting = executor.submit(abs, -2)
        first.release()
        assert waiting.result(LIMIT) == 2
    assert results == [1]


def assert_all_places_free_again(executor: ParallelExecutor) -> None:
    wait_for_idle_threads()
    assert free_places(executor) == executor._max_workers


@pytest.mark.parametrize("outcome", [None, ValueError(), SystemExit(1), KeyboardInterrupt(), CancelledError()])
def test_place_is_free_after_any_outcome_and_any_callback(
    outcome: BaseException | None, uncaught: list[Uncaught]
) -> None:
    go = threading.Event()

    def end() -> None:
        assert go.wait(LIMIT)
        if outcome is not None:
            raise outcome

    with ParallelExecutor(max_workers=2) as executor:
        try:
            futures = [executor.submit(end) for _ in range(20)]
            if isinstance(outcome, SystemExit):
                for future in futures:
                    future.add_done_callback(lambda _: fail(SystemExit(2)))
        finally:
            go.set()
        assert not wait(futures, LIMIT).not_done
        assert_all_places_free(executor)
    assert all(isinstance(report.exc_value, SystemExit) for report in uncaught)


def test_callback_of_another_executor_waits_for_its_call(holder: Holder) -> None:
    # The callback holds no place, so the two executors do not wait for each other.
    results: list[Any] = []
    with ParallelExecutor(max_workers=1) as one, ParallelExecutor(max_workers=1) as other:
        holder.fill(one)
        holder.fill(other)
        holder.held[0].future.add_done_callback(lambda _: results.append(other.submit(abs, -1).result(LIMIT)))
        holder.held[1].future.add_done_callback(lambda _: results.append(one.submit(abs, -2).result(LIMIT)))
        for each in holder.held:
            each.release()
        wait_until(lambda: len(results) == 2)
    assert sorted(results) == [1, 2]


# As for other calls

variable: ContextVar[str] = ContextVar("variable", default="none")


def test_call_sees_context_variables_as_they_were_when_it_was_submitted(full: ParallelExecutor, holder: Holder) -> None:
    token = variable.set("submitted")
    future = full.submit(lambda: (variable.get(), variable.set("changed"))[0])
    variable.set("later")
    after = full.submit(variable.get)
    variable.reset(token)
    holder.held[0].release()
    assert (future.result(LIMIT), after.result(LIMIT)) == ("submitted", "later")
    assert variable.get() == "none"


def test_threads_are_named_after_each_call(full: ParallelExecutor, holder: Holder) -> None:
    def first_name() -> str:
        return threading.current_thread().name

    def second_name() -> str:
        threading.current_thread().name = "changed"
        return first_name()

    futures = [full.submit(name) for name in (first_name, second_name, first_name)]
    holder.held[0].release()
    assert [future.result(LIMIT) for future in futures] == ["first_name", "changed", "first_name"]


def test_each_call_has_the_trace_function_of_a_new_thread(full: ParallelExecutor, holder: Holder) -> None:
    def trace(*_: object) -> None:
        pass

    def set_trace() -> None:
        sys.settrace(trace)

    before = full.submit(set_trace)
    seen = full.submit(sys.gettrace)
    holder.held[0].release()
    assert before.result(LIMIT) is None
    assert (
        seen.result(LIMIT) is threading.gettrace() if sys.version_info >= (3, 10) else seen.result(LIMIT) is not trace
    )


def test_running_call_is_asked_to_stop_and_one_that_waits_is_cancelled(full: ParallelExecutor, holder: Holder) -> None:
    inside = threading.Event()

    def call() -> bool:
        inside.set()
        return cancellation().wait(LIMIT)

    future = full.submit(call)
    holder.held[0].release()
    assert inside.wait(LIMIT)
    after = full.submit(lambda: cancellation().is_set())
    assert not future.cancel()
    assert future.result(LIMIT)
    assert after.result(LIMIT) is False


def test_call_submitted_inside_a_cancelled_call_is_asked_to_stop(full: ParallelExecutor, holder: Holder) -> None:
    def submit() -> Future[bool]:
        assert cancellation().wait(LIMIT)
        return full.submit(lambda: cancellation().is_set())

    outer = ParallelExecutor.execute_one(submit)
    outer.cancel()
    inner = outer.result(LIMIT)
    holder.held[0].release()
    assert inner.result(LIMIT)


def test_call_of_a_limited_call_is_asked_to_stop_with_it() -> None:
    inside = threading.Event()

    def inner() -> bool:
        inside.set()
        return cancellation().wait(LIMIT)

    with ParallelExecutor(max_workers=1) as executor:
        future = executor.submit(lambda: parallel(inner)().results(timeout=LIMIT))
        assert inside.wait(LIMIT)
        assert not future.cancel()
        assert future.result(LIMIT) == (True,)


def test_error_of_a_dropped_chain_is_reported_with_the_name_of_its_call(
    full: ParallelExecutor, holder: Holder, uncaught: list[Uncaught]
) -> None:
    parallel(fail, executor=full)(ValueError("lost"))
    free_garbage()
    holder.held[0].release()
    full.shutdown()
    assert [(repr(report.exc_value), report.thread_name) for report in uncaught] == [("ValueError('lost')", "fail")]


def test_nothing_is_kept_of_calls_that_have_ended() -> None:
    class Argument:
        pass

    with ParallelExecutor(max_workers=1) as executor:
        arguments = [Argument() for _ in range(10)]
        references = [weakref.ref(each) for each in arguments]
        gc.disable()
        try:
            results = list(executor.map(lambda each: each, arguments))
            del arguments, results
            wait_for_idle_threads()
            free_garbage()
            assert [reference() for reference in references] == [None] * 10
            reference = weakref.ref(executor)
            executor.shutdown()
        finally:
            gc.enable()
    gc.disable()
    try:
        del executor
        free_garbage()
        assert reference() is None
    finally:
        gc.enable()


# shutdown


def test_shutdown_waits_for_calls_that_wait(full: ParallelExecutor, holder: Holder) -> None:
    futures = [full.submit(int) for _ in range(20)]
    thread = threading.Thread(target=full.shutdown)
    thread.start()
    thread.join(0.05)
    assert thread.is_alive()
    holder.held[0].release()
    thread.join(LIMIT)
    assert not thread.is_alive()
    assert all(future.done() for future in futures)


@pytest.mark.skipif(sys.version_info < (3, 9), reason="as for the standard executor")
def test_shutdown_can_cancel_the_calls_that_wait(full: ParallelExecutor, holder: Holder) -> None:
    futures = [full.submit(int) for _ in range(20)]
    full.shutdown(wait=False, cancel_futures=True)
    assert all(future.cancelled() for future in futures)
    assert wait(futures, 0).not_done == set()
    assert holder.held[0].future.running()
    holder.held[0].release()
    full.shutdown()


def test_shutdown_refuses_only_later_calls(full: ParallelExecutor, holder: Holder) -> None:
    waiting = full.submit(abs, -1)
    full.shutdown(wait=False)
    for start in (full.submit, full.execute_one, full.execute):
        with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
            start(int)
    holder.held[0].release()
    assert waiting.result(LIMIT) == 1


def test_call_cannot_wait_for_its_own_executor(holder: Holder) -> None:
    executor = ParallelExecutor(max_workers=1)
    with pytest.raises(RuntimeError, match="cannot join current thread"):
        executor.submit(executor.shutdown).result(LIMIT)
    executor.shutdown()


def test_no_thread_is_left_after_shutdown() -> None:
    code = """
    for _ in range(20):
        with ParallelExecutor(max_workers=3) as executor:
            list(executor.map(abs, range(100)))
            executor.submit(int).add_done_callback(lambda _: time.sleep(0.01))
        assert threading.enumerate() == [threading.main_thread()], threading.enumerate()
    """
    assert run(code) == []


class FreedPlace:
    """Stops the thread that frees a place right before it does so, and right after."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.before, self.free, self.after, self.go_on = (threading.Event() for _ in range(4))
        self._free_place = _limit.Limit.free_place
        monkeypatch.setattr(_limit.Limit, "free_place", lambda limit, places: self.free_place(limit, places))

    def free_place(self, limit: _limit.Limit, places: list[bool]) -> None:
        self.before.set()
        assert self.free.wait(LIMIT)
        self._free_place(limit, places)
        self.after.set()
        assert self.go_on.wait(LIMIT)

    def release(self) -> None:
        self.free.set()
        self.go_on.set()


def test_shutdown_waits_until_the_threads_of_its_calls_are_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    executor = ParallelExecutor(max_workers=1)
    place = FreedPlace(monkeypatch)
    thread = threading.Thread(target=executor.shutdown)
    try:
        assert executor.submit(int).result(LIMIT) == 0
        assert place.before.wait(LIMIT)
        thread.start()
        thread.join(0.05)
        assert thread.is_alive()
    finally:
        place.release()
        thread.join(LIMIT)
    assert not thread.is_alive()


def test_call_does_not_overtake_one_that_waits_for_a_place_just_freed(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[int] = []
    with ParallelExecutor(max_workers=1) as executor:
        place = FreedPlace(monkeypatch)
        try:
            assert executor.submit(int).result(LIMIT) == 0
            assert place.before.wait(LIMIT)
            first = executor.submit(order.append, 1)
            place.free.set()
            assert place.after.wait(LIMIT)
            second = executor.submit(order.append, 2)
            place.go_on.set()
            assert not wait([first, second], LIMIT).not_done
        finally:
            place.release()
    assert order == [1, 2]


def test_submit_while_another_thread_shuts_down_runs_or_raises() -> None:
    for _ in range(50):
        executor = ParallelExecutor(max_workers=1)
        futures: list[Future[int]] = []

        def submit_until_refused(executor: Any = executor, futures: list[Future[int]] = futures) -> None:
            while True:
                try:
                    futures.append(executor.submit(int))
                except RuntimeError:
                    return

        submitting = parallel(submit_until_refused)()
        executor.shutdown()
        submitting.results(timeout=LIMIT)
        executor.shutdown()
        assert all(future.done() for future in futures)


# abandon


def test_abandoned_call_gives_its_place_back_at_once(holder: Holder) -> None:
    with ParallelExecutor(max_workers=1) as executor:
        held = Held(lambda call: parallel(call, executor=executor)())
        holder.held.append(held)
        held.wait_until_inside()
        waiting = executor.submit(abs, -1)
        held.future.abandon()
        assert waiting.result(LIMIT) == 1
        # shutdown does not wait for the call that was abandoned.
    assert repr(held.future) == "<FutureCollection: Held abandoned>"
    held.release()
    wait_for_idle_threads()
    assert free_places(executor) == 1


def test_abandoned_chain_cancels_its_calls_that_wait(full: ParallelExecutor, holder: Holder) -> None:
    calls = parallel(abs, executor=full)(-1).parallel(abs)(-2)
    other = full.submit(abs, -3)
    calls.abandon()
    assert repr(calls) == "<FutureCollection: abs cancelled, abs cancelled>"
    with pytest.raises(CancelledError):
        calls.results(timeout=LIMIT)
    holder.held[0].release()
    assert other.result(LIMIT) == 3


def test_calls_that_an_abandoned_call_submitted_are_let_go(holder: Holder) -> None:
    limited = ParallelExecutor(max_workers=1)
    submitted, go = threading.Event(), threading.Event()
    inner: list[Any] = []

    def outer() -> None:
        inner.append(holder.submit(limited))
        inner.append(limited.submit(abs, -1))
        submitted.set()
        assert go.wait(LIMIT)

    calls = parallel(outer)()
    assert submitted.wait(LIMIT)
    inner[0].wait_until_inside()
    other = limited.submit(abs, -2)
    calls.abandon()
    assert other.result(LIMIT) == 2
    assert inner[1].cancelled()
    limited.shutdown()
    assert not inner[0].future.done()
    go.set()


def test_call_that_an_abandoned_call_submits_later_is_cancelled() -> None:
    executor = ParallelExecutor(max_workers=1)
    go = threading.Event()
    inner: list[Future[int]] = []

    def outer() -> None:
        assert go.wait(LIMIT)
        inner.append(executor.submit(int))

    calls = parallel(outer)()
    calls.abandon()
    go.set()
    calls.results(timeout=LIMIT)
    with pytest.raises(CancelledError):
        inner[0].result(LIMIT)
    executor.shutdown()


def test_abandoned_call_that_ends_frees_no_second_place(holder: Holder) -> None:
    with ParallelExecutor(max_workers=2) as executor:
        for _ in range(20):
            held = Held(lambda call: parallel(call, executor=executor)())
            holder.held.append(held)
            held.wait_until_inside()
            held.future.abandon()
            held.release()
            held.future.results(timeout=LIMIT)
        assert_all_places_free(executor)


def test_call_that_has_just_ended_is_not_let_go_with_the_next_calls_place(holder: Holder) -> None:
    with ParallelExecutor(max_workers=1) as executor:
        (first,) = holder.fill(executor)
        calls: Any = first.future
        second = holder.submit(executor)
        calls.request.set(is_abandoned=True)
        first.release()
        second.wait_until_inside()
        # The other thread set the request while the call ran, and comes to its place only now.
        calls.let_go()
        assert free_places(executor) == 0
        third = holder.submit(executor)
        assert not third.has_begun
        second.release()
        third.release()


# Threads that cannot be started


@pytest.fixture
def no_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Has the system refuse threads, from the call of this on."""
    wait_for_idle_threads()
    with monkeypatch.context() as patch:

        def refuse() -> None:
            def start(_: threading.Thread) -> None:
                fail_in_threading()

            patch.setattr(threading.Thread, "start", start)
            _process.pool.join_idle()

        yield refuse


# As if `threading` itself raised it.
namespace: dict[str, Any] = {"__name__": "threading"}
exec('def fail_in_threading():\n    raise RuntimeError("can\'t start new thread")', namespace)  # noqa: S102
fail_in_threading: Callable[[], None] = namespace["fail_in_threading"]


def test_submit_raises_if_there_is_a_place_and_no_thread(no_threads: Callable[[], None]) -> None:
    executor = ParallelExecutor(max_workers=1)
    ran: list[None] = []
    no_threads()
    for start in (executor.submit, executor.execute_one):
        with pytest.raises(RuntimeError, match="can't start new thread"):
            start(ran.append, None)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        executor.execute(int, int)
    assert repr(executor) == "<ParallelExecutor: no calls running>"
    assert free_places(executor) == 1
    executor.shutdown()
    assert ran == []


def test_call_without_a_place_is_queued_though_there_is_no_thread(
    no_threads: Callable[[], None], holder: Holder
) -> None:
    executor = ParallelExecutor(max_workers=1)
    holder.fill(executor)
    no_threads()
    future = executor.submit(abs, -1)
    holder.held[0].release()
    assert future.result(LIMIT) == 1
    executor.shutdown()


def test_place_is_used_after_the_callbacks_if_there_is_no_thread(
    no_threads: Callable[[], None], holder: Holder
) -> None:
    executor = ParallelExecutor(max_workers=1)
    (first,) = holder.fill(executor)
    called: list[object] = []
    first.future.add_done_callback(called.append)
    future = executor.submit(lambda: called[:])
    no_threads()
    first.release()
    assert future.result(LIMIT) == [first.future]
    executor.shutdown()


def test_queued_calls_fail_if_no_thread_is_left_for_them(no_threads: Callable[[], None], holder: Holder) -> None:
    executor = ParallelExecutor(max_workers=1)
    held = Held(lambda call: parallel(call, executor=executor)())
    holder.held.append(held)
    held.wait_until_inside()
    futures = [executor.submit(int) for _ in range(3)]
    no_threads()
    held.future.abandon()
    for future in futures:
        with pytest.raises(RuntimeError, match="can't start new thread"):
            future.result(LIMIT)
    held.release()
    executor.shutdown()
    assert free_places(executor) == 1


def test_queued_calls_wait_for_a_place_that_another_call_has(no_threads: Callable[[], None], holder: Holder) -> None:
    executor = ParallelExecutor(max_workers=2)
    (other,) = holder.fill(executor)
    held = Held(lambda call: parallel(call, executor=executor)())
    holder.held.append(held)
    held.wait_until_inside()
    future = executor.submit(abs, -1)
    no_threads()
    held.future.abandon()
    assert not future.done()
    other.release()
    assert future.result(LIMIT) == 1
    held.release()
    executor.shutdown()


def test_execute_starts_all_or_none(no_threads: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[None] = []
    executor = ParallelExecutor(max_workers=3)
    no_threads()
    with pytest.raises(RuntimeError, match="can't start new thread"):
        executor.execute(*[lambda: ran.append(None)] * 10)
    monkeypatch.undo()
    executor.shutdown()
    assert ran == []


# Exceptions of signal handlers, and asynchronous ones

MODULES = (_limit, _threads, _call, _call_future)


@pytest.mark.parametrize("cls", ERRORS[:2])
@pytest.mark.parametrize("way", ["submit", "execute"])
def test_exception_of_a_handler_in_submit_loses_nothing(cls: type[BaseException], way: str) -> None:
    executor = ParallelExecutor(max_workers=2)
    for moment in moments(*MODULES):
        ran: list[None] = []
        moment.interrupt(cls, START[way], executor, lambda: ran.append(None), 3)  # noqa: B023
        other = executor.submit(int)
        assert other.result(LIMIT) == 0
        wait_for_idle_threads()
        assert free_places(executor) == 2
        assert len(ran) <= 3
    executor.shutdown()


@pytest.mark.parametrize("cls", ERRORS[:2])
def test_exception_of_a_handler_in_abandon_loses_nothing(holder: Holder, cls: type[BaseException]) -> None:
    for moment in moments(_limit):
        executor = ParallelExecutor(max_workers=1)
        held = Held(lambda call: parallel(call, executor=executor)())  # noqa: B023
        holder.held.append(held)
        held.wait_until_inside()
        waiting = executor.submit(abs, -1)
        moment.interrupt(cls, held.future.abandon)
        held.future.abandon()
        assert waiting.result(LIMIT) == 1
        held.release()
        executor.shutdown()
        wait_for_idle_threads()
        assert free_places(executor) == 1


def test_handler_may_use_the_executor_in_the_middle_of_it() -> None:
    executor = ParallelExecutor(max_workers=1)
    for moment in moments(*MODULES):
        inner: list[Future[int]] = []
        outer = moment.during(executor.submit, int, happen=lambda: inner.append(executor.submit(abs, -1)))  # noqa: B023
        assert outer.result(LIMIT) == 0
        assert [each.result(LIMIT) for each in inner] == [1] * moment.has_come
        wait_for_idle_threads()
        assert free_places(executor) == 1
    executor.shutdown()


def test_handler_may_cancel_and_shut_down_in_the_middle_of_submit(holder: Holder) -> None:
    for moment in moments(_limit):
        executor = ParallelExecutor(max_workers=1)
        (held,) = holder.fill(executor)
        try:
            waiting = moment.during(
                executor.submit,
                int,
                happen=lambda: executor.shutdown(wait=False, cancel_futures=True),  # noqa: B023
            )
        except RuntimeError:  # It has been shut down in time.
            waiting = None
        held.release()
        if waiting is not None:
            assert not wait([waiting], LIMIT).not_done
        executor.shutdown()


# Processes


@starts_threads_at_exit
def test_queued_calls_run_before_the_program_ends() -> None:
    code = """
    executor = ParallelExecutor(max_workers=2)
    def call(number):
        time.sleep(0.01)
        say(number)
    atexit.register(say, "atexit")
    for number in range(10): executor.submit(call, number).add_done_callback(lambda _: say("called"))
    """
    lines = run(code)
    assert sorted(lines[:-1]) == sorted([*map(str, range(10)), *["called"] * 10])
    assert lines[-1] == "atexit"


def test_program_does_not_wait_for_an_abandoned_call_but_for_the_queue() -> None:
    code = """
    executor = ParallelExecutor(max_workers=1)
    inside = threading.Event()
    def stuck():
        inside.set()
        time.sleep(1000)
    calls = parallel(stuck, executor=executor)()
    inside.wait(15)
    executor.submit(say, "queued")
    calls.abandon()
    executor.shutdown()
    """
    assert run(code) == ["queued"]


def test_submit_in_an_atexit_handler_is_refused() -> None:
    code = """
    executor = ParallelExecutor(max_workers=1)
    executor.submit(int).result()
    def submit():
        try: executor.submit(int)
        except RuntimeError as error: say(error)
    atexit.register(submit)
    """
    assert run(code) == ["cannot schedule new futures after interpreter shutdown"]


def test_call_that_would_wait_is_refused_in_an_atexit_handler() -> None:
    code = """
    executor = ParallelExecutor(max_workers=1)
    def submit():
        executor._limit(1)._free.clear()  # As if a daemon thread of the user's had begun a call.
        try: executor.submit(int)
        except RuntimeError as error: say(error)
    atexit.register(submit)
    """
    assert run(code) == ["cannot schedule new futures after interpreter shutdown"]


@needs_fork
def test_forked_child_has_an_empty_queue_and_all_places() -> None:
    code = """
    executor = ParallelExecutor(max_workers=1)
    inside, go = threading.Event(), threading.Event()
    held = executor.submit(lambda: (inside.set(), go.wait(15)))
    waiting = executor.submit(say, "of the parent")
    inside.wait(15)
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        assert [executor.submit(abs, -n).result(15) for n in range(5)] == list(range(5))
        assert list(executor.map(abs, range(5))) == list(range(5))
        executor.shutdown()
        os._exit(7)
    assert os.waitpid(child, 0)[1] == 7 << 8
    go.set()
    waiting.result(15)
    executor.shutdown()
    """
    assert run(code, flags=FORKS) == ["of the parent"]


@needs_fork
def test_child_forked_inside_a_call_runs_no_call_of_its_parent() -> None:
    code = """
    executor = ParallelExecutor(max_workers=1)
    go = threading.Event()
    def fork():
        go.wait(15)
        child = os.fork()
        if child == 0:
            signal.alarm(8)  # An idle thread would keep the child for ten seconds.
            use_everything()
            return
        say(os.waitpid(child, 0)[1])
    parent = os.getpid()
    forking = executor.submit(fork)
    forking.add_done_callback(lambda _: None)
    waiting = [executor.submit(lambda: say("parent" if os.getpid() == parent else "child")) for _ in range(3)]
    go.set()
    for each in waiting: each.result(15)
    executor.shutdown()
    """
    assert run(code, flags=FORKS) == ["0", "parent", "parent", "parent"]


SUBINTERPRETER = """
from parallel import ParallelExecutor
with ParallelExecutor(max_workers=2) as executor:
    assert list(executor.map(abs, range(100))) == list(range(100))
executor = ParallelExecutor(max_workers=1)
for _ in range(10): executor.submit(int)
"""


@pytest.mark.skipif(sys.version_info < (3, 14), reason="3.14 brought concurrent.interpreters")
def test_limit_works_in_subinterpreters() -> None:
    code = f"""
    from concurrent import interpreters
    interpreter = interpreters.create()
    interpreter.exec({textwrap.dedent(SUBINTERPRETER)!r})
    interpreter.close()
    """
    assert run(code) == []
