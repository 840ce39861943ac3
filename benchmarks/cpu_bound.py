"""CPU-bound calls: how much sooner are two of them done on two cores, where the interpreter has no global lock?"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from time import perf_counter
from typing import Callable

from contestants import UNBOUNDED_POOL
from measuring import OURS, Report, cores, has_gil, main, taking_turns

from parallel import parallel

ROUNDS_AND_STEPS = {"full": (21, 1_000_000), "quick": (7, 500_000), "tiny": (2, 1_000)}

IN_TURN = "one after the other"


def compute(steps: int) -> int:
    """Keeps a core busy, and touches nothing that others touch."""
    value = 1
    for step in range(steps):
        value = (value * 31 + step) % 1_000_003
    return value


def measure(size: str) -> Report:
    """Has two calls made that do nothing but compute."""
    rounds, steps = ROUNDS_AND_STEPS[size]
    report = Report("cpu_bound", "how much sooner are two CPU-bound calls done on two cores?")
    if has_gil():
        report.left_out["CPU-bound calls"] = "only where the interpreter has no global lock (a free-threaded build)"
        return report
    if cores() < 2:  # noqa: PLR2004  # One for each call.
        report.left_out["CPU-bound calls"] = "only where there are two cores"
        return report

    def in_turn() -> None:
        compute(steps)
        compute(steps)

    def in_parallel() -> None:
        parallel(compute)(steps).parallel(compute)(steps).results()

    with ThreadPoolExecutor() as pool:

        def in_pool() -> None:
            one, two = pool.submit(compute, steps), pool.submit(compute, steps)
            one.result()
            two.result()

        works: dict[str, Callable[[], None]] = {OURS: in_parallel, IN_TURN: in_turn, UNBOUNDED_POOL: in_pool}
        pairs = taking_turns({name: _block(work) for name, work in works.items()}, rounds)
    report.add_figures("2 CPU-bound calls", pairs, "ms", scale=1e3)
    report.add_ratios("2 CPU-bound calls", pairs, {IN_TURN: 0.6})
    return report


def _block(work: Callable[[], None]) -> Callable[[], float]:
    def run() -> float:
        began = perf_counter()
        work()
        return perf_counter() - began

    return run


if __name__ == "__main__":
    main(measure)
