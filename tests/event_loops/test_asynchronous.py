"""Chains on an event loop: ``await`` and ``async with``, on asyncio's own loop and on uvloop's, in debug mode."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import decimal
import gc
import subprocess
import sys
import threading
import traceback
import weakref
from contextlib import AsyncExitStack, contextmanager
from functools import partial
from typing import Any, Callable, Coroutine, Generator, Iterator, Sequence

import pytest
from hypothesis import assume, given, settings

import random_programs
from helpers import (
    LIMIT,
    PYPY,
    BaseExceptionGroup,
    ExceptionGroup,
    Gate,
    Manager,
    Run,
    Uncaught,
    fail,
    until,
    wait_for_idle_threads,
)
from parallel import parallel, parallel_contexts, parallel_map

needs_task_groups = pytest.mark.skipif(sys.version_info < (3, 11), reason="TaskGroup and timeout() came with 3.11")


def are_gone(kept: list[weakref.ref[Any]]) -> bool:
    return all(ref() is None for ref in kept)


async def tick(then: Callable[[], object]) -> None:
    """Lets the loop go round a hundred times: what blocks it is never told to go on."""
    for _ in range(100):
        await asyncio.sleep(0)
    then()


# Calls


def test_await_gives_the_results_in_the_order_of_the_chain(run: Run) -> None:
    async def main() -> None:
        number, text, (first, *_) = await parallel(int)("1").parallel(str)(2).parallel(sorted)([4, 3])
        assert (number + 1, text.upper(), first + 1) == (2, "2", 4)

    run(main())


def test_calls_that_wait_for_each_other_end(run: Run) -> None:
    async def main() -> None:
        meet = threading.Barrier(3).wait
        assert sorted(await parallel(meet)(LIMIT).parallel(meet)(LIMIT).parallel(meet)(LIMIT)) == [0, 1, 2]

    run(main())


def test_the_loop_goes_on_while_calls_run(run: Run) -> None:
    async def main() -> None:
        with Gate("done") as gate:
            ticking = asyncio.ensure_future(tick(gate.go.set))
            assert await parallel(gate.call)() == ("done",)
            await ticking

    run(main())


def test_any_number_of_calls_can_be_awaited(run: Run) -> None:
    async def main() -> None:
        assert await parallel_map(str, []) == ()
        assert await parallel_map(str, range(300)) == tuple(map(str, range(300)))
        assert await parallel_map(str, range(2)).parallel(len)("four") == ("0", "1", 4)

    run(main())


def test_calls_that_have_ended_can_be_awaited_and_let_others_run_first(run: Run) -> None:
    async def main() -> None:
        calls = parallel(str)(1)
        assert calls.results() == ("1",)
        others: list[int] = []
        asyncio.get_running_loop().call_soon(others.append, 1)
        assert await calls == ("1",)
        assert others == [1]

    run(main())


def test_a_chain_can_be_awaited_again_and_by_many_at_once(run: Run) -> None:
    async def main() -> None:
        with Gate("done") as gate:
            calls = parallel(gate.call)()

            async def ask() -> tuple[Any]:
                return await calls

            asking = [asyncio.ensure_future(ask()) for _ in range(10)]
            await tick(gate.go.set)
            assert await asyncio.gather(*asking) == [("done",)] * 10
            assert await calls == calls.results() == await calls == ("done",)

    run(main())


def test_loops_on_several_threads_can_await_one_chain() -> None:
    with Gate("done") as gate:
        calls = parallel(gate.call)()
        waiting = threading.Barrier(4)

        async def ask() -> tuple[Any]:
            waiting.wait(LIMIT)
            return await calls

        asking = parallel_map(lambda _: asyncio.run(ask()), range(3))
        waiting.wait(LIMIT)
        gate.go.set()
        assert asking.results(timeout=LIMIT) == (("done",),) * 3


def test_one_failure_is_raised_itself(run: Run) -> None:
    error = OSError("broken")

    async def main() -> None:
        calls = parallel(str)(1).parallel(fail)(error)
        lengths = set()
        for _ in range(3):
            with pytest.raises(OSError, match="broken") as caught:
                await calls
            assert caught.value is error
            frames = traceback.extract_tb(error.__traceback__)
            assert frames[-1].name == "fail"
            lengths.add(len(frames))
        assert len(lengths) == 1

    run(main())


def test_several_failures_are_raised_as_a_group_when_all_calls_have_ended(run: Run) -> None:
    first, second = ValueError(1), KeyError(2)

    async def main() -> None:
        with Gate() as gate:
            ticking = asyncio.ensure_future(tick(gate.go.set))
            with pytest.raises(ExceptionGroup, match="2 of 3 calls failed") as caught:
                await parallel(fail)(first).parallel(gate.call)().parallel(fail)(second)
            assert caught.value.exceptions == (first, second)
            assert gate.go.is_set()
            await ticking

    run(main())


def test_a_group_with_an_interrupt_is_a_base_exception_group(run: Run) -> None:
    async def main() -> None:
        with pytest.raises(BaseExceptionGroup) as caught:
            await parallel(fail)(ValueError()).parallel(fail)(KeyboardInterrupt())
        assert not isinstance(caught.value, ExceptionGroup)

    run(main())


def test_in_an_except_block_the_blocks_error_ends_the_chain_of_contexts(run: Run) -> None:
    outer = LookupError()

    def raise_with_context() -> None:
        try:
            raise KeyError
        except KeyError:
            raise OSError from None

    async def main() -> None:
        try:
            raise outer
        except LookupError:
            with pytest.raises(OSError, match="^$") as caught:
                await parallel(raise_with_context)()
        context = caught.value.__context__
        assert isinstance(context, KeyError)
        assert context.__context__ is outer

    run(main())


def test_a_consumed_chain_cannot_be_awaited(run: Run) -> None:
    async def main() -> None:
        old = parallel(str)(1)
        with Gate() as gate:
            new = old.parallel(gate.call)()
            with pytest.raises(RuntimeError, match="has been consumed by .*use the FutureCollection which"):
                await old
            gate.go.set()
            assert await new == ("1", None)

    run(main())


def test_a_chain_consumed_while_it_is_awaited_says_so(run: Run) -> None:
    async def main() -> None:
        with Gate() as gate:
            old = parallel(gate.call)()

            async def ask() -> tuple[Any]:
                return await old

            asking = asyncio.ensure_future(ask())
            await asyncio.sleep(0)
            new = old.parallel(str)(1)
            gate.go.set()
            with pytest.raises(RuntimeError, match="has been consumed"):
                await asking
            assert await new == (None, "1")

    run(main())


def test_calls_see_the_tasks_context_variables_and_keep_their_changes(run: Run) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")

    def read_and_set() -> str:
        before = variable.get()
        variable.set("the call's")
        return before

    async def task(name: str) -> None:
        variable.set(name)
        assert await parallel(read_and_set)().parallel(read_and_set)() == (name, name)
        assert variable.get() == name

    async def main() -> None:
        await asyncio.gather(task("one"), task("two"))

    run(main())


def test_an_awaited_chain_keeps_nothing_alive(run: Run) -> None:
    class Result:
        pass

    class ResultError(Exception):
        pass

    def raise_new(_: int) -> None:
        raise ResultError

    async def main() -> None:
        gc.disable()
        try:
            (result,) = await parallel(Result)()
            kept: weakref.ref[Any] = weakref.ref(result)
            del result
            await until(partial(are_gone, [kept]))
            for errors in [1, 2]:
                try:
                    await parallel_map(raise_new, range(errors))
                except (ResultError, ExceptionGroup) as error:
                    kept = weakref.ref(error)
                await until(partial(are_gone, [kept]))
        finally:
            gc.enable()

    run(main())


def test_awaiting_where_no_loop_runs_says_so() -> None:
    calls = parallel(str)(1)
    with pytest.raises(RuntimeError, match="no running event loop"):
        next(calls.__await__())
    assert calls.results() == ("1",)


def test_asyncio_is_imported_only_when_it_is_used() -> None:
    program = """
import sys
from tempfile import TemporaryFile
from parallel import parallel, parallel_contexts, parallel_map
assert parallel(str)(1).parallel(len)("two").results() == ("1", 3)
with parallel(TemporaryFile()).parallel(TemporaryFile()):
    assert parallel_map(str, [1, 2]).results() == ("1", "2")
assert "asyncio" not in sys.modules
async def main(): return await parallel(str)(1)
import asyncio
assert asyncio.run(main()) == ("1",)
"""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False)
    assert (done.returncode, done.stderr) == (0, "")


# Calls whose awaiting task is cancelled


def test_a_cancelled_task_ends_at_once_and_leaves_the_calls_running(run: Run) -> None:
    async def main() -> None:
        with Gate("late") as gate:
            calls = parallel(gate.call)()

            async def ask() -> tuple[Any]:
                return await calls

            asking = asyncio.ensure_future(ask())
            await until(gate.inside.is_set)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            assert [future.running() for future in calls.futures] == [True]
            gate.go.set()
            assert await calls == ("late",)

    run(main())


def test_errors_of_calls_that_a_cancelled_task_left_are_reported(run: Run, uncaught: list[Uncaught]) -> None:
    error = OSError()

    async def main() -> None:
        with Gate(error) as gate:

            async def ask() -> tuple[Any, None]:
                return await parallel(gate.call)().parallel(fail)(LookupError())

            asking = asyncio.ensure_future(ask())
            await until(gate.inside.is_set)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            del asking
            gate.go.set()
            await until(lambda: len(uncaught) == 2)
        assert {report.thread_name for report in uncaught} == {"Gate.call", "fail"}
        assert error in [report.exc_value for report in uncaught]

    run(main())


def test_wait_for_sets_a_time_limit_and_can_be_used_again(run: Run) -> None:
    async def main() -> None:
        with Gate("late") as gate:
            calls = parallel(gate.call)()
            for _ in range(2):
                with pytest.raises(asyncio.TimeoutError):
                    await asyncio.wait_for(calls, 0.01)
            gate.go.set()
            assert await asyncio.wait_for(calls, LIMIT) == ("late",)

    run(main())


def test_chains_can_be_gathered(run: Run) -> None:
    async def main() -> None:
        one, two = await asyncio.gather(parallel(str)(1).parallel(len)(""), parallel(str)(2))
        assert (one, two) == (("1", 0), ("2",))

    run(main())


@needs_task_groups
def test_a_timeout_block_ends_the_wait_and_not_the_calls(run: Run) -> None:
    async def main() -> None:
        with Gate("late") as gate:
            calls = parallel(gate.call)()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await calls
            gate.go.set()
            async with asyncio.timeout(LIMIT):
                assert await calls == ("late",)

    run(main())


@needs_task_groups
def test_tasks_of_a_group_await_chains_and_a_failed_one_cancels_the_others(run: Run) -> None:
    error = OSError()

    async def main() -> None:
        async def ask(calls: Any) -> Any:
            return await calls

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(ask(parallel(str)(number))) for number in range(10)]
        assert [task.result() for task in tasks] == [(str(number),) for number in range(10)]

        with Gate("late") as gate:
            calls = parallel(gate.call)()
            with pytest.raises(ExceptionGroup) as caught:
                async with asyncio.TaskGroup() as group:
                    waiting = group.create_task(ask(calls))
                    group.create_task(ask(parallel(fail)(error)))
            assert caught.value.exceptions == (error,)
            assert waiting.cancelled()
            gate.go.set()
            assert await calls == ("late",)

    run(main())


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with 3.12")
def test_eager_tasks_can_await_chains() -> None:
    async def ask() -> int:
        async with parallel(opened(1)) as (one,):
            two, _ = await parallel(lambda: one + 1)().parallel(str)(1)
            return two

    async def main() -> None:
        asyncio.get_running_loop().set_task_factory(getattr(asyncio, "eager_task_factory"))  # noqa: B009  # Lints run on 3.11.
        assert list(await asyncio.gather(ask(), ask())) == [2, 2]

    asyncio.run(main(), debug=True)


def test_a_call_that_its_executor_cancelled_fails_and_cancels_no_task(run: Run) -> None:
    async def main() -> None:
        with Gate() as gate, concurrent.futures.ThreadPoolExecutor(1) as pool:
            calls = parallel(gate.call, executor=pool)().parallel(str)(1)
            assert calls.futures[1].cancel()
            gate.go.set()
            with pytest.raises(concurrent.futures.CancelledError):
                await calls
            assert not issubclass(concurrent.futures.CancelledError, asyncio.CancelledError)

    run(main())


def test_a_loop_can_be_closed_while_calls_run(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    with Gate("late") as gate:
        calls = parallel(gate.call)()

        async def main() -> None:
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(calls, 0.01)

        run(main())
        gate.go.set()
        wait_for_idle_threads()
    assert calls.results() == ("late",)
    # Where futures report what a callback raised.
    assert [record.message for record in caplog.records if record.name == "concurrent.futures"] == []


# Context managers


@contextmanager
def opened(value: int) -> Iterator[int]:
    yield value


@pytest.mark.parametrize("parallel_exit", [False, True])
def test_enter_and_exit_of_each_manager_are_on_one_thread_of_its_own(
    run: Run, log: list[str], parallel_exit: bool
) -> None:
    managers = [Manager(name, log) for name in "abc"]

    async def main() -> None:
        chain = parallel(managers[0], parallel_exit=parallel_exit).parallel(managers[1]).parallel(managers[2])
        async with chain as (first, second, third):
            assert (first.upper(), second, third) == ("A", "b", "c")
            assert await parallel(str)(1) == ("1",)
        assert repr(chain) == "<FutureContextCollection: Manager, Manager, Manager>"

    run(main())
    assert all(enter == leave for enter, leave in (manager.threads for manager in managers))
    assert len({threading.get_ident(), *(manager.threads[0] for manager in managers)}) == 4
    assert parallel_exit or log[-3:] == ["exit c", "exit b", "exit a"]


def test_the_loop_goes_on_while_managers_are_entered_and_exited(run: Run, log: list[str]) -> None:
    async def main() -> None:
        may_enter, may_exit = threading.Event(), threading.Event()
        try:
            ticking = asyncio.ensure_future(tick(may_enter.set))
            async with parallel(Manager("a", log, enter=may_enter, exit=may_exit)).parallel(opened(1)):
                await ticking
                ticking = asyncio.ensure_future(tick(may_exit.set))
            await ticking
        finally:
            may_enter.set()
            may_exit.set()

    run(main())
    assert log == ["enter a", "exit a"]


def test_all_enters_run_at_once_and_so_do_all_exits_if_asked(run: Run, log: list[str]) -> None:
    async def main() -> None:
        barrier = threading.Barrier(3)

        def meet() -> None:
            barrier.wait(LIMIT)

        managers = [Manager(name, log, enter=meet, exit=meet) for name in "abc"]
        async with parallel_contexts(managers, parallel_exit=True) as values:
            assert values == ("a", "b", "c")

    run(main())


def test_the_bodys_exception_reaches_the_exits_and_comes_out_unless_suppressed(run: Run, log: list[str]) -> None:
    error = ValueError()
    managers = [Manager("a", log), Manager("b", log, exit=True), Manager("c", log)]

    async def main() -> None:
        with pytest.raises(ValueError, match="^$") as caught:
            async with parallel(managers[0]).parallel(managers[2]):
                raise error
        assert caught.value is error
        async with parallel_contexts(managers):
            raise error

    run(main())
    assert [manager.exits for manager in managers] == [[error, None], [error], [error, error]]


def test_an_exit_that_raises_what_it_was_given_stays_in_its_traceback(run: Run, log: list[str]) -> None:
    class Raising(Manager):
        def __exit__(self, exc_type: object, exc_value: BaseException | None, traceback: object) -> None:
            assert exc_value is not None
            raise exc_value

    async def main() -> None:
        with pytest.raises(ValueError, match="^$") as caught:
            async with parallel(Manager("a", log)).parallel(Raising("b", log)):
                raise ValueError
        # The one in this file, and those of the library.
        files = {line.filename for line in traceback.extract_tb(caught.value.__traceback__) if line.name == "__exit__"}
        assert __file__ in files

    run(main())


def test_a_failed_enter_exits_the_others_and_is_raised(run: Run, log: list[str]) -> None:
    error, second = OSError(), KeyError()
    entered = Manager("b", log)

    async def main() -> None:
        with pytest.raises(OSError, match="^$") as caught:
            async with parallel(Manager("a", log, enter=error)).parallel(entered):
                pytest.fail("the body must not run")
        assert caught.value is error
        with pytest.raises(ExceptionGroup, match="2 of 3 context managers failed to enter") as group:
            managers = [Manager("a", log, enter=error), entered, Manager("c", log, enter=second)]
            await parallel_contexts(managers).__aenter__()
        assert group.value.exceptions == (error, second)
        assert entered.exits == [error, group.value]

    run(main())


def test_the_time_limit_covers_all_enters(run: Run, log: list[str]) -> None:
    go = threading.Event()
    quick, slow = Manager("quick", log), Manager("slow", log, enter=go)

    async def main() -> None:
        with pytest.raises(TimeoutError, match="1 of 2 context managers still entering after 0.5 seconds: Manager"):
            async with parallel(quick, timeout=0.5).parallel(slow):
                pytest.fail("the body must not run")
        assert [type(error) for error in quick.exits] == [TimeoutError]
        assert slow.exits == []

    try:
        run(main())
    finally:
        go.set()
    assert slow.left.wait(LIMIT)
    assert slow.exits == quick.exits


def test_context_variables_flow_as_in_with(run: Run) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")
    seen: list[str] = []

    @contextmanager
    def setting(value: str) -> Iterator[None]:
        token = variable.set(value)
        yield
        seen.append(variable.get())
        variable.reset(token)

    async def main() -> None:
        variable.set("the task's")
        narrow = decimal.localcontext(decimal.Context(prec=5))
        async with parallel(setting("first")).parallel(setting("second")).parallel(narrow):
            assert variable.get() == "second"
            assert await parallel(variable.get)() == ("second",)
            assert decimal.getcontext().prec == 5
            variable.set("the body's")
        assert variable.get() == "the task's"
        assert decimal.getcontext().prec != 5

    run(main())
    assert seen == ["the body's", "first"]


def test_managers_can_be_left_by_another_task_than_entered_them(run: Run, log: list[str]) -> None:
    async def main() -> None:
        chain = parallel(Manager("a", log)).parallel(Manager("b", log))
        assert await asyncio.ensure_future(chain.__aenter__()) == ("a", "b")
        assert not await asyncio.ensure_future(chain.__aexit__(None, None, None))

    run(main())
    assert log[-2:] == ["exit b", "exit a"]


def test_a_chain_can_be_entered_again_after_it_was_left(run: Run, log: list[str]) -> None:
    async def main() -> None:
        chain = parallel(Manager("a", log))
        async with chain:
            pass
        with chain:
            pass
        async with AsyncExitStack() as stack:
            assert await stack.enter_async_context(chain) == ("a",)
        with pytest.raises(OSError, match="^$"):
            async with chain:
                raise OSError
        async with chain:
            pass

    run(main())
    assert log == ["enter a", "exit a"] * 5


def test_entering_twice_at_once_and_chaining_while_entered_are_errors(run: Run, log: list[str]) -> None:
    async def main() -> None:
        chain = parallel(Manager("a", log))
        async with chain:
            for _ in range(2):
                with pytest.raises(RuntimeError, match="entered already"):
                    await chain.__aenter__()
                with pytest.raises(RuntimeError, match="entered already"):
                    chain.__enter__()
            with pytest.raises(RuntimeError, match="while it is entered"):
                chain.parallel(opened(1))
            assert repr(chain) == "<FutureContextCollection: Manager (entered)>"
            assert log == ["enter a"]
        with chain:
            with pytest.raises(RuntimeError, match="entered already"):
                await chain.__aenter__()
        assert log == ["enter a", "exit a"] * 2

    run(main())


def test_of_two_tasks_that_enter_at_once_one_is_refused(run: Run, log: list[str]) -> None:
    async def main() -> None:
        go = threading.Event()
        chain = parallel(Manager("a", log, enter=go))
        tasks = [asyncio.ensure_future(chain.__aenter__()) for _ in range(2)]
        await tick(go.set)
        entered, refused = await asyncio.gather(*tasks, return_exceptions=True)
        assert entered == ("a",)
        assert isinstance(refused, RuntimeError)
        await chain.__aexit__(None, None, None)

    run(main())
    assert log == ["enter a", "exit a"]


def test_leaving_what_is_not_entered_does_nothing(run: Run, log: list[str]) -> None:
    async def main() -> None:
        chain = parallel(Manager("a", log))
        assert not await chain.__aexit__(None, None, None)
        with chain:
            assert not await chain.__aexit__(None, None, None)
            assert log == ["enter a"]
        async with chain:
            assert not chain.__exit__(None, None, None)

    run(main())
    assert log == ["enter a", "exit a"] * 2


def test_a_chain_that_is_dropped_while_entered_exits_nothing_and_ends_its_threads(run: Run, log: list[str]) -> None:
    async def main() -> None:
        managers = [Manager("a", log), Manager("b", log)]
        chain = parallel_contexts(managers)
        await chain.__aenter__()
        kept = [weakref.ref(each) for each in [chain, *managers]]
        del chain, managers
        await until(partial(are_gone, kept))

    run(main())
    assert sorted(log) == ["enter a", "enter b"]


def test_managers_are_exited_when_their_coroutine_is_closed(log: list[str]) -> None:
    class Suspension:
        def __await__(self) -> Generator[None, None, None]:
            yield

    async def main() -> None:
        async with parallel(Manager("a", log)).parallel(Manager("b", log)):
            await Suspension()

    coroutine = main()
    loop = asyncio.new_event_loop()
    try:
        step_until_suspended(loop, coroutine)
    finally:
        loop.close()
    # It is closed where no loop runs, so nothing can wait for the exits; they run all the same.
    with pytest.raises(RuntimeError, match="no running event loop"):
        coroutine.close()
    wait_for_idle_threads()
    assert log[-2:] == ["exit b", "exit a"]


def test_an_entered_chain_keeps_nothing_alive_once_it_is_left(run: Run, log: list[str]) -> None:
    class BodyError(Exception):
        pass

    class ExitError(Exception):
        pass

    async def use(*managers: Any, body: Callable[[], object] = str) -> None:
        async with parallel_contexts(managers):
            body()

    def raise_new(error: type[Exception]) -> None:
        raise error

    async def main() -> None:
        gc.disable()
        try:
            for behaviour in [{}, {"exit": lambda: raise_new(ExitError)}, {"enter": lambda: raise_new(ExitError)}]:
                managers = [Manager("a", []), Manager("b", [], **behaviour)]
                kept: list[weakref.ref[Any]] = [weakref.ref(each) for each in managers]
                try:
                    await use(*managers, body=lambda: raise_new(BodyError))
                except (BodyError, ExitError) as error:
                    kept += [weakref.ref(each) for each in [error, error.__context__] if each is not None]
                for manager in managers:
                    manager.exits.clear()
                del managers, manager
                await until(partial(are_gone, kept))
        finally:
            gc.enable()

    run(main())


# Context managers whose task is cancelled


def test_a_cancelled_body_has_the_managers_exited_before_the_task_ends(run: Run, log: list[str]) -> None:
    managers = [Manager("a", log), Manager("b", log)]

    async def main() -> None:
        async def use() -> None:
            async with parallel_contexts(managers):
                log.append("body")
                await asyncio.sleep(2 * LIMIT)

        using = asyncio.ensure_future(use())
        await until(lambda: "body" in log)
        using.cancel()
        with pytest.raises(asyncio.CancelledError):
            await using
        assert log[-3:] == ["body", "exit b", "exit a"]

    run(main())
    assert [[type(error) for error in manager.exits] for manager in managers] == [[asyncio.CancelledError]] * 2


@needs_task_groups
def test_a_timeout_block_around_the_body_works_as_around_any_other(run: Run, log: list[str]) -> None:
    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(None) as limit, parallel(Manager("a", log)):
                limit.reschedule(asyncio.get_running_loop().time())
                await asyncio.sleep(2 * LIMIT)
        assert log == ["enter a", "exit a"]

    run(main())


def test_cancelled_while_entering_all_are_exited_stragglers_on_their_own_threads(
    run: Run, log: list[str], uncaught: list[Uncaught]
) -> None:
    async def main() -> None:
        go = threading.Event()
        error = OSError("late exit")
        quick, slow = Manager("quick", log), Manager("slow", log, enter=go, exit=error)
        try:
            entering = asyncio.ensure_future(parallel(quick).parallel(slow).__aenter__())
            await until(lambda: log == ["enter quick"] and slow.inside.is_set())
            entering.cancel()
            with pytest.raises(asyncio.CancelledError):
                await entering
            await until(quick.left.is_set)
            assert not slow.left.is_set()
            go.set()
            await until(slow.left.is_set)
            assert slow.threads[0] == slow.threads[1]
            assert [type(each) for each in [*quick.exits, *slow.exits]] == [asyncio.CancelledError] * 2
            await until(lambda: uncaught)
            assert [report.exc_value for report in uncaught] == [error]
        finally:
            go.set()

    run(main())


def test_cancelled_while_exiting_the_task_ends_at_once_and_the_exits_go_on(
    run: Run, log: list[str], uncaught: list[Uncaught]
) -> None:
    async def main() -> None:
        go = threading.Event()
        error = OSError("late exit")
        first, second = Manager("first", log, exit=error), Manager("second", log, exit=go)
        chain = parallel(first).parallel(second)
        try:

            async def use() -> None:
                async with chain:
                    log.append("body")

            using = asyncio.ensure_future(use())
            await until(lambda: "exit second" in log)
            using.cancel()
            with pytest.raises(asyncio.CancelledError):
                await using
            assert not first.left.is_set()
            go.set()
            await until(lambda: uncaught)
        finally:
            go.set()
        assert log[-3:] == ["body", "exit second", "exit first"]
        assert [report.exc_value for report in uncaught] == [error]

    run(main())


@pytest.mark.parametrize("when", ["enter", "exit"])
@pytest.mark.parametrize("woken", [False, True])
def test_an_error_that_comes_with_the_cancellation_is_in_its_chain_of_contexts(
    run: Run, log: list[str], uncaught: list[Uncaught], when: str, woken: bool
) -> None:
    error = OSError()
    go = threading.Event()

    def fail_when_told() -> None:
        assert go.wait(LIMIT)
        raise error

    async def main() -> None:
        manager = Manager("a", log, **{when: fail_when_told})
        contexts: list[BaseException | None] = []

        async def use() -> None:
            try:
                async with parallel(manager):
                    pass
            except asyncio.CancelledError as cancelled:
                # Before 3.11 the task would raise another one.
                contexts.append(cancelled.__context__)
                raise

        using = asyncio.ensure_future(use())
        await until(lambda: manager.inside.is_set() if when == "enter" else log[-1:] == ["exit a"])
        # The loop does nothing until the threads are through; then it learns of the outcome and of the cancellation.
        go.set()
        wait_for_idle_threads()
        if woken:
            asyncio.get_running_loop().call_soon(using.cancel)
        else:
            using.cancel()
        with pytest.raises(asyncio.CancelledError):
            await using
        assert contexts == [error]

    try:
        run(main())
    finally:
        go.set()
    assert uncaught == []


def test_whenever_a_task_is_cancelled_what_was_entered_is_exited_once(log: list[str], uncaught: list[Uncaught]) -> None:
    async def main() -> None:
        for rounds in range(60):
            del log[:]
            task = asyncio.ensure_future(parallel(Manager("a", log)).parallel(Manager("b", log)).__aenter__())
            for _ in range(rounds % 6):
                await asyncio.sleep(0)
            if task.cancel():
                with pytest.raises(asyncio.CancelledError):
                    await task
                await until(lambda: len(log) % 2 == 0)
                wait_for_idle_threads()
                entered = [line[len("enter ") :] for line in log if line.startswith("enter")]
                assert sorted(line[len("exit ") :] for line in log if line.startswith("exit")) == sorted(entered)

    asyncio.run(main())
    assert uncaught == []


# No difference to `with`


def step_until_suspended(loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, None]) -> bool:
    """Runs a coroutine in the caller's own context, until it ends or waits for something else than a future."""
    outer_loop = asyncio._get_running_loop()  # noqa: SLF001  # As documented for event loops.
    try:
        while True:
            asyncio._set_running_loop(loop)  # noqa: SLF001  # As documented for event loops.
            awaited: Any = coroutine.send(None)
            if awaited is None:
                return True
            asyncio._set_running_loop(None)  # noqa: SLF001  # As documented for event loops.
            awaited._asyncio_future_blocking = False  # noqa: SLF001  # As a task does.
            loop.run_until_complete(awaited)
    except StopIteration:
        return False
    finally:
        asyncio._set_running_loop(outer_loop)  # noqa: SLF001  # As documented for event loops.


def under_async_with(managers: Sequence[Any], body: Callable[[tuple[Any, ...]], None]) -> None:
    async def under_parallel() -> None:
        async with parallel_contexts(managers) as values:
            body(values)

    loop = asyncio.new_event_loop()
    try:
        step_until_suspended(loop, under_parallel())
    finally:
        loop.close()


@pytest.mark.skipif(sys.version_info < (3, 11), reason="before 3.11 a cycle of contexts can hang the interpreter")
@pytest.mark.skipif(PYPY, reason="PyPy adds frames to tracebacks later than CPython does")
def test_random_programs_see_no_difference_to_with(monkeypatch: pytest.MonkeyPatch) -> None:
    # The comparison leaves out the frames of its own functions of that name. A loop has some, too.
    own = {"co_filename": random_programs.__file__, "co_name": random_programs.under_with.__name__}
    for function in [step_until_suspended, under_async_with]:
        monkeypatch.setattr(function, "__code__", function.__code__.replace(**own))  # type: ignore[arg-type]  # These two.

    @settings(max_examples=50)
    @given(random_programs.programs())
    def assert_no_difference(program: Any) -> None:
        # What no coroutine can raise: it would come out as a RuntimeError.
        assume("'raises_stop_iteration'" not in repr(program))
        with_tracebacks = random_programs.has_tracebacks_to_compare(program)
        expected = random_programs.run(program, random_programs.under_with, with_tracebacks=with_tracebacks)
        seen = random_programs.run(program, under_async_with, with_tracebacks=with_tracebacks)
        assert seen.enters == expected.enters
        assert seen.events == expected.events

    assert_no_difference()
