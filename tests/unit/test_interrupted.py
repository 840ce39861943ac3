"""Signal handlers that raise at a line of the library that a test has chosen: nothing is lost, and all works again."""

from __future__ import annotations

import asyncio
import threading
from typing import Any, Callable

import pytest

from children import run
from helpers import (
    LIMIT,
    InterruptError,
    Manager,
    Run,
    Uncaught,
    busy_threads,
    count_idle_threads,
    fail,
    until,
    wait_for_idle_threads,
    wait_until,
)
from parallel import (
    FutureContextCollection,
    ParallelExecutor,
    _context_block,
    _pinned_thread,
    _process,
    _sync,
    _thread,
    _threads,
    parallel,
    parallel_map,
)

RAISED_BY_HANDLERS = (KeyboardInterrupt, RuntimeError, RecursionError, MemoryError, OSError)


# Starts


@pytest.mark.parametrize("begun", [False, True])
@pytest.mark.parametrize("kind", RAISED_BY_HANDLERS)
def test_an_interrupt_while_a_thread_is_started_costs_no_thread(
    own_threads: None, monkeypatch: pytest.MonkeyPatch, kind: type[BaseException], begun: bool
) -> None:
    # Nearly all the time that a start takes is spent in Thread.start(), waiting for the thread to begin.
    start, run = threading.Thread.start, _thread.ReusableThread.run
    begin, ran_call = threading.Event(), threading.Event()

    def run_later(thread: _thread.ReusableThread) -> None:
        assert begin.wait(LIMIT)
        run(thread)

    def start_and_raise(thread: threading.Thread) -> None:
        if begun:
            begin.set()
        start(thread)
        assert not begun or ran_call.wait(LIMIT)
        raise kind

    monkeypatch.setattr(_thread.ReusableThread, "run", run_later)
    ran: list[int] = []
    before = set(threading.enumerate())

    def note(number: int) -> None:
        ran.append(number)
        ran_call.set()

    def new_threads() -> int:
        return len(set(threading.enumerate()) - before)

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start_and_raise)
        with pytest.raises(kind):
            ParallelExecutor.execute_one(note, 1)
    begin.set()
    # The thread is free, or it has ended; the accounting says which.
    wait_until(lambda: new_threads() == count_idle_threads())
    assert ParallelExecutor.execute_one(note, 2).result(LIMIT) is None
    wait_for_idle_threads()
    # A call that has begun continues, as it does when a signal comes while its result is waited for.
    assert ran == ([1, 2] if begun else [2])
    wait_until(lambda: new_threads() == count_idle_threads())


@pytest.mark.parametrize("is_late", [False, True])
def test_an_interrupt_while_many_are_put_costs_no_thread(own_threads: None, is_late: bool) -> None:
    threads = _process.pool._threads
    barrier = threading.Barrier(20)
    parallel_map(lambda _: barrier.wait(LIMIT), range(20)).results()
    wait_until(lambda: len(threads._tokens) == 20)
    queue: Any = threads._queue

    class QueueThatInterrupts:
        def __getattr__(self, name: str) -> Any:
            return getattr(queue, name)

        def put(self, items: Any, tokens: Any) -> None:
            if is_late:
                queue.put(items, tokens)
            raise KeyboardInterrupt

    threads._queue = QueueThatInterrupts()  # type: ignore[assignment]  # What a test can script.
    ran: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        parallel_map(ran.append, range(10))
    threads._queue = queue
    wait_for_idle_threads()
    # Those that had begun ran; the others never do.
    assert len(set(ran)) == len(ran)
    assert is_late or not ran
    wait_until(lambda: len(threads._tokens) == 20)


def test_a_call_whose_submit_is_interrupted_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    executor = ParallelExecutor()
    with monkeypatch.context() as patch:
        patch.setattr("parallel._work_queue.WorkQueue.put", lambda *_: fail(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            executor.submit(int)
    assert repr(executor) == "<ParallelExecutor: no calls running>"
    executor.shutdown()


def test_the_exit_waits_for_what_a_signal_handler_that_raised_had_already_started() -> None:
    code = """
    from parallel import _process
    class InterruptedQueue:
        def __init__(self, queue): self.queue = queue
        def __getattr__(self, name): return getattr(self.queue, name)
        def put(self, *arguments):
            self.queue.put(*arguments)
            assert begun.wait(20)
            raise KeyboardInterrupt  # As a signal handler does when put() returns.
    begun = threading.Event()
    class Slow(Manager):
        def __enter__(self):
            begun.set()
            time.sleep(0.3)
            return super().__enter__()
    threads = _process.pool._threads
    threads._queue = InterruptedQueue(threads._queue)
    try:
        with parallel(Slow("slow")): pass
    except KeyboardInterrupt:
        say("interrupted")
    """
    assert run(code) == ["interrupted", "left slow KeyboardInterrupt"]


# Context managers


@pytest.mark.parametrize("claims", [1, 2])
def test_a_collection_can_be_entered_again_after_a_signal_handler_raised(
    monkeypatch: pytest.MonkeyPatch, claims: int
) -> None:
    # The first claim that is a block's is that of entering, the second that of exiting.
    claim = _sync.Once.claim
    countdown = iter(range(claims - 1, -1, -1))

    def claim_and_raise(self: Any, claimant: Any) -> bool:
        answer = claim(self, claimant)
        if isinstance(claimant, (_context_block.Block, list)) and next(countdown, None) == 0:
            raise InterruptError
        return answer

    log: list[str] = []
    chain = parallel(Manager("a", log)).parallel(Manager("b", log))
    with monkeypatch.context() as patch:
        patch.setattr(_sync.Once, "claim", claim_and_raise)
        with pytest.raises(InterruptError), chain:
            log.append("body")
    wait_for_idle_threads()
    assert sorted(log) == (["body", "enter a", "enter b", "exit a", "exit b"] if claims == 2 else [])
    log.clear()
    with chain:
        pass
    assert sorted(log) == ["enter a", "enter b", "exit a", "exit b"]


def raising_once(func: Callable[..., Any], *, before: bool = False) -> Callable[..., Any]:
    """Has ``func`` raise, once, on the main thread, before or after it has done its work."""
    armed = [True]

    def broken_off(*args: Any) -> Any:
        due = armed and threading.current_thread() is threading.main_thread()
        if due and before:
            armed.clear()
            raise InterruptError
        answer = func(*args)
        if due:
            armed.clear()
            raise InterruptError
        return answer

    return broken_off


@pytest.mark.parametrize("when", ["beginning", "ending"])
def test_a_signal_handler_that_raises_as_an_async_with_begins_or_ends_loses_no_exit(
    run: Run, log: list[str], monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    chain = parallel(Manager("a", log)).parallel(Manager("b", log))

    async def main() -> None:
        async with chain:
            log.append("body")
            if when == "ending":
                # The order is noted, but not yet given.
                send = _pinned_thread.PinnedThread.send
                monkeypatch.setattr(_pinned_thread.PinnedThread, "send", raising_once(send, before=True))

    if when == "beginning":
        monkeypatch.setattr(_threads.Threads, "start_all", raising_once(_threads.Threads.start_all))
    with pytest.raises(InterruptError):
        run(main())
    wait_for_idle_threads()
    entered_and_exited = ["enter a", "enter b", "exit a", "exit b"]
    if when == "ending":
        assert sorted(log) == ["body", *entered_and_exited]
    else:
        # The thread is withdrawn, unless it has begun.
        assert sorted(log) in ([], entered_and_exited)
    log.clear()
    monkeypatch.undo()
    with chain:
        pass
    assert sorted(log) == ["enter a", "enter b", "exit a", "exit b"]


def test_a_cancellation_while_entering_is_no_news_to_the_chains_thread(
    run: Run, log: list[str], uncaught: list[Uncaught], monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt = FutureContextCollection._interrupt

    def interrupt_and_wait(chain: FutureContextCollection[Any], error: BaseException) -> None:
        interrupt(chain, error)
        wait_until(lambda: all(thread.name != type(chain).__name__ for thread in busy_threads()))

    monkeypatch.setattr(FutureContextCollection, "_interrupt", interrupt_and_wait)

    async def main() -> None:
        go = threading.Event()
        manager = Manager("a", log, enter=go)
        try:
            entering = asyncio.ensure_future(parallel(manager).__aenter__())
            await until(manager.inside.is_set)
            entering.cancel()
            with pytest.raises(asyncio.CancelledError):
                await entering
        finally:
            go.set()
        await until(manager.left.is_set)

    run(main())
    assert uncaught == []
