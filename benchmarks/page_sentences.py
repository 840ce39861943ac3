"""Sentences of the page docs/performance.md that have figures in them."""

from __future__ import annotations

from textwrap import fill
from typing import Mapping, Sequence

from figures import Row
from measuring import MICROSECONDS, OURS, Report, number

Reports = Mapping[str, Report]

POOL = "ThreadPoolExecutor, unbounded, warm"
AT_ONCE = "parallel, parallel_exit=True"

NO_MORE = 1.1
"""Up to this ratio, the page says that each of many costs no more than each of few."""

NONE = "-"


def conclusions(reports: Reports, rows: Sequence[Row]) -> str:
    """Returns the conclusions that the page begins with."""
    limit = "[set a limit](recipes.md#limit-how-many-calls-run-at-a-time-max_workers)"
    waiting = (
        f"**Call in parallel whatever waits** for a network, a disk or another process. A call costs "
        f"{_cost(reports, 'round_trip', 'round trip')} on one core, and {_cost(reports, 'all_cores', 'round trip')} "
        f"where another core has to wake up. On one core that is {_range(rows, 'round trip', POOL)} times the cost of "
        f"a call on a warm, unbounded `ThreadPoolExecutor`."
    )
    many = (
        f"**Make up to 1,000 calls at once, and {limit} for more.** Each of 1,000 calls costs "
        f"{_cost(reports, 'sizes', 'calls', calls=1_000)}, each of 10,000 "
        f"{_cost(reports, 'sizes', 'calls', calls=10_000)}. 1,000 calls take "
        f"{_range(rows, '1,000 calls at once', POOL)} times as long as on that pool."
    )
    computing = (
        "**Use [processes](how-to/outgrow-one-machine.md) or a free-threaded build for computations.** Otherwise "
        "threads do not make pure Python code faster."
    )
    items = enumerate([waiting, many, computing], 1)
    return "\n".join(_wrap(f"{place}. {item}", indent="   ") for place, item in items)


def size_sentences(reports: Reports, rows: Sequence[Row], interpreter: str) -> dict[str, str]:
    """Returns what the plots of sizes show, by the mark that they have on the page."""

    def cost(curve: str, calls: int, contestant: str = OURS) -> str:
        return _cost(reports, "sizes", curve, contestant, calls)

    def growth(items: str, item: str, *, is_short: bool = False) -> str:
        ratios = [
            row["ratio"]
            for row in rows
            if row.get("interpreter") == interpreter and row["work"].startswith(f"{item}, at its dearest")
        ]
        if not ratios:
            return NONE
        much = "no more than" if ratios[0] <= NO_MORE else f"up to {ratios[0]:.1f} times as much as"
        return f"{much} each of 10" if is_short else f"Each of many {items} costs {much} each of 10"

    in_turn, at_once = "raw threads, each wakes the next", "raw threads, woken at once"
    sentences = {
        "calls": f"**{growth('calls', 'a call')}.** Each of 10 costs {cost('calls', 10)}, each of 1,000 "
        f"{cost('calls', 1_000)}, each of 10,000 {cost('calls', 10_000)}. At most 1,000 threads stay idle, so "
        f"`parallel_map` starts threads for more calls, and Linux takes longer to wake one of many threads that wait. "
        f"The first map of a program starts all its threads: each of 1,000 calls costs "
        f"{cost('calls', 1_000, 'parallel, the first time')}.{_most(reports)}",
        "links": f"**{growth('links of a chain', 'a link')}.** Each of 10 costs {cost('links', 10)}, each of 1,000 "
        f"{cost('links', 1_000)}.",
        "managers": f"**{growth('managers', 'a manager')}; with `parallel_exit=True` each of many costs "
        f"{growth('managers', 'a manager, parallel_exit=True', is_short=True)}.** Each of 1,000 costs "
        f"{cost('managers', 1_000)} or {cost('managers', 1_000, AT_ONCE)}. Raw threads cost more, too, as they get "
        f"more. If they wake each other in turn, the cost grows from {cost('managers', 10, in_turn)} to "
        f"{cost('managers', 1_000, in_turn)}. If one thread wakes them all at once, it grows from "
        f"{cost('managers', 10, at_once)} to {cost('managers', 1_000, at_once)}: threads that are awake compete for "
        "the GIL.",
        "unfinished calls": f"**{growth('unfinished calls', 'an unfinished call')}.** Each of 10,000 holds up the end "
        f"of the program for {cost('unfinished calls', 10_000)}, a raw thread for "
        f"{cost('unfinished calls', 10_000, 'raw threads')}. Each thread in turn gets the GIL from the one before, so "
        "the interpreter sets the pace.",
    }
    return {mark: _wrap(text) for mark, text in sentences.items()}


def _most(reports: Reports) -> str:
    """Returns what became of as many calls as many systems refuse, if this one did."""
    for work, seen in reports["sizes"].notes.items():
        if seen["refused"]:
            began = "none of the calls began" if not seen.get("calls that began") else "some of the calls began"
            aborted = " The C library aborted that process as it ended." if seen.get("exit status") else ""
            return f" For {work}, this machine refused to start so many threads, and {began}.{aborted}"
    return ""


def _cost(reports: Reports, script: str, work: str, contestant: str = OURS, calls: int | None = None) -> str:
    for each in reports[script].figures:
        if (each.work, each.contestant, each.calls) == (work, contestant, calls):
            return f"{number(each.spread.median)} {MICROSECONDS}"
    return NONE


def _range(rows: Sequence[Row], work: str, against: str) -> str:
    """Returns the smallest and the largest ratio on all interpreters."""
    ratios = [row["ratio"] for row in rows if (row.get("work"), row.get("against")) == (work, against)]
    return f"{min(ratios):.2f} to {max(ratios):.2f}" if ratios else NONE


def _wrap(text: str, indent: str = "") -> str:
    return fill(text, 120, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
