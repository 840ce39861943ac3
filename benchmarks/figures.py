"""The file figures.json, one figure a line: the goals on each interpreter, and one run for the plots and the tables."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, Dict, Iterator

from measuring import HERE, Figure, Ratio, Report, Spread, cores

FILE = HERE / "figures.json"

Row = Dict[str, Any]
"""A figure. It has the key ``goal``; or ``plot``, which names the plot that shows it; or it belongs to the one run.

Of the run there are: a row with the key ``run``; and for each script one with ``cores``, and those with its ``figure``s,
``ratio``s and ``note``s.
"""

PLOTTED_WORK = {
    "round_trip": "round trip",
    "chain": "chain of 3",
    "fan_out": "1,000 calls at once",
    "with_block": "with of 3",
}
"""By script, the work that the plot of ratios has a panel for."""


def rows_of(run: dict[str, Any]) -> list[Row]:
    """Returns the figures of a run that the file keeps."""
    reports = {script: Report.from_json(data) for script, data in run["reports"].items()}
    title = {"plot": "title", "text": f"{run['interpreter']}, {cores()} cores"}
    return [*_goals(run["interpreter"], reports), title, *_plotted(reports), *_kept(run, reports)]


def run_of(rows: list[Row]) -> dict[str, Any]:
    """Makes the run out of the rows that the file keeps of it, with medians alone."""
    reports: dict[str, Report] = {}
    run: dict[str, Any] = {}
    for row in rows:
        if "run" in row:
            run.update(row["run"])
        elif "cores" in row:
            reports[row["script"]] = Report(row["script"], "", cores=row["cores"])
        elif "figure" in row:
            work, contestant, unit, median, *calls = row["figure"]
            figure = Figure(work, contestant, unit, Spread(median, median, median), *calls)
            reports[row["script"]].figures.append(figure)
        elif "note" in row:
            reports[row["script"]].notes[row["note"]] = row["values"]
        elif "script" in row:
            work, against, median = row["ratio"]
            reports[row["script"]].ratios.append(Ratio(work, against, Spread(median, median, median)))
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
    """Returns the new figures, and the goals of other interpreters among the old ones.

    A newer patch release takes the place of the older one.
    """
    replaced = {series(row["interpreter"]) for row in new if "goal" in row}
    goals = [row for row in old if "goal" in row and series(row["interpreter"]) not in replaced]
    goals.extend(row for row in new if "goal" in row)
    goals.sort(key=lambda row: _key(series(row["interpreter"])))
    return [*goals, *(row for row in new if "goal" not in row)]


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


def _plotted(reports: dict[str, Report]) -> Iterator[Row]:
    if reports.keys() >= PLOTTED_WORK.keys():
        for script, work in PLOTTED_WORK.items():
            for each in reports[script].ratios:
                if each.work == work:
                    times = _short(1 / each.spread.median)
                    yield {"plot": "ratios", "work": work, "contestant": each.against, "times": times}
    if "sizes" in reports:
        for figure in reports["sizes"].figures:
            line = {"work": figure.work, "contestant": figure.contestant}
            yield {"plot": "sizes", **line, "size": figure.calls, "microseconds": _short(figure.spread.median)}
    if "timeline" in reports:
        for way, calls in reports["timeline"].data.items():
            spans = [[_short(begin, 3), _short(end, 3)] for begin, end in calls]
            yield {"plot": "timeline", "way": way, "seconds": spans}


def _kept(run: dict[str, Any], reports: dict[str, Report]) -> Iterator[Row]:
    yield {"run": {"interpreter": run["interpreter"], "machine": run["machine"]}}
    for script, report in reports.items():
        yield {"script": script, "cores": report.cores}
        for figure in report.figures:
            calls = [] if figure.calls is None else [figure.calls]
            taken = [figure.work, figure.contestant, figure.unit, _short(figure.spread.median)]
            yield {"script": script, "figure": [*taken, *calls]}
        for ratio in report.ratios:
            yield {"script": script, "ratio": [ratio.work, ratio.against, _short(ratio.spread.median)]}
        for name, values in report.notes.items():
            yield {"script": script, "note": name, "values": {key: _short(value) for key, value in values.items()}}


def _short(value: float, digits: int = 5) -> float:
    return float(f"{value:.{digits}g}")
