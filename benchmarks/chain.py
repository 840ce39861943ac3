"""A chain: what do three calls at once cost, from starting the first to having all results?"""

from __future__ import annotations

from contestants import UNBOUNDED_POOL, Contestant, contestants, time_in_turns
from measuring import MICROSECONDS, Report, main

ROUNDS_AND_TIMES = {"full": (61, 100), "quick": (15, 50), "tiny": (2, 2)}

GOALS = {UNBOUNDED_POOL: 0.80}


def measure(size: str) -> Report:
    """Has three calls made at once, ``parallel`` by a typed chain and the others by hand, and their results taken."""
    rounds, times = ROUNDS_AND_TIMES[size]
    report = Report("chain", "what do three calls at once cost, from starting the first to having all results?")
    with contestants(report.left_out) as found:
        pairs = time_in_turns(found, Contestant.time_chains, times, rounds)
    report.add_figures("chain of 3", pairs, f"{MICROSECONDS} per chain", scale=1e6)
    report.add_ratios("chain of 3", pairs, GOALS)
    return report


if __name__ == "__main__":
    main(measure, on_one_core=True)
