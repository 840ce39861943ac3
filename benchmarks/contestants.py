"""Contestants: ways to have functions called in parallel, all given the same work.

Each says how long some work took, having done it once before: threads, pools and event loops are warm.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from queue import SimpleQueue
from time import perf_counter
from typing import Any, Awaitable, Callable, Iterable, Iterator, TypeVar

from measuring import OURS, installed, taking_turns, times_within

import parallel as parallel_package
from parallel import ParallelExecutor, parallel

T = TypeVar("T")

UNBOUNDED_POOL = "ThreadPoolExecutor, unbounded, warm"
DEFAULT_POOL = "ThreadPoolExecutor, default size"
THREAD_PER_CALL = "threading.Thread with a Future"
FLOOR = "bare SimpleQueue hand-off"

UNBOUNDED = 1_000_000
"""A limit to threads that is never reached."""

SECONDS_IN_A_TURN = 0.025
"""What a turn takes at most, but for work that takes longer when it is done once."""


def call() -> int:
    """A call that is over as soon as it has begun: what is measured is what goes on around it."""
    return 1


class Contestant(ABC):
    """A way to have functions called in parallel."""

    name: str

    def time_round_trips(self, times: int) -> float:
        """How many seconds ``times`` calls take, one after the other, waiting for the result of each."""
        return self.time_at_once(1, times)

    def time_chains(self, times: int) -> float:
        """How many seconds it takes to make three calls at once and wait for their results, ``times`` times."""
        return self.time_at_once(3, times)

    @abstractmethod
    def time_at_once(self, calls: int, times: int) -> float:
        """How many seconds it takes to make ``calls`` calls at once and wait for their results, ``times`` times."""

    def close(self) -> None:  # noqa: B027  # Most have nothing to end.
        """Ends what the contestant has started."""


Start = Callable[[Callable[[], int]], "Future[int]"]


class _Futures(Contestant):
    """A contestant that gives a ``Future`` for each call."""

    def __init__(self, start: Start) -> None:
        self._start = start

    def time_round_trips(self, times: int) -> float:
        start = self._start
        start(call).result()
        began = perf_counter()
        for _ in range(times):
            start(call).result()
        return perf_counter() - began

    def time_chains(self, times: int) -> float:
        self._chain()
        began = perf_counter()
        for _ in range(times):
            self._chain()
        return perf_counter() - began

    def _chain(self) -> tuple[int, int, int]:
        start = self._start
        one, two, three = start(call), start(call), start(call)
        return one.result(), two.result(), three.result()

    def time_at_once(self, calls: int, times: int) -> float:
        start, numbers = self._start, range(calls)
        began = 0.0
        for time in range(-1, times):
            if time == 0:
                began = perf_counter()
            futures = [start(call) for _ in numbers]
            for future in futures:
                future.result()
        return perf_counter() - began


class Parallel(_Futures):
    """The library."""

    name = OURS

    def __init__(self) -> None:
        super().__init__(ParallelExecutor.execute_one)

    def _chain(self) -> tuple[int, int, int]:
        return parallel(call)().parallel(call)().parallel(call)().results()


class ParallelMap(Contestant):
    """The library, told of all calls at once."""

    name = "parallel_map"

    def __init__(self) -> None:
        # As long as this checkout may be older than the function.
        self._parallel_map: Any = parallel_package.__dict__["parallel_map"]

    def time_at_once(self, calls: int, times: int) -> float:
        parallel_map, numbers = self._parallel_map, range(calls)
        began = 0.0
        for time in range(-1, times):
            if time == 0:
                began = perf_counter()
            parallel_map(abs, numbers).results()
        return perf_counter() - began


class Pool(_Futures):
    """The standard pool of threads."""

    def __init__(self, name: str, max_workers: int | None) -> None:
        self.name = name
        self._pool = ThreadPoolExecutor(max_workers)
        super().__init__(self._pool.submit)

    def close(self) -> None:
        self._pool.shutdown()


class ThreadPerCall(_Futures):
    """A new thread for each call, with a future for its outcome."""

    name = THREAD_PER_CALL

    def __init__(self) -> None:
        super().__init__(start_thread)


def start_thread(func: Callable[[], T]) -> Future[T]:
    """Calls ``func`` on a new thread."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            result = func()
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(result)

    threading.Thread(target=run).start()
    return future


class Handoff(Contestant):
    """One thread, a queue there and a queue back: no future, no context variables, no errors, no name."""

    name = FLOOR

    def __init__(self) -> None:
        self._calls: SimpleQueue[Callable[[], int] | None] = SimpleQueue()
        self._results: SimpleQueue[int] = SimpleQueue()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while True:
            func = self._calls.get()
            if func is None:
                return
            self._results.put(func())

    def time_round_trips(self, times: int) -> float:
        put, get = self._calls.put, self._results.get
        put(call)
        get()
        began = perf_counter()
        for _ in range(times):
            put(call)
            get()
        return perf_counter() - began

    def time_at_once(self, calls: int, times: int) -> float:
        put, get, numbers = self._calls.put, self._results.get, range(calls)
        began = 0.0
        for time in range(-1, times):
            if time == 0:
                began = perf_counter()
            for _ in numbers:
                put(call)
            for _ in numbers:
                get()
        return perf_counter() - began

    def close(self) -> None:
        self._calls.put(None)
        self._thread.join()


class _EventLoop(Contestant):
    """A contestant that works from within an event loop, which is running before the time is taken."""

    def time_round_trips(self, times: int) -> float:
        async def work() -> None:
            await self._call()

        return self._run(self._time(work, times))

    def time_at_once(self, calls: int, times: int) -> float:
        async def work() -> None:
            await self._call_at_once(calls)

        return self._run(self._time(work, times))

    async def _time(self, work: Callable[[], Awaitable[None]], times: int) -> float:
        await work()
        began = perf_counter()
        for _ in range(times):
            await work()
        return perf_counter() - began

    @abstractmethod
    def _run(self, coroutine: Any) -> float: ...

    @abstractmethod
    async def _call(self) -> int: ...

    @abstractmethod
    async def _call_at_once(self, calls: int) -> list[int]: ...


class AsyncioToThread(_EventLoop):
    """``asyncio.to_thread``, on the loop's default pool."""

    name = "asyncio.to_thread, gather"

    def __init__(self) -> None:
        self._asyncio = installed("asyncio")

    def _run(self, coroutine: Any) -> float:
        seconds: float = self._asyncio.run(coroutine)
        return seconds

    async def _call(self) -> int:
        result: int = await self._asyncio.to_thread(call)
        return result

    async def _call_at_once(self, calls: int) -> list[int]:
        to_thread = self._asyncio.to_thread
        return list(await self._asyncio.gather(*[to_thread(call) for _ in range(calls)]))


class AnyioToThread(_EventLoop):
    """anyio's threads, at most 40 of them, from a task group."""

    name = "anyio.to_thread, task group"

    def __init__(self) -> None:
        self._anyio = installed("anyio")
        self._run_sync = installed("anyio.to_thread").run_sync

    def _run(self, coroutine: Any) -> float:
        async def run() -> float:
            seconds: float = await coroutine
            return seconds

        outcome: float = self._anyio.run(run)
        return outcome

    async def _call(self) -> int:
        result: int = await self._run_sync(call)
        return result

    async def _call_at_once(self, calls: int) -> list[int]:
        results = [0] * calls

        async def keep(index: int) -> None:
            results[index] = await self._run_sync(call)

        async with self._anyio.create_task_group() as tasks:
            for index in range(calls):
                tasks.start_soon(keep, index)
        return results


class TrioToThread(_EventLoop):
    """trio's threads, at most 40 of them, from a nursery."""

    name = "trio.to_thread, nursery"

    def __init__(self) -> None:
        self._trio = installed("trio")
        self._run_sync = self._trio.to_thread.run_sync

    def _run(self, coroutine: Any) -> float:
        async def run() -> float:
            seconds: float = await coroutine
            return seconds

        outcome: float = self._trio.run(run)
        return outcome

    async def _call(self) -> int:
        result: int = await self._run_sync(call)
        return result

    async def _call_at_once(self, calls: int) -> list[int]:
        results = [0] * calls

        async def keep(index: int) -> None:
            results[index] = await self._run_sync(call)

        async with self._trio.open_nursery() as nursery:
            for index in range(calls):
                nursery.start_soon(keep, index)
        return results


class Joblib(Contestant):
    """joblib's threads, as many as the standard pool has by default; it batches short calls."""

    name = "joblib, threading backend"

    def __init__(self) -> None:
        joblib = installed("joblib")
        self._delayed = joblib.delayed
        self._parallel = joblib.Parallel(n_jobs=ThreadPoolExecutor()._max_workers, backend="threading")  # noqa: SLF001  # It says so nowhere else.
        self._parallel.__enter__()

    def time_at_once(self, calls: int, times: int) -> float:
        run, prepared, numbers = self._parallel, self._delayed(call), range(calls)
        began = 0.0
        for time in range(-1, times):
            if time == 0:
                began = perf_counter()
            run(prepared() for _ in numbers)
        return perf_counter() - began

    def close(self) -> None:
        self._parallel.__exit__(None, None, None)


@contextmanager
def contestants(left_out: dict[str, str], *, floor: bool = True) -> Iterator[list[Contestant]]:
    """Gives all that are installed; notes the others, with the reason why they are left out, in ``left_out``.

    Without the ``floor`` where many calls are made at once: it has one thread.
    """
    found: list[Contestant] = [
        Parallel(),
        Pool(UNBOUNDED_POOL, UNBOUNDED),
        Pool(DEFAULT_POOL, None),
        ThreadPerCall(),
    ]
    if floor:
        found.append(Handoff())
    if hasattr(installed("asyncio"), "to_thread"):
        found.append(AsyncioToThread())
    else:
        left_out[AsyncioToThread.name] = "not in this Python"
    optional: dict[str, Callable[[], Contestant]] = {"anyio": AnyioToThread, "trio": TrioToThread, "joblib": Joblib}
    for module, make in optional.items():
        if installed(module) is not None:
            found.append(make())
        else:
            left_out[module] = "not installed"
    try:
        yield found
    finally:
        for each in found:
            each.close()


def time_in_turns(
    found: Iterable[Contestant], time: Callable[[Contestant, int], float], times: int, rounds: int
) -> dict[str, list[tuple[float, float]]]:
    """Has contestants take turns at some work, done at most ``times`` times in each; gives the seconds for one time."""

    def block(contestant: Contestant) -> Callable[[], float]:
        repetitions = times_within(SECONDS_IN_A_TURN, partial(time, contestant), times)
        return lambda: time(contestant, repetitions) / repetitions

    return taking_turns({each.name: block(each) for each in found}, rounds)
