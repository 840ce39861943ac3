"""Real work: how long does it take, and how many lines of code, with each library?

Each way is written as a user of that library would write it. It begins without threads: it makes its pool or its event
loop itself, and ``parallel`` finds no idle thread. Every answer is checked.
"""

from __future__ import annotations

import ast
import inspect
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, ExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import dedent
from time import perf_counter
from typing import Any, Callable, Iterator, NamedTuple, Sequence

from measuring import OURS, Report, cores, has_gil, installed, main, taking_turns
from real_inputs import Database, Service, count_primes, digest, fetch, http_server, write_files

from parallel import ParallelExecutor, parallel_contexts, parallel_map

LIMIT = 32
"""How many lookups run at a time."""

CORES = cores()
"""How many files are hashed at a time. The defaults of ``parallel`` and anyio suit calls that wait, but not these."""

REQUESTS = {"full": 200, "quick": 200, "tiny": 5}
FILES_AND_BYTES = {"full": (64, 1_000_000), "quick": (64, 1_000_000), "tiny": (3, 1_000)}
LOOKUPS = {"full": 10_000, "quick": 10_000, "tiny": 50}
PRIMES_UP_TO = {"full": 12_000, "quick": 12_000, "tiny": 100}
PARTS = 8
SERVICES = ("mail", "search", "store")

ROUNDS = {"requests": 15, "files": 25, "services": 11, "lookups": 7, "primes": 9}
DIVISOR = {"full": 1, "quick": 4, "tiny": 100}
"""By which the number of rounds is divided. The work without threads takes longest, and has a third of the rounds."""

anyio = installed("anyio")
asyncio = installed("asyncio")
joblib = installed("joblib")


class Parallel:
    """The library."""

    name = OURS

    @staticmethod
    def requests(urls: list[str]) -> Sequence[bytes]:
        return parallel_map(fetch, urls).results()

    @staticmethod
    def files(paths: list[Path]) -> Sequence[str]:
        return parallel_map(digest, paths, executor=ParallelExecutor(max_workers=CORES)).results()

    @staticmethod
    def services(services: list[Service]) -> Sequence[bytes]:
        with parallel_contexts(services) as running:
            return [service.ask() for service in running]

    @staticmethod
    def lookups(database: Database, numbers: range) -> Sequence[str]:
        return list(ParallelExecutor(max_workers=LIMIT).map(database.find, numbers))

    @staticmethod
    def primes(parts: list[range]) -> Sequence[int]:
        return parallel_map(count_primes, parts).results()


class Pool:
    """The standard pool of threads."""

    name = "ThreadPoolExecutor"

    @staticmethod
    def requests(urls: list[str]) -> Sequence[bytes]:
        with ThreadPoolExecutor(len(urls)) as pool:
            return list(pool.map(fetch, urls))

    @staticmethod
    def files(paths: list[Path]) -> Sequence[str]:
        with ThreadPoolExecutor() as pool:
            return list(pool.map(digest, paths))

    @staticmethod
    def services(services: list[Service]) -> Sequence[bytes]:
        with ExitStack() as stack:
            with ThreadPoolExecutor() as pool:
                running = list(pool.map(stack.enter_context, services))
            return [service.ask() for service in running]

    @staticmethod
    def lookups(database: Database, numbers: range) -> Sequence[str]:
        with ThreadPoolExecutor(LIMIT) as pool:
            return list(pool.map(database.find, numbers))

    @staticmethod
    def primes(parts: list[range]) -> Sequence[int]:
        with ThreadPoolExecutor() as pool:
            return list(pool.map(count_primes, parts))


class AsyncioToThread:
    """asyncio, with the standard pool that its event loop has or is given."""

    name = "asyncio.to_thread"

    @staticmethod
    async def requests(urls: list[str]) -> Any:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(len(urls)))
        return await asyncio.gather(*(asyncio.to_thread(fetch, url) for url in urls))

    @staticmethod
    async def files(paths: list[Path]) -> Any:
        return await asyncio.gather(*(asyncio.to_thread(digest, path) for path in paths))

    @staticmethod
    async def services(services: list[Service]) -> Any:
        async with AsyncExitStack() as stack:

            async def start(service: Service) -> None:
                await asyncio.to_thread(service.__enter__)
                stack.push_async_callback(asyncio.to_thread, service.__exit__, None, None, None)

            starts = [asyncio.create_task(start(service)) for service in services]
            await asyncio.wait(starts)
            for each in starts:
                each.result()
            return [await asyncio.to_thread(service.ask) for service in services]

    @staticmethod
    async def lookups(database: Database, numbers: range) -> Any:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(LIMIT))
        return await asyncio.gather(*(asyncio.to_thread(database.find, number) for number in numbers))

    @staticmethod
    async def primes(parts: list[range]) -> Any:
        return await asyncio.gather(*(asyncio.to_thread(count_primes, part) for part in parts))


class AnyioToThread:
    """anyio, with as many of its threads as its limiter allows."""

    name = "anyio.to_thread"

    @staticmethod
    async def requests(urls: list[str]) -> Any:
        limiter = anyio.CapacityLimiter(len(urls))
        return await anyio.amap(partial(anyio.to_thread.run_sync, fetch, limiter=limiter), urls)

    @staticmethod
    async def files(paths: list[Path]) -> Any:
        limiter = anyio.CapacityLimiter(CORES)
        return await anyio.amap(partial(anyio.to_thread.run_sync, digest, limiter=limiter), paths)

    @staticmethod
    async def services(services: list[Service]) -> Any:
        async with AsyncExitStack() as stack:

            async def start(service: Service) -> None:
                await anyio.to_thread.run_sync(service.__enter__)
                stack.push_async_callback(anyio.to_thread.run_sync, service.__exit__, None, None, None)

            await anyio.amap(start, services)
            return [await anyio.to_thread.run_sync(service.ask) for service in services]

    @staticmethod
    async def lookups(database: Database, numbers: range) -> Any:
        limiter = anyio.CapacityLimiter(LIMIT)
        return await anyio.amap(partial(anyio.to_thread.run_sync, database.find, limiter=limiter), numbers)

    @staticmethod
    async def primes(parts: list[range]) -> Any:
        return await anyio.amap(partial(anyio.to_thread.run_sync, count_primes), parts)


class Joblib:
    """joblib, with as many threads as cores, or as many as it is told."""

    name = "joblib, threading backend"

    @staticmethod
    def requests(urls: list[str]) -> Any:
        return joblib.Parallel(n_jobs=len(urls), backend="threading")(joblib.delayed(fetch)(url) for url in urls)

    @staticmethod
    def files(paths: list[Path]) -> Any:
        return joblib.Parallel(n_jobs=-1, backend="threading")(joblib.delayed(digest)(path) for path in paths)

    @staticmethod
    def services(services: list[Service]) -> Any:
        with ExitStack() as stack:
            start = joblib.delayed(stack.enter_context)
            joblib.Parallel(n_jobs=len(services), backend="threading")(start(service) for service in services)
            return [service.ask() for service in services]

    @staticmethod
    def lookups(database: Database, numbers: range) -> Any:
        find = joblib.delayed(database.find)
        return joblib.Parallel(n_jobs=LIMIT, backend="threading")(find(number) for number in numbers)

    @staticmethod
    def primes(parts: list[range]) -> Any:
        return joblib.Parallel(n_jobs=-1, backend="threading")(joblib.delayed(count_primes)(part) for part in parts)


class InTurn:
    """No threads at all."""

    name = "one after the other"

    @staticmethod
    def requests(urls: list[str]) -> Sequence[bytes]:
        return [fetch(url) for url in urls]

    @staticmethod
    def files(paths: list[Path]) -> Sequence[str]:
        return [digest(path) for path in paths]

    @staticmethod
    def services(services: list[Service]) -> Sequence[bytes]:
        with ExitStack() as stack:
            running = [stack.enter_context(service) for service in services]
            return [service.ask() for service in running]

    @staticmethod
    def lookups(database: Database, numbers: range) -> Sequence[str]:
        return [database.find(number) for number in numbers]

    @staticmethod
    def primes(parts: list[range]) -> Sequence[int]:
        return [count_primes(part) for part in parts]


class Work(NamedTuple):
    """A piece of work, and its result."""

    name: str
    function: str
    """Of each way, the function that does it."""
    inputs: tuple[Any, ...]
    answers: list[Any]
    clean_up: Callable[[], None] = lambda: None
    """Ends what a turn leaves."""


def all_work(size: str, stack: ExitStack) -> Iterator[Work]:
    """Prepares one work after the other; the stack ends what they need."""
    folder = Path(stack.enter_context(TemporaryDirectory()))

    requests = range(REQUESTS[size])
    url = stack.enter_context(http_server())
    pages = [f"/{number}".encode() for number in requests]
    yield Work(f"{len(requests)} HTTP requests", "requests", ([f"{url}/{number}" for number in requests],), pages)

    paths = write_files(folder, *FILES_AND_BYTES[size])
    yield Work(f"hashes of {len(paths)} files", "files", (paths,), [digest(path) for path in paths])

    services = [Service(name) for name in SERVICES]
    answers = [name.upper().encode() for name in SERVICES]
    yield Work(f"{len(SERVICES)} services, started and stopped", "services", (services,), answers)

    numbers = range(LOOKUPS[size])
    names = [f"name {number}" for number in numbers]
    database = Database(folder / "names.db", names)
    stack.callback(database.close)
    yield Work(
        f"{len(numbers):,} lookups, {LIMIT} at a time", "lookups", (database, numbers), names, clean_up=database.close
    )

    length = PRIMES_UP_TO[size] // PARTS
    parts = [range(part * length, (part + 1) * length) for part in range(PARTS)]
    yield Work(f"primes, counted in {PARTS} parts", "primes", (parts,), [count_primes(part) for part in parts])


def measure(size: str) -> Report:
    """Has each work done by all ways, which take turns."""
    report = Report("real_work", "how long does real work take, and how many lines of code, with each library?")
    ways = all_ways(report.left_out)
    with ExitStack() as stack:
        for work in all_work(size, stack):
            if work.function == "primes" and (has_gil() or CORES == 1):
                report.left_out[work.name] = "only where threads compute in parallel: a free-threaded build, two cores"
                continue
            functions = {way.name: getattr(way, work.function) for way in ways}
            blocks = {name: partial(time_work, blocking(name, each), work) for name, each in functions.items()}
            rounds = ROUNDS[work.function] // DIVISOR[size]
            in_turn = {name: blocks[name] for name in (OURS, InTurn.name)}
            del blocks[InTurn.name]
            pairs = {**taking_turns(blocks, max(1, rounds)), **taking_turns(in_turn, max(1, rounds // 3))}
            report.add_figures(work.name, pairs, "ms", scale=1e3)
            report.add_ratios(work.name, pairs, {})
            report.notes[f"{work.name}, lines of code"] = report.data[work.name] = {
                name: lines_of_code(each) for name, each in functions.items()
            }
    return report


def all_ways(left_out: dict[str, str]) -> list[Any]:
    """Gives all ways that there are here; notes the others in ``left_out``, with the reason."""
    missing: dict[Any, str] = {
        AsyncioToThread: "" if hasattr(asyncio, "to_thread") else "not in this Python",
        AnyioToThread: "" if hasattr(anyio, "amap") else "not installed, or older than its amap()",
        Joblib: "" if joblib is not None else "not installed",
    }
    left_out.update({way.name: reason for way, reason in missing.items() if reason})
    return [way for way in (Parallel, Pool, AsyncioToThread, AnyioToThread, Joblib, InTurn) if not missing.get(way)]


def blocking(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Makes an ordinary function of one that needs an event loop, which runs for this one call."""
    if name == AsyncioToThread.name:
        return lambda *inputs: asyncio.run(function(*inputs))
    if name == AnyioToThread.name:
        return lambda *inputs: anyio.run(function, *inputs)
    return function


def time_work(function: Callable[..., Any], work: Work) -> float:
    """How many seconds some work takes; raises an error if its answers are wrong."""
    # Ends the idle threads of the turn before: no other way has any at its beginning.
    ParallelExecutor().shutdown()
    began = perf_counter()
    answers = function(*work.inputs)
    seconds = perf_counter() - began
    if list(answers) != work.answers:
        raise ValueError(f"wrong answers: {work.name}, {function}")
    work.clean_up()
    return seconds


def lines_of_code(function: Callable[..., Any]) -> int:
    """Counts the lines inside a function, blank ones not."""
    lines = dedent(inspect.getsource(function)).splitlines()
    (tree,) = ast.parse("\n".join(lines)).body
    first = next(node.lineno for node in ast.walk(tree) if isinstance(node, ast.stmt) and node is not tree)
    return sum(bool(line.strip()) for line in lines[first - 1 :])


if __name__ == "__main__":
    main(measure)
