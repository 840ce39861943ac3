"""The file figures.json, one figure a line: goals and real work on each interpreter, and a run for plots and tables."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, Dict, Iterator

from measuring import HERE, OURS, Figure, Report, Spread, cores

FILE = HERE / "figures.json"

Row = Dict[str, Any]
"""A figure. It has the key ``goal``, or ``lines`` (real work), or ``plot``, which names the plot that shows it.

Or it belongs to the run that the page's tables show: a row with the key ``run``; for each script a row with ``cores``;
and rows with a ``figure`` or a ``note`` of a script.
"""

PLOTTED_WORK = {
    "round_trip": "round trip",
    "chain": "chain of 3",
    "fan_out": "1,000 calls at once",
    "with_block": "with of 3",
}
"""By script, the work that the plot of ratios has a panel for."""


TABLED = (*PLOTTED_WORK, "all_cores", "scale", "sizes")
"""The scripts whose figures the page shows or speaks of."""


def rows_of(run: dict[str, Any]) -> list[Row]:
    """Returns the figures of a run that the file keeps."""
    reports = {script: Report.from_json(data) for script, data in run["reports"].items()}
    title = {"plot": "title", "text": f"{run['interpreter']}, {cores()} cores"}
    return [
        *_goals(run["interpreter"], reports),
        *_real_work(run["interpreter"], reports),
        title,
        *_plotted(reports),
        *_tabled(run, reports),
    ]


def run_of(rows: list[Row]) -> dict[str, Any]:
    """Returns the run that the rows are of, as far as the page shows it."""
    run: dict[str, Any] = {}
    reports: dict[str, Report] = {}
    for row in rows:
        if "run" in row:
            run = row["run"]
        elif "cores" in row:
            reports[row["script"]] = Report(row["script"], "", cores=row["cores"])
        elif "note" in row:
            reports[row["script"]].notes[row["note"]] = row["values"]
        elif "figure" in row:
            work, contestant, unit, median, *calls = row["figure"]
            figure = Figure(work, contestant, unit, Spread(median, median, median), *calls)
            reports[row["script"]].figures.append(figure)
    return {**run, "reports": {script: asdict(report) for script, report in reports.items()}}


def read(path: Path) -> list[Row]:
    """Reads the file, if there is one."""
    rows: list[Row] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    return rows


def write(path: Path, rows: list[Row]) -> None:
    """Writes the file: a list, with one figure a line."""
    lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    path.write_text(f"[\n{lines}\n]\n", encoding="utf-8")


def merge(old: list[Row], new: list[Row]) -> list[Row]:
    """Returns the new figures, and the goals and the real work of other interpreters among the old ones.

    A newer patch release takes the place of the older one.
    """
    merged: list[Row] = []
    for kind in ("goal", "lines"):
        replaced = {series(row["interpreter"]) for row in new if kind in row}
        rows = [row for row in old if kind in row and series(row["interpreter"]) not in replaced]
        rows.extend(row for row in new if kind in row)
        merged.extend(sorted(rows, key=lambda row: _key(series(row["interpreter"]))))
    return [*merged, *(row for row in new if "goal" not in row and "lines" not in row)]


def series(interpreter: str) -> str:
    """Returns the name of an interpreter without its patch release."""
    name, version, *rest = interpreter.split()
    return " ".join([name, ".".join(version.split(".")[:2]), *rest])


def _key(name: str) -> tuple[str, list[int], list[str]]:
    kind, version, *rest = name.split()
    return kind, [int(part) for part in version.split(".")], rest


def _goals(interpreter: str, reports: dict[str, Report]) -> Iterator[Row]:
    for report in reports.values():
        for each in report.ratios:
            if each.at_most is not None:
                yield {
                    "interpreter": interpreter,
                    "work": each.work,
                    "against": each.against,
                    "goal": each.at_most,
                    "ratio": _short(each.spread.median),
                }


def _real_work(interpreter: str, reports: dict[str, Report]) -> Iterator[Row]:
    if "real_work" in reports:
        report = reports["real_work"]
        for figure in report.figures:
            if figure.contestant == OURS:
                ratios = {each.against: each.spread for each in report.ratios if each.work == figure.work}
                yield {
                    "interpreter": interpreter,
                    "work": figure.work,
                    "milliseconds": _short(figure.spread.median),
                    "lines": report.data[figure.work],
                    "ratios": {
                        name: [_short(value, 3) for value in (spread.median, spread.low, spread.high)]
                        for name, spread in ratios.items()
                    },
                }


def _plotted(reports: dict[str, Report]) -> Iterator[Row]:
    if reports.keys() >= PLOTTED_WORK.keys():
        for script, work in PLOTTED_WORK.items():
            for each in reports[script].ratios:
                if each.work == work:
                    times = _short(1 / each.spread.median)
                    yield {"plot": "ratios", "work": work, "contestant": each.against, "times": times}
    if "timeline" in reports:
        for way, calls in reports["timeline"].data.items():
            spans = [[_short(begin, 3), _short(end, 3)] for begin, end in calls]
            yield {"plot": "timeline", "way": way, "seconds": spans}


def _tabled(run: dict[str, Any], reports: dict[str, Report]) -> Iterator[Row]:
    yield {"run": {"interpreter": run["interpreter"], "machine": run["machine"]}}
    for script in TABLED:
        if script in reports:
            yield {"script": script, "cores": reports[script].cores}
            for each in reports[script].figures:
                figure = [each.work, each.contestant, each.unit, _short(each.spread.median)]
                yield {"script": script, "figure": figure if each.calls is None else [*figure, each.calls]}
            for name, values in reports[script].notes.items():
                yield {"script": script, "note": name, "values": {key: _short(each) for key, each in values.items()}}


def _short(value: float, digits: int = 5) -> float:
    return float(f"{value:.{digits}g}")
