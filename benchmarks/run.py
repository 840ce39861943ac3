# /// script
# requires-python = ">= 3.8"
# dependencies = [
#     "python-parallel",
#     "anyio >= 4",
#     "joblib >= 1.3",
#     "matplotlib >= 3.7; platform_python_implementation == 'CPython'",
#     "trio >= 0.26",
# ]
#
# [tool.uv]
# exclude-newer = "2026-11-01T00:00:00Z"
#
# [tool.uv.sources]
# python-parallel = { path = "..", editable = true }
# ///
"""Measures everything, and shows it beside the goals.

    uv run benchmarks/run.py                          # all of it, in some minutes
    uv run --python 3.13 benchmarks/run.py --quick    # another interpreter; rough figures, sooner
    uv run benchmarks/run.py --only round_trip        # one question; may be given several times
    uv run benchmarks/run.py --write-docs             # all of it, and into docs/ and figures.json

Without uv it runs on whatever interpreter it is given, with the contestants that are installed there.
Each script of this folder answers one question, in a process of its own, and can be run alone.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from time import perf_counter
from typing import Any, Sequence

from figures import FILE, merge, read, rows_of, run_of, write
from measuring import HERE, SIZES, Report, as_text, interpreter, machine, ratio_rows
from performance_page import PAGE, write_page
from plots import DOCS, draw

SCRIPTS = (
    "round_trip",
    "chain",
    "fan_out",
    "held",
    "limit",
    "with_block",
    "all_cores",
    "import_time",
    "cpu_bound",
    "idle",
    "scale",
    "sizes",
    "real_work",
    "timeline",
)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="full", help="how much is measured")
    parser.add_argument("--quick", dest="size", action="store_const", const="quick", help="the same as --size quick")
    parser.add_argument("--only", metavar="NAME", action="append", choices=SCRIPTS, help=f"one of {', '.join(SCRIPTS)}")
    parser.add_argument(
        "--write-docs",
        action="store_true",
        help="put the figures and plots into docs/, and the figures that they need into figures.json",
    )
    parser.add_argument(
        "--output",
        metavar="FOLDER",
        type=Path,
        default=HERE.parent / "build" / "benchmarks",
        help="where the JSON and the plots go (by default %(default)s)",
    )
    options = parser.parse_args(arguments)
    if options.write_docs and (options.only or options.size != "full"):
        parser.error("--write-docs takes the figures of a whole run: leave out --only, --quick and --size")
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(encoding="utf-8")  # Wherever it goes.

    run = measure_all(options.only or SCRIPTS, options.size)
    options.output.mkdir(parents=True, exist_ok=True)
    name = run["interpreter"].replace(" ", "-").lower()
    (options.output / f"{name}.json").write_text(json.dumps(run, indent=1), encoding="utf-8")
    show_goals(run)
    rows = rows_of(run)
    plots = draw(rows, options.output)
    print(f"\nAll figures: {options.output / name}.json")
    print(
        f"Plots: {', '.join(map(str, plots)) or 'none: matplotlib is not installed, or there are no figures for them'}"
    )
    if options.write_docs:
        rows = merge(read(FILE), rows)
        write(FILE, rows)
        draw(rows, DOCS)
        write_page(run_of(rows), rows, DOCS / PAGE)
        print(f"Written into {DOCS} and {FILE}")


def measure_all(scripts: Sequence[str], size: str) -> dict[str, Any]:
    """Runs scripts, each in a process of its own, and shows their reports."""
    run: dict[str, Any] = {
        "interpreter": interpreter(),
        "machine": machine(),
        "size": size,
        "reports": {},
    }
    print(f"{run['interpreter']}, {run['machine']}, load {load()}\n", flush=True)
    for script in scripts:
        began = perf_counter()
        command = [sys.executable, str(HERE / f"{script}.py"), "--size", size, "--json"]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
        run["reports"][script] = json.loads(done.stdout)
        print(as_text(Report.from_json(run["reports"][script])))
        print(f"  ({perf_counter() - began:.0f} s, load {load()})\n", flush=True)
    return run


def load() -> str:
    """How busy the machine has been for a minute: ratios stand a lot of it, figures do not."""
    return f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"


def show_goals(run: dict[str, Any]) -> None:
    """Prints the ratios that there is a goal for."""
    reports = [Report.from_json(data) for data in run["reports"].values()]
    goals = [each for report in reports for each in report.ratios if each.at_most is not None]
    print(f"Goals on {run['interpreter']} ({run['size']}):")
    for row in ratio_rows(goals):
        print(f"  {row}")
    left_out = {f"{name}: {reason}" for report in reports for name, reason in report.left_out.items()}
    for each in sorted(left_out):
        print(f"  left out: {each}")
    short = sum(each.verdict == "short" for each in goals)
    print(f"{len(goals) - short} of {len(goals)} goals met")


if __name__ == "__main__":
    main()
