"""Measuring: contestants taking turns, medians with their spread, ratios beside goals, and each script's command line.

In each round, every other contestant has its turn right before or right after a turn of ours. A ratio is taken of each
such pair, and only then the median of all rounds: what else the machine does falls on both of a pair, or on few pairs.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import random
import statistics
import subprocess
import sys
from dataclasses import asdict, dataclass, field
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Callable, Iterable, List, Mapping, Tuple, TypeVar

HERE = Path(__file__).resolve().parent

SIZES = ("full", "quick", "tiny")
"""How much is measured: for the documentation; to look at while working; only to see that a script runs."""

OURS = "parallel"
"""The contestant that the others are compared with."""

MICROSECONDS = "\N{MICRO SIGN}s"

T = TypeVar("T")

Pairs = Mapping[str, List[Tuple[float, float]]]
"""By the name of each other contestant: what ours and it took, round by round."""

if find_spec("parallel") is None:
    # Nothing has been installed: the checkout is measured.
    sys.path.append(str(HERE.parent / "src"))


@dataclass
class Spread:
    """What came out of several rounds: the median, and the quartiles on either side of it."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """Sums up the values of all rounds."""
        values = list(values)
        if len(values) == 1:
            return cls(values[0], values[0], values[0])
        low, _, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(statistics.median(values), low, high)


@dataclass
class Figure:
    """What a contestant took."""

    work: str
    contestant: str
    unit: str
    spread: Spread
    calls: int | None = None
    """For how many calls at once this is, where that is what varies."""


@dataclass
class Ratio:
    """What ``parallel`` took, divided by what it is compared with."""

    work: str
    against: str
    spread: Spread
    at_most: float | None = None
    """The goal, where there is one."""

    @property
    def verdict(self) -> str:
        """Whether the goal is reached."""
        if self.at_most is None:
            return ""
        return "met" if self.spread.median <= self.at_most else "short"


@dataclass
class Report:
    """What a script found out."""

    script: str
    question: str
    figures: list[Figure] = field(default_factory=list)
    ratios: list[Ratio] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    """Which contestants, or goals, and why."""
    notes: dict[str, dict[str, float]] = field(default_factory=dict)
    """What else was seen, by what it was seen of."""
    data: dict[str, Any] = field(default_factory=dict)
    """What is not for reading."""
    cores: int = 0
    """How many cores the process that measured could use."""

    def __post_init__(self) -> None:
        self.cores = self.cores or cores()

    def add_figures(self, work: str, pairs: Pairs, unit: str, calls: int | None = None, *, scale: float = 1.0) -> None:
        """Adds what each contestant took, multiplied by ``scale`` to get the unit."""
        taken = {OURS: [ours for each in pairs.values() for ours, _ in each]}
        taken.update({name: [theirs for _, theirs in each] for name, each in pairs.items()})
        for name, values in taken.items():
            self.figures.append(Figure(work, name, unit, Spread.of(value * scale for value in values), calls))

    def add_ratios(self, work: str, pairs: Pairs, goals: Mapping[str, float]) -> None:
        """Adds how ours compares with each other contestant."""
        for name, each in pairs.items():
            self.ratios.append(Ratio(work, name, Spread.of(ours / theirs for ours, theirs in each), goals.get(name)))

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Report:
        """Makes the report out of what ``asdict`` made of it."""
        report = cls(**data)
        report.figures = [Figure(**{**each, "spread": Spread(**each["spread"])}) for each in data["figures"]]
        report.ratios = [Ratio(**{**each, "spread": Spread(**each["spread"])}) for each in data["ratios"]]
        return report


def taking_turns(blocks: Mapping[str, Callable[[], T]], rounds: int) -> dict[str, list[tuple[T, T]]]:
    """Runs blocks in pairs of ours and another, in an order drawn anew for each round.

    A block gives what it took, having warmed up what must be warm. Each is run once before, which does not count.
    """
    draw = random.Random(1)  # noqa: S311  # The same order in each run.
    others = [name for name in blocks if name != OURS]
    pairs: dict[str, list[tuple[T, T]]] = {name: [] for name in others}
    for name in blocks:
        blocks[name]()
    for _ in range(rounds):
        for name in draw.sample(others, len(others)):
            taken = {each: _take_turn(blocks[each]) for each in draw.sample([OURS, name], 2)}
            pairs[name].append((taken[OURS], taken[name]))
    return pairs


def _take_turn(block: Callable[[], T]) -> T:
    # The garbage of one turn is not swept up at the cost of the next.
    gc.collect()
    return block()


def part(pairs: Mapping[str, list[tuple[T, T]]], pick: Callable[[T], float]) -> dict[str, list[tuple[float, float]]]:
    """Picks one figure out of what the contestants' turns gave."""
    return {name: [(pick(ours), pick(theirs)) for ours, theirs in each] for name, each in pairs.items()}


def times_within(seconds: float, work: Callable[[int], float], at_most: int) -> int:
    """How many times ``work`` can be done in that time: the slow contestants get fewer repetitions."""
    return max(1, min(at_most, int(seconds / work(1))))


def in_fresh_process(script: str, *arguments: str) -> Any:
    """Runs a script of this folder in a new process; gives the JSON that it prints."""
    command = [sys.executable, str(HERE / script), *arguments]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    return json.loads(done.stdout)


def installed(module: str) -> Any:
    """Imports a contestant's module; ``None`` if it is not there."""
    return import_module(module) if find_spec(module) is not None else None


def has_gil() -> bool:
    """Whether only one thread at a time runs Python code."""
    is_gil_enabled: Callable[[], bool] = getattr(sys, "_is_gil_enabled", lambda: True)
    return is_gil_enabled()


def interpreter() -> str:
    """Names the interpreter that measures: ``CPython 3.14.1 free-threaded``."""
    name = f"{platform.python_implementation()} {platform.python_version()}"
    return name if has_gil() else f"{name} free-threaded"


def cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def machine() -> str:
    """Names the machine as far as figures depend on it: ``Linux x86_64, 2 cores``."""
    named = f"{platform.system()} {platform.machine()}, {cores()} cores"
    try:
        halt_poll = int(Path("/sys/module/haltpoll/parameters/guest_halt_poll_ns").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return named
    # A virtual machine. Linux itself has 200 us here; with 0, each wake-up of an idle core takes some 20 us more.
    return f"{named}, which idle for {halt_poll / 1e3:g} {MICROSECONDS} before they halt"


def resident_memory() -> int:
    """How many bytes of memory this process has in use; where the system does not tell, the most that it had."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        import resource  # noqa: PLC0415  # Not on Windows, where memory is not measured.

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
    return pages * os.sysconf("SC_PAGE_SIZE")


def main(measure: Callable[[str], Report], *, on_one_core: bool = False) -> None:
    """The command line of a script: measures and prints.

    Where calls do nothing, all that there is to be measured is the software and the wake-ups of threads. What it takes
    to wake another core up is the machine's affair, and which threads have to be is drawn by lot. ``on_one_core``
    leaves that out, where the system can keep a process on one core.
    """
    parser = argparse.ArgumentParser(description=sys.modules["__main__"].__doc__)
    parser.add_argument("--size", choices=SIZES, default="full", help="how much is measured")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    if on_one_core and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    report = measure(arguments.size)
    print(json.dumps(asdict(report)) if arguments.json else as_text(report))


def as_text(report: Report) -> str:
    """Writes a report for a terminal."""
    lines = [f"{report.script}: {report.question} (On {report.cores} core{'' if report.cores == 1 else 's'}.)"]
    for figure in report.figures:
        spread = figure.spread
        calls = "" if figure.calls is None else f" x {figure.calls:,}"
        lines.append(
            f"  {figure.work + calls:44} {figure.contestant:34} {number(spread.median):>9} {figure.unit}"
            f"   ({number(spread.low)} to {number(spread.high)})"
        )
    lines.extend(f"  {row}" for row in ratio_rows(report.ratios))
    lines.extend(f"  left out: {name}: {reason}" for name, reason in report.left_out.items())
    for name, notes in report.notes.items():
        lines.append(f"  {name}: " + ", ".join(f"{key} {number(value)}" for key, value in notes.items()))
    return "\n".join(lines)


def ratio_rows(ratios: Iterable[Ratio]) -> list[str]:
    """Writes ratios for a terminal, one to a line."""
    rows = []
    for each in ratios:
        spread = each.spread
        goal = "" if each.at_most is None else f"   at most {each.at_most:g}: {each.verdict}"
        rows.append(
            f"{each.work:44} / {each.against:36} {spread.median:6.2f}  ({spread.low:.2f} to {spread.high:.2f}){goal}"
        )
    return rows


def number(value: float) -> str:
    """Writes a figure with three digits that say something."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"  # noqa: PLR2004  # Three digits.
