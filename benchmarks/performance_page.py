"""The page docs/performance.md: the figures of runs put between its marks, a column for each interpreter.

uv run benchmarks/performance_page.py    # writes them again, from figures.json
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Mapping

from figures import FILE, Row, read, run_of
from measuring import HERE, MICROSECONDS, OURS, Report, number
from page_sentences import conclusions, size_sentences

NONE = "-"
"""What stands where nothing was measured."""

PAGE = "performance.md"


def write_page(run: dict[str, Any], rows: list[Row], page: Path) -> None:
    """Puts the tables of a run, and the goals on all interpreters, into the page."""
    text = page.read_text(encoding="utf-8")
    for mark, table in (
        ("conclusions", conclusions(_reports(run), rows)),
        *size_sentences(_reports(run), rows, run["interpreter"]).items(),
        ("goals", goals_table([row for row in rows if "goal" in row])),
        ("contestants", contestants_table(run)),
        ("all cores", all_cores_table(run)),
        ("scale", scale_table(run)),
        ("real work", real_work_table(run, [row for row in rows if "lines" in row])),
    ):
        text = between_marks(text, mark, table)
    page.write_text(text, encoding="utf-8")


def between_marks(text: str, mark: str, content: str) -> str:
    """Replaces what stands between ``<!-- mark: begin -->`` and ``<!-- mark: end -->``."""
    begin, end = f"<!-- {mark}: begin -->", f"<!-- {mark}: end -->"
    before, _, rest = text.partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        raise ValueError(f"{PAGE} has no {begin} ... {end}")
    return f"{before}{begin}\n{content}\n{end}{after}"


def goals_table(rows: list[Row]) -> str:
    """The ratios that there is a goal for, on all interpreters."""
    interpreters = list(dict.fromkeys(row["interpreter"] for row in rows))
    lines: dict[tuple[str, str], dict[str, str]] = {}
    goals: dict[tuple[str, str], dict[str, str]] = {}
    for row in rows:
        verdict = "" if row["ratio"] <= row["goal"] else " **short**"
        work = row["work"], row["against"]
        lines.setdefault(work, {})[row["interpreter"]] = f"{row['ratio']:.2f}{verdict}"
        # A goal may differ between interpreters.
        goals.setdefault(work, {}).setdefault(f"{row['goal']:.2f}", row["interpreter"])
    cells = []
    for work, found in lines.items():
        first, *others = goals[work].items()
        at_most = "; ".join([first[0], *(f"{goal} on {interpreter}" for goal, interpreter in others)])
        cells.append([*work, at_most, *(found.get(name, NONE) for name in interpreters)])
    return _table(["work", "against", "at most", *interpreters], cells)


def contestants_table(run: dict[str, Any]) -> str:
    """What each contestant took, in one run."""
    columns = {
        f"a call, {MICROSECONDS}": ("round_trip", "round trip", None),
        f"3 calls, {MICROSECONDS}": ("chain", "chain of 3", None),
        f"1,000 at once, {MICROSECONDS} a call": ("fan_out", "fan-out", 1_000),
        f"`with` of 3, {MICROSECONDS}": ("with_block", "with of 3", None),
    }
    return _figures_table(run, columns)


def all_cores_table(run: dict[str, Any]) -> str:
    """What some of the contestants took on all cores, in one run."""
    columns = {
        f"a call, {MICROSECONDS}": ("all_cores", "round trip", None),
        f"3 calls, {MICROSECONDS}": ("all_cores", "chain of 3", None),
        f"`with` of 3, {MICROSECONDS}": ("all_cores", "with of 3", None),
    }
    return _figures_table(run, columns)


def _figures_table(run: dict[str, Any], columns: Mapping[str, tuple[str, str, int | None]]) -> str:
    """A row for each contestant; a column for each script, work and number of calls."""
    reports = _reports(run)
    rows: dict[str, dict[str, str]] = {OURS: {}}
    cores = 0
    for column, (script, work, calls) in columns.items():
        cores = max(cores, reports[script].cores)
        for each in reports[script].figures:
            if each.work == work and each.calls == calls:
                rows.setdefault(each.contestant, {})[column] = number(each.spread.median)
    cells = [[name, *(found.get(column, NONE) for column in columns)] for name, found in rows.items()]
    used = "On one core" if cores == 1 else f"On {cores} cores"
    return f"{_measured_on(run)} {used}.\n\n{_table(['contestant', *columns], cells)}"


def real_work_table(run: dict[str, Any], rows: list[Row]) -> str:
    """How long real work takes, and in how many lines: a row for each work, on an interpreter that can do it."""
    # The last one counts: a row of the run's own interpreter, if there is one.
    of_work = {row["work"]: row for row in sorted(rows, key=lambda row: bool(row["interpreter"] == run["interpreter"]))}
    others = list(dict.fromkeys(name for row in rows for name in row["ratios"]))
    cells = []
    for work, row in of_work.items():
        times = {OURS: f"{number(row['milliseconds'])} ms"}
        times.update({name: f"{ratio:.2f}" for name, (ratio, _, _) in row["ratios"].items()})
        where = "" if row["interpreter"] == run["interpreter"] else f" ({row['interpreter']})"
        cells.append([work + where, *(_with_lines(times, row["lines"], name) for name in [OURS, *others])])
    return f"{_measured_on(run)}\n\n{_table(['work', OURS, *others], cells)}"


def _with_lines(times: dict[str, str], lines: dict[str, int], name: str) -> str:
    if name not in times:
        return NONE
    return f"{times[name]}, {lines[name]} line{'' if lines[name] == 1 else 's'}"


def scale_table(run: dict[str, Any]) -> str:
    """What very many calls, managers and links took, and left behind, in one run."""
    columns = {
        "seconds": "seconds",
        "threads": "threads at most",
        "memory, MiB": "memory at most, MiB",
        "threads left in the end": "threads left in the end",
        "memory left in the end, MiB": "memory left in the end, MiB",
    }
    cells = [
        [name, *(number(observed[key]) if key in observed else NONE for key in columns)]
        for name, observed in _reports(run)["scale"].notes.items()
    ]
    return f"{_measured_on(run)}\n\n{_table(['work', *columns.values()], cells)}"


def _reports(run: dict[str, Any]) -> dict[str, Report]:
    return {script: Report.from_json(data) for script, data in run["reports"].items()}


def _measured_on(run: dict[str, Any]) -> str:
    return f"Measured on {run['interpreter']}, {run['machine']}."


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    kept = read(FILE)
    write_page(run_of(kept), kept, HERE.parent / "docs" / PAGE)
