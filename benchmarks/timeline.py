"""A timeline: when does each of ten calls run, one after the other, on a bounded pool and on ``parallel``?"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from time import perf_counter, sleep
from typing import Callable, Tuple

from measuring import OURS, Figure, Report, Spread, main

from parallel import ParallelExecutor

SECONDS = {"full": 0.1, "quick": 0.02, "tiny": 0.001}

LENGTHS = (3, 1, 2, 4, 1, 3, 2, 1, 2, 3)
"""How long each of the calls waits for something, in units of ``SECONDS``."""

WORKERS = 4

IN_TURN = "one after the other"
POOL = f"pool of {WORKERS} threads"

Times = Tuple[float, float]


def wait(seconds: float) -> Times:
    """A call that waits for something else than this process; gives the moments when it began and ended."""
    began = perf_counter()
    sleep(seconds)
    return began, perf_counter()


def in_turn(lengths: list[float]) -> list[Times]:
    """Makes the calls one after the other."""
    return [wait(length) for length in lengths]


def at_once(start: Callable[[Callable[[float], Times], float], Future[Times]], lengths: list[float]) -> list[Times]:
    """Makes the calls at once."""
    return [future.result() for future in [start(wait, length) for length in lengths]]


def measure(size: str) -> Report:
    """Makes the same calls three ways, and notes when each ran."""
    report = Report("timeline", "when does each of ten calls run?")
    lengths = [length * SECONDS[size] for length in LENGTHS]
    with ThreadPoolExecutor(WORKERS) as pool:
        ways: dict[str, Callable[[], list[Times]]] = {
            IN_TURN: lambda: in_turn(lengths),
            POOL: lambda: at_once(pool.submit, lengths),
            OURS: lambda: at_once(ParallelExecutor.execute_one, lengths),
        }
        for name, run in ways.items():
            began = perf_counter()
            times = [(start - began, end - began) for start, end in run()]
            whole = perf_counter() - began
            report.figures.append(Figure("ten calls that wait", name, "s", Spread.of([whole])))
            report.data[name] = times
    return report


if __name__ == "__main__":
    main(measure)
