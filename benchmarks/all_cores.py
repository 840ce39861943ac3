"""The same on all cores: what do calls and ``with`` blocks cost where the threads that are woken are on other cores?"""

from __future__ import annotations

from contestants import UNBOUNDED_POOL, Contestant, Handoff, Parallel, Pool, ThreadPerCall, time_in_turns
from measuring import MICROSECONDS, Report, main
from with_block import measure_blocks

ROUNDS_AND_TIMES = {"full": (31, 100), "quick": (11, 50), "tiny": (2, 2)}


def measure(size: str) -> Report:
    """Measures again what is measured on one core, without goals: what a wake-up takes is the machine's affair."""
    rounds, times = ROUNDS_AND_TIMES[size]
    report = Report("all_cores", "what do calls and blocks cost where the threads that are woken are on other cores?")
    found = [Parallel(), Pool(UNBOUNDED_POOL, 1_000_000), ThreadPerCall(), Handoff()]
    round_trips = time_in_turns(found, Contestant.time_round_trips, times, rounds)
    report.add_figures("round trip", round_trips, f"{MICROSECONDS} per call", scale=1e6)
    report.add_ratios("round trip", round_trips, {})
    chains = time_in_turns(found, Contestant.time_chains, times, rounds)
    report.add_figures("chain of 3", chains, f"{MICROSECONDS} per chain", scale=1e6)
    report.add_ratios("chain of 3", chains, {})
    for each in found:
        each.close()
    blocks = measure_blocks(rounds, times // 2)
    report.add_figures("with of 3", blocks, f"{MICROSECONDS} per block", scale=2e6 / times)
    report.add_ratios("with of 3", blocks, {})
    return report


if __name__ == "__main__":
    main(measure)
