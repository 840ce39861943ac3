"""Each benchmark runs, and says what it found in a form that can be read. What it finds is not looked at here."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import parallel
from helpers import IS_QUICK, Rotation

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
LIMIT = 120.0

SCRIPTS = (
    "all_cores",
    "chain",
    "cpu_bound",
    "fan_out",
    "held",
    "idle",
    "import_time",
    "limit",
    "real_work",
    "round_trip",
    "scale",
    "sizes",
    "timeline",
    "with_block",
)

MARKS_OF_SENTENCES = ("conclusions", "calls", "links", "managers", "unfinished calls")

pytestmark = pytest.mark.skipif(not BENCHMARKS.is_dir(), reason="benchmarks/ is in the repository only")


def run(script: str, *arguments: str) -> str:
    """Runs a script with the library that is under test; gives what it prints."""
    folder = str(Path(parallel.__file__).parent.parent)
    environment = {**os.environ, "PYTHONPATH": folder, "PYTHONIOENCODING": "utf-8"}
    command = [sys.executable, str(BENCHMARKS / f"{script}.py"), "--size", "tiny", *arguments]
    # Other packages' warnings are not what is tested.
    environment.pop("PYTHONWARNINGS", None)
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, env=environment, timeout=LIMIT)
    return done.stdout.decode("utf-8")


def check_spread(spread: dict[str, float]) -> None:
    assert 0 < spread["low"] <= spread["median"] <= spread["high"]


def check_report(script: str, report: dict[str, Any]) -> None:
    assert report["script"] == script
    assert report["question"].endswith("?")
    for figure in report["figures"]:
        assert all(figure[each] for each in ("work", "contestant", "unit"))
        check_spread(figure["spread"])
    for ratio in report["ratios"]:
        assert ratio["work"]
        assert ratio["against"] != "parallel"
        check_spread(ratio["spread"])
        assert ratio["at_most"] is None or ratio["at_most"] > 0
    if report["figures"]:
        assert "parallel" in {figure["contestant"] for figure in report["figures"]}
    else:
        assert report["left_out"]


@pytest.mark.parametrize("script", Rotation(SCRIPTS).some(4 if IS_QUICK else len(SCRIPTS)))
def test_a_script_reports_what_it_measured(script: str) -> None:
    check_report(script, json.loads(run(script, "--json")))


def test_a_script_prints_a_report_to_be_read() -> None:
    printed = run("timeline")
    assert printed.startswith("timeline: ")
    assert "one after the other" in printed


def test_every_script_is_one_that_the_runner_runs() -> None:
    source = (BENCHMARKS / "run.py").read_text(encoding="utf-8")
    listed = re.search(r"^SCRIPTS = \((.*?)\)", source, re.DOTALL | re.MULTILINE)
    assert listed is not None
    assert sorted(re.findall(r'"(\w+)"', listed.group(1))) == sorted(SCRIPTS)
    measuring = [path.stem for path in BENCHMARKS.glob("*.py") if "    main(measure" in path.read_text("utf-8")]
    assert sorted(measuring) == sorted(SCRIPTS)


def test_the_runner_shows_goals_and_writes_all_figures(tmp_path: Path) -> None:
    printed = run("run", "--only", "round_trip", "--only", "timeline", "--output", str(tmp_path))
    assert re.search(r"^\d of 3 goals met$", printed, re.MULTILINE)
    (data,) = tmp_path.glob("*.json")
    reports = json.loads(data.read_text(encoding="utf-8"))["reports"]
    assert set(reports) == {"round_trip", "timeline"}
    for script, report in reports.items():
        check_report(script, report)


def test_the_page_has_marks_for_all_tables() -> None:
    page = BENCHMARKS.parent / "docs" / "performance.md"
    text = page.read_text(encoding="utf-8")
    for mark in (*MARKS_OF_SENTENCES, "goals", "contestants", "all cores", "scale", "real work"):
        begin, end = text.find(f"<!-- {mark}: begin -->"), text.find(f"<!-- {mark}: end -->")
        assert 0 <= begin < end


def test_figures_go_into_the_page_between_its_marks(tmp_path: Path) -> None:
    program = f"""
import json, sys
sys.path.insert(0, {str(BENCHMARKS)!r})
from dataclasses import asdict
from pathlib import Path
from figures import merge, read, rows_of, write
from measuring import Figure, Ratio, Report, Spread
from performance_page import write_page

folder = Path({str(tmp_path)!r})
file = folder / "figures.json"
NAMES = ("round_trip", "chain", "fan_out", "with_block", "all_cores", "scale", "sizes", "real_work")
MARKS = (*{MARKS_OF_SENTENCES}, "goals", "contestants", "all cores", "scale", "real work")
marks = [f"<!-- {{mark}}: begin -->\\nOUTDATED\\n<!-- {{mark}}: end -->\\n" for mark in MARKS]
(folder / "performance.md").write_text("before\\n" + "".join(marks) + "after\\n", encoding="utf-8")
for version, value in (("3.9.1", 0.5), ("3.10.2", 1.5), ("3.9.2", 0.75)):
    spread = Spread(value, value, value)
    reports = {{name: Report(name, "?") for name in NAMES}}
    reports["round_trip"].ratios.append(Ratio("work", "another", spread, 1.0))
    reports["round_trip"].figures.append(Figure("round trip", "parallel", "s", spread))
    reports["scale"].notes["3 things"] = {{"seconds": value}}
    real = reports["real_work"]
    work = "primes" if value > 1 else "requests"
    real.figures += [Figure(work, "parallel", "ms", spread), Figure(work, "another", "ms", spread)]
    real.ratios.append(Ratio(work, "another", spread))
    real.data[work] = {{"parallel": 1, "another": 2}}
    run = {{"interpreter": "CPython " + version, "machine": "Here"}}
    run["reports"] = {{name: asdict(report) for name, report in reports.items()}}
    write(file, merge(read(file), rows_of(run)))
    write_page(run, read(file), folder / "performance.md")
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=LIMIT)
    page = (tmp_path / "performance.md").read_text(encoding="utf-8")
    assert page.startswith("before\n<!-- conclusions: begin -->\n1. ")
    assert page.endswith("\n<!-- real work: end -->\nafter\n")
    assert "OUTDATED" not in page
    assert "| work | against | at most | CPython 3.9.2 | CPython 3.10.2 |" in page
    assert "| work | another | 1.00 | 0.75 | 1.50 **short** |" in page
    assert "| 3 things | 0.75 |" in page
    assert "| requests | 0.75 ms, 1 line | 0.75, 2 lines |" in page
    assert "| primes (CPython 3.10.2) | 1.5 ms, 1 line | 1.50, 2 lines |" in page
    figures = (tmp_path / "figures.json").read_text(encoding="utf-8").splitlines()
    assert figures[0] == "["
    assert json.loads(figures[1].rstrip(","))["interpreter"] == "CPython 3.9.2"
    assert json.loads(figures[2].rstrip(","))["interpreter"] == "CPython 3.10.2"


def test_the_page_says_what_the_figures_say(tmp_path: Path) -> None:
    shown = BENCHMARKS.parent / "docs" / "performance.md"
    program = f"""
import sys
sys.path.insert(0, {str(BENCHMARKS)!r})
from pathlib import Path
from figures import FILE, read, run_of
from performance_page import write_page

page = Path({str(tmp_path)!r}) / "performance.md"
page.write_text(Path({str(shown)!r}).read_text(encoding="utf-8"), encoding="utf-8")
write_page(run_of(read(FILE)), read(FILE), page)
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=LIMIT)
    assert (tmp_path / "performance.md").read_text(encoding="utf-8") == shown.read_text(encoding="utf-8")


def test_the_plots_can_be_drawn_from_the_figures_that_are_kept() -> None:
    rows = json.loads((BENCHMARKS / "figures.json").read_text(encoding="utf-8"))
    assert {row["plot"] for row in rows if "plot" in row} == {"title", "ratios", "timeline"}
    assert len({row["interpreter"] for row in rows if "goal" in row}) > 1
