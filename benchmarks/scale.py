"""Scale: a million short calls, a thousand managers entered together, chains of 500 links: time, memory and threads."""

from __future__ import annotations

import gc
import json
import sys
import threading
from time import perf_counter, sleep
from typing import Any, Callable

from measuring import OURS, Figure, Report, Spread, in_fresh_process, main, resident_memory
from with_block import Manager

from parallel import ParallelExecutor, parallel

SHORT_CALLS = {"full": 1_000_000, "quick": 50_000, "tiny": 100}
AT_ONCE = 1_000
MANAGERS = {"full": 1_000, "quick": 1_000, "tiny": 10}
LINKS = {"full": 500, "quick": 500, "tiny": 10}
SECONDS_TO_END = {"full": 20.0, "quick": 0.0, "tiny": 0.0}

TIMES = 3
"""What is still held after the last time, but was not after the time before, would have leaked."""


def call() -> int:
    """A short call."""
    return 1


def make_short_calls(calls: int) -> None:
    """Makes short calls, as many at once as are few enough to be held in memory."""
    for done in range(0, calls, AT_ONCE):
        futures = [ParallelExecutor.execute_one(call) for _ in range(min(AT_ONCE, calls - done))]
        for future in futures:
            future.result()


def enter_managers(managers: int) -> None:
    """Enters managers together and leaves them."""
    chain: Any = parallel(Manager())
    for _ in range(managers - 1):
        chain = chain.parallel(Manager())
    with chain as values:
        if values != (1,) * managers:
            raise AssertionError(f"entering returned {values!r}")


def chain_links(links: int) -> None:
    """Makes a chain of calls and takes its results."""
    chain: Any = parallel(call)()
    for _ in range(links - 1):
        chain = chain.parallel(call)()
    if chain.results() != (1,) * links:
        raise AssertionError("results are missing")


WORKS: dict[str, Callable[[int], None]] = {
    "short calls": make_short_calls,
    "managers entered together": enter_managers,
    "links of one chain": chain_links,
}


def observe(work: Callable[[int], None], number: int, limit: float) -> dict[str, Any]:
    """Does the work several times, and notes what it takes and what it leaves behind."""
    seconds, memory, blocks = [], [], []
    threads_before, memory_before = threading.active_count(), resident_memory()
    most_threads = threads_before
    for _ in range(TIMES):
        began = perf_counter()
        work(number)
        seconds.append(perf_counter() - began)
        most_threads = max(most_threads, threading.active_count())
        gc.collect()
        memory.append(resident_memory())
        blocks.append(_allocated_blocks())
    observed: dict[str, Any] = {
        "seconds": min(seconds),
        "threads": most_threads - threads_before,
        "memory, MiB": (max(memory) - memory_before) / 2**20,
        "memory, MiB more after the last time than after the one before": (memory[-1] - memory[-2]) / 2**20,
    }
    if blocks[0] is not None:
        observed["objects more after the last time than after the one before"] = blocks[-1] - blocks[-2]
    if limit:
        end = perf_counter() + limit
        while threading.active_count() > threads_before and perf_counter() < end:
            sleep(0.1)
        observed["threads left in the end"] = threading.active_count() - threads_before
        observed["memory left in the end, MiB"] = (resident_memory() - memory_before) / 2**20
    return observed


def _allocated_blocks() -> Any:
    # CPython's own; other interpreters count nothing alike.
    count: Callable[[], int] | None = getattr(sys, "getallocatedblocks", None)
    return None if count is None else count()


def measure(size: str) -> Report:
    """Does each work in a new process."""
    report = Report("scale", "what do very many calls, managers and links take, and leave behind?")
    numbers = (SHORT_CALLS[size], MANAGERS[size], LINKS[size])
    for name, number in zip(WORKS, numbers):
        observed = in_fresh_process("scale.py", "--child", name, str(number), str(SECONDS_TO_END[size]))
        spread = Spread.of([observed["seconds"]])
        report.figures.append(Figure(f"{number:,} {name}", OURS, "s", spread))
        report.notes[f"{number:,} {name}"] = observed
    return report


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        print(json.dumps(observe(WORKS[sys.argv[2]], int(sys.argv[3]), float(sys.argv[4]))))
    else:
        main(measure)
