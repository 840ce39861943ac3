"""Sizes: what does each call, link, manager and unfinished call cost, as they get more?"""

from __future__ import annotations

import atexit
import json
import os
import random
import subprocess
import sys
import threading
from dataclasses import dataclass
from functools import partial
from statistics import median
from time import perf_counter, process_time
from typing import Any, Callable, Dict, Mapping, Sequence

from contestants import UNBOUNDED, UNBOUNDED_POOL, Pool
from measuring import HERE, MICROSECONDS, OURS, Figure, Ratio, Report, Spread, in_fresh_process, main
from scale import chain_links
from with_block import Manager

from parallel import ParallelExecutor, parallel_contexts, parallel_map

CALLS, LINKS, MANAGERS, UNFINISHED = "calls", "links", "managers", "unfinished calls"

FEW = 10
"""The size that larger ones are compared with: of fewer, each costs more, as it shares what comes once with fewer."""

FLAT = 2.0
"""How much more each of many may cost than each of ``FEW``."""

ITEMS = 2_000
"""How many items a process handles after the first time, or one time the size if that is more; the median counts."""

MOST = {"full": 50_000, "quick": 0, "tiny": 0}
"""A number of calls at once that many systems refuse."""

ROUNDS = {"full": 7, "quick": 3, "tiny": 1}
ROUNDS_OF_OTHERS = {"full": 3, "quick": 1, "tiny": 1}
LARGE = 10_000
ROUNDS_OF_LARGE = {LARGE: 3}

draw = random.Random(1)  # noqa: S311  # The same order in each run.

# On one core, a process that never waits uses as much processor time as passes, but for what other programs use.
clock = process_time if hasattr(os, "sched_setaffinity") else perf_counter

AGAIN, FIRST = "again", "first"
Seconds = Dict[str, float]
"""Seconds for each item: the first time in a process, and again."""


def map_calls(calls: int) -> None:
    """Makes calls that end at once."""
    parallel_map(abs, range(calls)).results()


def start_threads(calls: int) -> None:
    """Makes the same calls, each on a new thread."""
    threads = [threading.Thread(target=abs, args=(number,)) for number in range(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def enter_and_exit(managers: int, *, parallel_exit: bool = False) -> None:
    """Enters and exits managers that do nothing."""
    with parallel_contexts([Manager() for _ in range(managers)], parallel_exit=parallel_exit):
        pass


class RawThreads:
    """Waiting threads, one for each manager, which are woken to enter and again to exit."""

    def __init__(self, *, exit_at_once: bool) -> None:
        self._exit_at_once = exit_at_once
        self._locks: list[Any] = []
        self._exited = threading.Semaphore(0)

    def run(self, threads: int) -> None:
        """Has each thread woken twice; the first time starts them."""
        if not self._locks:
            # The last lock is the caller's.
            self._locks = [threading.Lock() for _ in range(threads + 1)]
            for lock in self._locks:
                lock.acquire()
            for mine, following in zip(self._locks, self._locks[1:]):
                threading.Thread(target=self._serve, args=(mine, following), daemon=True).start()
        self._wake_in_turn()
        if self._exit_at_once:
            for lock in self._locks[:-1]:
                lock.release()
            for _ in range(threads):
                self._exited.acquire()
        else:
            self._wake_in_turn()

    def _wake_in_turn(self) -> None:
        self._locks[0].release()
        self._locks[-1].acquire()

    def _serve(self, mine: Any, following: Any) -> None:
        while True:
            mine.acquire()
            following.release()
            mine.acquire()
            if self._exit_at_once:
                self._exited.release()
            else:
                following.release()


def by_hand() -> Callable[[int], object]:
    """Makes the calls of a chain on the standard pool."""
    pool = Pool(UNBOUNDED_POOL, UNBOUNDED)
    return lambda calls: pool.time_at_once(calls, 0)  # Once.


@dataclass
class Line:
    """A line of a plot: what is done, and how to do it for a number of items."""

    curve: str
    contestant: str
    make: Callable[[], Callable[[int], object]]
    item: str = ""
    """The name of a single item, where there is a goal."""


EXITS_AT_ONCE = "parallel, parallel_exit=True"
FIRST_TIME = "parallel, the first time"
RAW_IN_TURN = "raw threads, each wakes the next"
RAW_AT_ONCE = "raw threads, woken at once"
NEW_THREADS = "a new threading.Thread each"
RAW_THREADS = "raw threads"

LINES = {
    "map": Line(CALLS, OURS, lambda: map_calls, "a call"),
    "threads": Line(CALLS, NEW_THREADS, lambda: start_threads),
    "chain": Line(LINKS, OURS, lambda: chain_links, "a link"),
    "pool": Line(LINKS, UNBOUNDED_POOL, by_hand),
    "in_turn": Line(MANAGERS, OURS, lambda: enter_and_exit, "a manager"),
    "at_once": Line(
        MANAGERS, EXITS_AT_ONCE, lambda: partial(enter_and_exit, parallel_exit=True), "a manager, parallel_exit=True"
    ),
    "raw_in_turn": Line(MANAGERS, RAW_IN_TURN, lambda: RawThreads(exit_at_once=False).run),
    "raw_at_once": Line(MANAGERS, RAW_AT_ONCE, lambda: RawThreads(exit_at_once=True).run),
}

ENDS: Mapping[str, Callable[[Callable[[], Any]], object]] = {
    OURS: ParallelExecutor.execute_one,
    RAW_THREADS: lambda func: threading.Thread(target=func).start(),
}
"""Starts a call that has not ended when the main thread ends, by the name of the contestant."""

SIZES: Mapping[str, Mapping[str, Sequence[int]]] = {
    "full": {
        CALLS: (1, FEW, 100, 1_000, LARGE),
        LINKS: (1, 3, FEW, 30, 100, 300, 1_000),
        MANAGERS: (1, 3, FEW, 30, 100, 300, 1_000),
        UNFINISHED: (1, FEW, 100, 1_000, LARGE),
    },
    "quick": dict.fromkeys((CALLS, LINKS, MANAGERS, UNFINISHED), (1, FEW, 100, 1_000)),
    "tiny": dict.fromkeys((CALLS, LINKS, MANAGERS, UNFINISHED), (1, FEW, 20)),
}


def time_items(line: Line, number: int) -> Seconds:
    """How many seconds each of so many items takes, the first time and again; nothing if there are no threads left."""
    work = line.make()
    seconds = []
    try:
        for _ in range(1 + max(1, ITEMS // number)):
            began = clock()
            work(number)
            seconds.append(clock() - began)
    except (RuntimeError, MemoryError):
        return {}
    return {FIRST: seconds[0] / number, AGAIN: median(seconds[1:]) / number}


def end_with_unfinished(contestant: str, calls: int) -> None:
    """Starts calls that end when the main thread has ended; prints how many seconds each holds up the end.

    Each waits for a byte from a pipe and hands it on, for the reason that ``Held`` gives. An ``atexit`` handler runs
    when all calls have ended. The interpreter has threads joined before, as it has the library's calls waited for.
    """
    gate, opener = os.pipe()
    start = ENDS[contestant]

    def hand_on() -> None:
        os.write(opener, os.read(gate, 1))

    def hand_out() -> None:
        threading.main_thread().join()
        os.write(opener, b"1")

    for each in (hand_out, *(hand_on for _ in range(calls - 1))):
        start(each)
    began = clock()
    atexit.register(lambda: print(json.dumps({AGAIN: (clock() - began) / calls})))


def try_most(calls: int) -> dict[str, float]:
    """Asks for more calls at once than many systems allow; gives what became of them."""
    begun: list[None] = []
    is_refused = False
    began = perf_counter()
    try:
        parallel_map(lambda _: begun.append(None), range(calls)).results()
    except (RuntimeError, MemoryError):
        is_refused = True
    seconds = perf_counter() - began
    map_calls(1_000)  # Whatever became of them, the library can be used.
    return {"refused": is_refused, "calls that began": len(begun), "seconds": seconds}


def measure(size: str) -> Report:
    """Has the sizes of each line take turns, in an order drawn anew for each round, each in a new process."""
    report = Report("sizes", "what does each call, link, manager and unfinished call cost, as they get more?")
    for name, line in LINES.items():
        measure_line(report, size, line, ("--again", name))
    for contestant in ENDS:
        item = "an unfinished call" if contestant == OURS else ""
        measure_line(report, size, Line(UNFINISHED, contestant, lambda: map_calls, item), ("--end", contestant))
    if MOST[size]:
        # Not ``in_fresh_process``: where no memory is left to map, the C library may abort the process as it ends.
        command = [sys.executable, str(HERE / "sizes.py"), "--most", str(MOST[size])]
        done = subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        seen = json.loads(done.stdout) if done.stdout else {"refused": True}
        report.notes[f"{MOST[size]:,} calls at once"] = {**seen, "exit status": done.returncode}
    return report


def measure_line(report: Report, size: str, line: Line, arguments: Sequence[str]) -> None:
    """Measures one line of a plot; the largest ratio is the one that has a goal."""
    sizes = SIZES[size][line.curve]
    rounds = ROUNDS[size] if line.item else ROUNDS_OF_OTHERS[size]
    taken: dict[int, list[Seconds]] = {number: [] for number in sizes}
    for number_of_round in range(rounds):
        turns = [number for number in sizes if number_of_round < ROUNDS_OF_LARGE.get(number, rounds)]
        for number in draw.sample(turns, len(turns)):
            taken[number].append(in_fresh_process("sizes.py", *arguments, str(number)))
    ratios = []
    for number, each in taken.items():
        if not all(each):
            report.left_out[f"{number:,} {line.curve}, {line.contestant}"] = "the system refused so many threads"
            continue
        add_figures(report, line, number, each)
        if number > FEW:
            ratios.append(Spread.of(many[AGAIN] / few[AGAIN] for many, few in zip(each, taken[FEW])))
    if line.item:
        work = f"{line.item}, at its dearest, of {FEW} to {sizes[-1]:,}"
        largest = max(ratios, key=lambda ratio: ratio.median)
        report.ratios.append(Ratio(work, f"{line.item} of {FEW}", largest, FLAT))


def add_figures(report: Report, line: Line, number: int, taken: Sequence[Seconds]) -> None:
    """Adds what each of ``number`` items took; of our calls also what each took the first time."""
    names = {AGAIN: line.contestant}
    if line is LINES["map"]:
        names[FIRST] = FIRST_TIME
    for when, name in names.items():
        spread = Spread.of(each[when] * 1e6 for each in taken)
        report.figures.append(Figure(line.curve, name, f"{MICROSECONDS} each", spread, number))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--again"]:
        print(json.dumps(time_items(LINES[sys.argv[2]], int(sys.argv[3]))))
    elif sys.argv[1:2] == ["--end"]:
        end_with_unfinished(sys.argv[2], int(sys.argv[3]))
    elif sys.argv[1:2] == ["--most"]:
        print(json.dumps(try_most(int(sys.argv[2]))), flush=True)
    else:
        main(measure, on_one_core=True)
