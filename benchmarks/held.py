"""Held calls: how long until many calls are all inside their functions at once, and what memory does each hold?"""

from __future__ import annotations

import json
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from time import perf_counter, process_time
from typing import Any, Callable, Dict

from contestants import UNBOUNDED, start_thread
from measuring import MICROSECONDS, OURS, Report, in_fresh_process, main, part, resident_memory, taking_turns

from parallel import ParallelExecutor

ROUNDS_AND_CALLS = {"full": (9, 3, 10_000), "quick": (5, 2, 2_000), "tiny": (2, 2, 20)}
"""Beside raw threads, which the goals are about, and beside the others; and how many calls are held."""

Seen = Dict[str, float]

LIMIT = 300.0
"""For how many seconds calls may take to get going, or to end."""

RAW_THREADS = "raw threads"
POOL = "ThreadPoolExecutor, unbounded"
FUTURES = "threading.Thread with a Future"


class Held:
    """Calls that wait inside their function until all are there and have been looked at.

    They wait for a byte from a pipe, and then hand it on. A lock would do, but Linux keeps the waiters of all locks of
    a process in few lists (16 of them, on two cores, as of 6.18). In some processes, drawn by lot, the interpreter's
    own lock shares its list with the one that 10,000 threads wait for, and each hand-over goes through them all.
    """

    def __init__(self, calls: int) -> None:
        self._calls = calls
        self._arrived: list[None] = []
        self._gate, self._opener = os.pipe()
        self._all_inside = threading.Event()

    def call(self) -> int:
        """Arrives, and waits."""
        self._arrived.append(None)
        if len(self._arrived) >= self._calls:
            self._all_inside.set()
        return os.write(self._opener, os.read(self._gate, 1))

    def measure(self, start: Callable[[Callable[[], int]], Any]) -> Seen:
        """Starts all calls; gives the time and the memory until all were inside, and the time until all had ended."""
        memory = resident_memory()
        began, used = perf_counter(), process_time()
        ends = [start(self.call) for _ in range(self._calls)]
        if not self._all_inside.wait(LIMIT):
            raise TimeoutError(f"{len(self._arrived)} of {self._calls} calls got inside their functions")
        inside, used = perf_counter(), process_time() - used
        memory = resident_memory() - memory
        threads = threading.active_count()
        opened = perf_counter()
        os.write(self._opener, b"1")
        for end in ends:
            end()
        ended = perf_counter()
        return {
            "enter": inside - began,
            "processor": used,
            "memory": memory,
            "leave": ended - opened,
            "threads": threads,
        }


def start_raw(func: Callable[[], int]) -> Callable[[], None]:
    """Calls ``func`` on a new thread and lets its result be lost."""
    thread = threading.Thread(target=func)
    thread.start()
    return thread.join


STARTS: dict[str, Callable[[], Callable[[Callable[[], int]], Any]]] = {
    OURS: lambda: lambda func: ParallelExecutor.execute_one(func).result,
    RAW_THREADS: lambda: start_raw,
    FUTURES: lambda: lambda func: start_thread(func).result,
    POOL: lambda: _start_in(ThreadPoolExecutor(UNBOUNDED)),
}


def _start_in(pool: ThreadPoolExecutor) -> Callable[[Callable[[], int]], Any]:
    return lambda func: pool.submit(func).result


def measure(size: str) -> Report:
    """Holds many calls inside their functions at once, each contestant's in new processes."""
    rounds, rounds_of_others, calls = ROUNDS_AND_CALLS[size]
    report = Report("held", "how long until many calls are all inside their functions, and what memory does each hold?")
    blocks = {name: partial(in_fresh_process, "held.py", "--child", name, str(calls)) for name in STARTS}
    pairs: dict[str, list[tuple[Seen, Seen]]] = {}
    for other, block in blocks.items():
        if other != OURS:
            number = rounds if other == RAW_THREADS else rounds_of_others
            pairs.update(taking_turns({OURS: blocks[OURS], other: block}, number))
    work = f"{calls:,} calls inside at once"
    enter = part(pairs, lambda seen: seen["enter"])
    report.add_figures(f"{work}: time", enter, f"{MICROSECONDS} per call", scale=1e6 / calls)
    report.add_ratios(f"{work}: time", enter, {RAW_THREADS: 1.15})
    processor = part(pairs, lambda seen: seen["processor"])
    report.add_figures(f"{work}: processor time", processor, f"{MICROSECONDS} per call", scale=1e6 / calls)
    report.add_ratios(f"{work}: processor time", processor, {})
    leave = part(pairs, lambda seen: seen["leave"])
    report.add_figures(f"{work}: until all ended", leave, f"{MICROSECONDS} per call", scale=1e6 / calls)
    memory = part(pairs, lambda seen: seen["memory"])
    report.add_figures(f"{work}: memory", memory, "KiB per call", scale=1 / 1024 / calls)
    if all(min(pair) > 0 for each in memory.values() for pair in each):
        report.add_ratios(f"{work}: memory", memory, {RAW_THREADS: 1.1})
    else:
        report.left_out["memory"] = "too few calls to tell"
    report.notes["threads"] = {name: each[-1][1]["threads"] for name, each in pairs.items()}
    return report


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        print(json.dumps(Held(int(sys.argv[3])).measure(STARTS[sys.argv[2]]())))
    else:
        main(measure)
