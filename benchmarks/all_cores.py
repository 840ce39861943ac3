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

ROUNDS_AND_TIMES = {"full": (15, 300), "quick": (5, 100), "tiny": (2, 2)}

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
    """Measures again what is measured on one core, without goals: what a wake-up takes is the machine's affair.

    Each turn has a new process. In one process for all, the main thread came to share a core with the threads of one
    contestant, and so not with another's: the same call took 8 us or 70 us, by lot.
    """
    rounds, times = ROUNDS_AND_TIMES[size]
    report = Report("all_cores", "what do calls and blocks cost where the threads that are woken are on other cores?")
    turns = taking_turns(
        {
            name: partial(in_fresh_process, "all_cores.py", "--child", name, str(times))
            for name in dict.fromkeys([*CALLERS, *BLOCKS])
        },
        rounds,
    )
    for work, what in WORKS.items():
        able = {name: each for name, each in turns.items() if work in each[0][1]}
        pairs = part(able, itemgetter(work))
        report.add_figures(work, pairs, f"{MICROSECONDS} per {what}", scale=1e6)
        report.add_ratios(work, pairs, {})
    return report


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        print(json.dumps(time_one(sys.argv[2], int(sys.argv[3]))))
    else:
        main(measure)
