"""Waking idle threads: what does a call cost its caller, how soon does it run, and what do idle threads cost?"""

from __future__ import annotations

import json
import sys
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from operator import itemgetter
from statistics import median
from time import perf_counter, process_time, sleep
from typing import Any, Callable

from contestants import THREAD_PER_CALL, UNBOUNDED, UNBOUNDED_POOL, start_thread
from held import Held
from measuring import MICROSECONDS, OURS, Report, in_fresh_process, main, part, resident_memory, taking_turns

from parallel import ParallelExecutor

ROUNDS_AND_TIMES = {"full": (61, 100), "quick": (15, 50), "tiny": (2, 2)}
THREADS_AND_SECONDS = {"full": (1_000, 5.0), "quick": (1_000, 3.0), "tiny": (5, 0.1)}
SECONDS_TO_END = {"full": 20.0, "quick": 0.0, "tiny": 0.0}

PHASES = ("start of a call", "until it runs", "until its result is there")

Start = Callable[[Callable[[], float]], "Future[float]"]


def time_phases(start: Start, times: int) -> dict[str, float]:
    """Has calls made one at a time, each on a thread that is waiting; gives the median seconds of each phase."""
    phases: dict[str, list[float]] = {phase: [] for phase in PHASES}
    for _ in range(times + 1):
        began = perf_counter()
        future = start(perf_counter)
        started = perf_counter()
        running = future.result()
        ended = perf_counter()
        phases["start of a call"].append(started - began)
        phases["until it runs"].append(running - began)
        phases["until its result is there"].append(ended - running)
    return {phase: median(values[1:]) for phase, values in phases.items()}


def idle_costs(start: Callable[[Callable[[], int]], Any], threads: int, seconds: float, limit: float) -> dict[str, Any]:
    """What threads that have nothing to do take, of this process: processor time, wake-ups, memory."""
    threads_before, memory_before = threading.active_count(), resident_memory()
    Held(threads).measure(start)
    sleep(0.05)  # They are on their way to where they wait.
    switches, used = _voluntary_switches(), process_time()
    sleep(seconds)
    outcome: dict[str, Any] = {
        "idle threads": threading.active_count() - threads_before,
        "processor time, ms": (process_time() - used) * 1e3,
        "memory, KiB per thread": (resident_memory() - memory_before) / 1024 / threads,
    }
    if switches is not None:
        outcome["switches while idle"] = (_voluntary_switches() or 0) - switches
    if limit:
        end = perf_counter() + limit
        while threading.active_count() > threads_before and perf_counter() < end:
            sleep(0.1)
        outcome["threads left in the end"] = threading.active_count() - threads_before
        outcome["memory left in the end, KiB per thread"] = (resident_memory() - memory_before) / 1024 / threads
    return outcome


def _voluntary_switches() -> int | None:
    try:
        import resource  # noqa: PLC0415  # Not on Windows.
    except ImportError:
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw


def measure(size: str) -> Report:
    """Times the phases of a call in turns; looks at idle threads in new processes."""
    rounds, times = ROUNDS_AND_TIMES[size]
    report = Report("idle", "what does a call cost its caller, how soon does it run, and what do idle threads cost?")
    with ThreadPoolExecutor(UNBOUNDED) as pool:
        starts: dict[str, Start] = {
            OURS: ParallelExecutor.execute_one,
            UNBOUNDED_POOL: pool.submit,
            THREAD_PER_CALL: start_thread,
        }
        pairs = taking_turns({name: partial(time_phases, start, times) for name, start in starts.items()}, rounds)
    for phase in PHASES:
        taken = part(pairs, itemgetter(phase))
        report.add_figures(phase, taken, MICROSECONDS, scale=1e6)
        # To start a call is to cost less than on the standard pool.
        report.add_ratios(phase, taken, {UNBOUNDED_POOL: 1.0} if phase == "start of a call" else {})
    threads, seconds = THREADS_AND_SECONDS[size]
    for name in (OURS, UNBOUNDED_POOL):
        limit = SECONDS_TO_END[size] if name == OURS else 0.0
        costs = in_fresh_process("idle.py", "--child", name, str(threads), str(seconds), str(limit))
        report.notes[f"{threads:,} idle threads of {name} for {seconds:g} s"] = costs
    return report


def _child(name: str, threads: int, seconds: float, limit: float) -> None:
    if name == OURS:
        costs = idle_costs(lambda func: ParallelExecutor.execute_one(func).result, threads, seconds, limit)
    else:
        with ThreadPoolExecutor(UNBOUNDED) as pool:
            costs = idle_costs(lambda func: pool.submit(func).result, threads, seconds, limit)
    print(json.dumps(costs))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        _child(sys.argv[2], int(sys.argv[3]), float(sys.argv[4]), float(sys.argv[5]))
    else:
        main(measure, on_one_core=True)
