"""A limit: what does a call cost when at most four run at a time, and the others wait?"""

from __future__ import annotations

from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from time import perf_counter
from typing import Callable

from measuring import MICROSECONDS, OURS, Report, main, taking_turns

from parallel import ParallelExecutor

ROUNDS_AND_TIMES = {"full": (101, 10), "quick": (15, 5), "tiny": (2, 1)}

LIMIT = 4
CALLS = {"full": 1_000, "quick": 1_000, "tiny": 10}
POOL = f"ThreadPoolExecutor({LIMIT})"
GOALS = {POOL: 1.0}

EXECUTORS: dict[str, Callable[[], Executor]] = {
    OURS: lambda: ParallelExecutor(max_workers=LIMIT),
    POOL: lambda: ThreadPoolExecutor(LIMIT),
    "ParallelExecutor(), no limit": ParallelExecutor,
}
"""Makes an executor, by the name of the contestant."""


def short_call(number: int) -> int:
    """A call that takes no time."""
    return number


def time_map(executor: Executor, calls: int, times: int) -> float:
    """How many seconds ``times`` maps of short calls take, one after the other."""
    began = perf_counter()
    for _ in range(times):
        for _ in executor.map(short_call, range(calls)):
            pass
    return perf_counter() - began


def measure(size: str) -> Report:
    """Maps a short function."""
    rounds, times = ROUNDS_AND_TIMES[size]
    calls = CALLS[size]
    report = Report("limit", "what does a call cost when at most four run at a time, and the others wait?")
    executors = {name: make() for name, make in EXECUTORS.items()}
    pairs = taking_turns({name: partial(time_map, each, calls, times) for name, each in executors.items()}, rounds)
    report.add_figures(f"map, {LIMIT} at a time", pairs, f"{MICROSECONDS} per call", calls, scale=1e6 / calls / times)
    report.add_ratios(f"map of {calls:,} calls, {LIMIT} at a time", pairs, GOALS)
    for each in executors.values():
        each.shutdown()
    return report


if __name__ == "__main__":
    main(measure, on_one_core=True)
