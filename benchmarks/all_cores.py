"""The same on all cores: what do calls and ``with`` blocks cost where the threads that are woken are on other cores?"""

from __future__ import annotations

import json
import sys
from functools import partial
from operator import itemgetter
from typing import Callable

from contestants import (
    FLOOR,
    THREAD_PER_CALL,
    UNBOUNDED,
    UNBOUNDED_POOL,
    Contestant,
    Handoff,
    Parallel,
    Pool,
    ThreadPerCall,
)
from measuring import MICROSECONDS, OURS, Report, in_fresh_process, main, part, taking_turns
from with_block import BLOCKS, time_blocks

ROUNDS_AND_TIMES = {"full": (31, 7, 300), "quick": (7, 2, 100), "tiny": (2, 2, 2)}
"""Beside the standard pool, which the goals are about, and beside the others; and how many times a process repeats."""

GOALS = {UNBOUNDED_POOL: 1.0}

CALLERS: dict[str, Callable[[], Contestant]] = {
    OURS: Parallel,
    UNBOUNDED_POOL: partial(Pool, UNBOUNDED_POOL, UNBOUNDED),
    THREAD_PER_CALL: ThreadPerCall,
    FLOOR: Handoff,
}

CALL, CHAIN, BLOCK = "round trip", "chain of 3", "with of 3"
WORKS = {CALL: "call", CHAIN: "chain", BLOCK: "block"}


def time_one(name: str, times: int) -> dict[str, float]:
    """How many seconds one contestant takes, once, for each of what it can do."""
    taken = {}
    if name in CALLERS:
        contestant = CALLERS[name]()
        taken[CALL] = contestant.time_round_trips(times) / times
        taken[CHAIN] = contestant.time_chains(times) / times
        contestant.close()
    if name in BLOCKS:
        taken[BLOCK] = time_blocks(BLOCKS[name](), times) / times
    return taken


def measure(size: str) -> Report:
    """Measures again what is measured on one core.

    Each turn has a new process. In one process for all, the main thread came to share a core with the threads of one
    contestant, and so not with another's: the same call took 8 us or 70 us, by lot.
    """
    rounds, rounds_of_others, times = ROUNDS_AND_TIMES[size]
    report = Report("all_cores", "what do calls and blocks cost where the threads that are woken are on other cores?")
    turns: dict[str, list[tuple[dict[str, float], dict[str, float]]]] = {}
    for other in dict.fromkeys([*CALLERS, *BLOCKS]):
        if other != OURS:
            blocks = {
                name: partial(in_fresh_process, "all_cores.py", "--child", name, str(times)) for name in (OURS, other)
            }
            turns.update(taking_turns(blocks, rounds if other in GOALS else rounds_of_others))
    for work, what in WORKS.items():
        able = {name: each for name, each in turns.items() if work in each[0][1]}
        pairs = part(able, itemgetter(work))
        report.add_figures(work, pairs, f"{MICROSECONDS} per {what}", scale=1e6)
        report.add_ratios(f"{work}, all cores", pairs, GOALS)
    return report


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        print(json.dumps(time_one(sys.argv[2], int(sys.argv[3]))))
    else:
        main(measure)
