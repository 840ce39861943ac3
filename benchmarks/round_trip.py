"""A round trip: what does one call cost, from starting it to having its result?"""

from __future__ import annotations

import sys

from contestants import FLOOR, THREAD_PER_CALL, UNBOUNDED_POOL, Contestant, contestants, time_in_turns
from measuring import MICROSECONDS, Ratio, Report, Spread, has_gil, main

ROUNDS_AND_TIMES = {"full": (151, 200), "quick": (15, 100), "tiny": (2, 2)}

if not has_gil():
    AT_MOST = 1.0
elif sys.version_info < (3, 14):
    AT_MOST = 0.85
else:
    AT_MOST = 0.90

GOALS = {UNBOUNDED_POOL: AT_MOST, THREAD_PER_CALL: 0.30, FLOOR: 2.0}


def measure(size: str) -> Report:
    """Has one call at a time made, and its result waited for."""
    rounds, times = ROUNDS_AND_TIMES[size]
    report = Report("round_trip", "what does one call cost, from starting it to having its result?")
    with contestants(report.left_out) as found:
        pairs = time_in_turns(found, Contestant.time_round_trips, times, rounds)
    report.add_figures("round trip", pairs, f"{MICROSECONDS} per call", scale=1e6)
    report.add_ratios("round trip", pairs, GOALS)
    # Nothing that hands a call to a thread can be below this, and what remains to be saved is above it.
    shares = [floor / pool for (_, floor), (_, pool) in zip(pairs[FLOOR], pairs[UNBOUNDED_POOL])]
    report.ratios.append(Ratio(f"{FLOOR} alone", UNBOUNDED_POOL, Spread.of(shares)))
    return report


if __name__ == "__main__":
    main(measure, on_one_core=True)
