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
    items = [
        f"**Call in parallel whatever waits** for a network, a disk or another process. A call costs "
        f"{_cost(reports, 'round_trip', 'round trip')} on one core, and {_cost(reports, 'all_cores', 'round trip')} "
        f"where another core has to wake up. On one core that is {_range(rows, 'round trip', POOL)} times the cost of a "
        f"call on a warm, unbounded `ThreadPoolExecutor`.",
        f"**Make up to 1,000 calls at once, and {limit} for more.** Each of 1,000 calls costs "
        f"{_cost(reports, 'sizes', 'calls', calls=1_000)}, each of 10,000 "
        f"{_cost(reports, 'sizes', 'calls', calls=10_000)}. 1,000 calls take "
        f"{_range(rows, '1,000 calls at once', POOL)} times as long as on that pool.",
        "**Use [processes](how-to/outgrow-one-machine.md) or a free-threaded build for computations.** Otherwise "
        "threads do not make pure Python code faster.",
    ]
    return "\n".join(_wrap(f"{place}. {item}", indent="   ") for place, item in enumerate(items, 1))


def size_sentences(reports: Reports, rows: Sequence[Row], interpreter: str) -> dict[str, str]:
    """Returns what the plots of sizes show, by the mark that they have on the page."""

    def cost(curve: str, calls: int, contestant: str = OURS) -> str:
        return _cost(reports, "sizes", curve, contestant, calls)

    def growth(items: str, item: str) -> str:
        ratios = [
            row["ratio"]
            for row in rows
            if row.get("interpreter") == interpreter and row["work"].startswith(f"{item}, at its dearest")
        ]
        if not ratios:
            return NONE
        much = "no more than" if ratios[0] <= NO_MORE else f"up to {ratios[0]:.1f} times as much as"
        return f"Each of many {items} costs {much} each of 10"

    in_turn, at_once = "raw threads, each wakes the next", "raw threads, woken at once"
    sentences = {
        "calls": f"**{growth('calls', 'a call')}.** Each of 10 costs {cost('calls', 10)}, each of 1,000 "
        f"{cost('calls', 1_000)}, each of 10,000 {cost('calls', 10_000)}. At most 1,000 threads stay idle, so "
        f"`parallel_map` starts threads for more calls, and Linux takes longer to wake one of many threads that wait. "
        f"The first map of a program starts all its threads: each of 1,000 calls costs "
        f"{cost('calls', 1_000, 'parallel, the first time')}.{_most(reports)}",
        "links": f"**{growth('links of a chain', 'a link')}.** Each of 10 costs {cost('links', 10)}, each of 1,000 "
        f"{cost('links', 1_000)}.",
        "managers": f"**{growth('managers', 'a manager')}, and {_lower(growth('them', 'a manager, parallel_exit=True'))} "
        f"with `parallel_exit=True`.** Each of 1,000 costs {cost('managers', 1_000)} or "
        f"{cost('managers', 1_000, AT_ONCE)}. Raw threads cost more, too, as they get more: the cost of those that wake "
        f"each other in turn grows from {cost('managers', 10, in_turn)} to {cost('managers', 1_000, in_turn)}, and of "
        f"those that one thread wakes at once from {cost('managers', 10, at_once)} to "
        f"{cost('managers', 1_000, at_once)}. The caches of a core hold few stacks, and many threads that are awake "
        f"compete for the GIL.",
        "unfinished calls": f"**{growth('unfinished calls', 'an unfinished call')}.** Each of 10,000 holds up the end of "
        f"the program for {cost('unfinished calls', 10_000)}, a raw thread for "
        f"{cost('unfinished calls', 10_000, 'raw threads')}. Each thread in turn gets the GIL from the one before, so "
        f"the interpreter sets the pace.",
    }
    return {mark: _wrap(text) for mark, text in sentences.items()}


def _lower(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]


def _most(reports: Reports) -> str:
    """Returns what became of as many calls as many systems refuse, if this one did."""
    for work, seen in reports["sizes"].notes.items():
        if seen["refused"]:
            began = "None of the calls began" if not seen["calls that began"] else f"{seen['calls that began']:g} began"
            return (
                f" This machine has no threads for {work}: `parallel_map` raised a `RuntimeError`. {began}, and 1,000 "
                f"calls succeeded after that."
            )
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
