"""A fan-out: what does a call cost when many are started at once, and does that stay flat as they get more?"""

from __future__ import annotations

from typing import Any

from contestants import UNBOUNDED_POOL, Contestant, Parallel, ParallelMap, contestants, time_in_turns
from measuring import MICROSECONDS, OURS, Ratio, Report, Spread, main, taking_turns

import parallel

ROUNDS_FOR_NUMBERS = {
    "full": {10: 15, 1_000: 25},
    "quick": {10: 7, 1_000: 15},
    "tiny": {2: 2, 4: 2},
}
"""How many rounds there are for how many calls at once."""

TIMES = {"full": 100, "quick": 50, "tiny": 2}

GOALS = {UNBOUNDED_POOL: 0.60}

FEW, MANY = 10, 10_000
ROUNDS_OF_BOTH = {"full": 15, "quick": 7, "tiny": 0}
FLAT = 1.0
"""How much more a call may cost when many are made at once than when few are."""


def measure(size: str) -> Report:
    """Has several numbers of short calls made at once."""
    report = Report("fan_out", "what does a call cost when many are started at once, as they get more?")
    pairs: dict[int, dict[str, list[tuple[float, float]]]] = {calls: {} for calls in ROUNDS_FOR_NUMBERS[size]}

    def time_all(found: list[Contestant]) -> None:
        for calls, rounds in ROUNDS_FOR_NUMBERS[size].items():

            def time_calls(contestant: Contestant, times: int, calls: int = calls) -> float:
                return contestant.time_at_once(calls, times)

            pairs[calls].update(time_in_turns(found, time_calls, TIMES[size], rounds))

    with contestants(report.left_out, floor=False) as found:
        time_all(found)
    flatness = compare_with_self(ROUNDS_OF_BOTH[size])
    if hasattr(parallel, "parallel_map"):
        # Last: of the threads that it starts, those that it does not need stay for a while. With 10,000 idle threads in
        # the process, the others took three to seven times as long.
        time_all([Parallel(), ParallelMap()])
    for calls, each in pairs.items():
        report.add_figures("fan-out", each, f"{MICROSECONDS} per call", calls, scale=1e6 / calls)
        goals = GOALS if calls == 1_000 else {}  # noqa: PLR2004  # What there is a goal for.
        report.add_ratios(f"{calls:,} calls at once", each, goals)
    report.ratios += flatness
    return report


def compare_with_self(rounds: int) -> list[Ratio]:
    """Compares what a call costs us when many are made at once with what it costs when few are."""
    if not rounds:
        return []
    ours = Parallel()
    few = f"a call of {FEW:,} at once"
    blocks: Any = {
        OURS: lambda: ours.time_at_once(MANY, 1) / MANY,
        few: lambda: ours.time_at_once(FEW, MANY // FEW // 10) / FEW / (MANY // FEW // 10),
    }
    pairs = taking_turns(blocks, rounds)[few]
    spread = Spread.of(one / other for one, other in pairs)
    return [Ratio(f"a call of {MANY:,} at once", few, spread, FLAT)]


if __name__ == "__main__":
    main(measure, on_one_core=True)
