"""Counts the lines of the Python files under a folder, and shows how far it is: with tqdm, with rich or by itself."""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import Future, as_completed
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Callable, Iterable, Iterator

from parallel import ParallelExecutor, parallel_map

Calls = Iterable["Future[Any]"]


def count_lines(file: Path) -> int:
    """Counts the lines of a file."""
    return file.read_bytes().count(b"\n")


def with_tqdm(ended: Calls, total: int) -> Iterable[object]:
    """Shows a bar of tqdm's, on the standard error stream."""
    tqdm: Any = import_module("tqdm")
    bar: Iterable[object] = tqdm.tqdm(ended, total=total, unit=" files")
    return bar


def with_rich(ended: Calls, total: int) -> Iterable[object]:
    """Shows a bar of rich's, on the standard error stream."""
    console: Any = import_module("rich.console").Console(stderr=True)
    bar: Iterable[object] = import_module("rich.progress").track(ended, "Counting", total, console=console)
    return bar


def with_numbers(ended: Calls, total: int) -> Iterator[object]:
    """Shows two numbers, on the standard error stream."""
    for count, call in enumerate(ended, 1):
        print(f"\r{count} of {total} files", end="" if count < total else "\n", file=sys.stderr, flush=True)
        yield call


BARS: dict[str, Callable[[Calls, int], Iterable[object]]] = {
    "tqdm": with_tqdm,
    "rich": with_rich,
    "numbers": with_numbers,
}


def main() -> None:
    """Prints the number of lines, and the longest file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", metavar="FOLDER", type=Path)
    parser.add_argument("--bar", choices=BARS, help="the first of them that is there")
    options = parser.parse_args()
    if not options.folder.is_dir():
        parser.error(f"{options.folder} is not a folder")
    bar = options.bar or next(name for name in BARS if name == "numbers" or find_spec(name))
    if bar != "numbers" and not find_spec(bar):
        sys.exit(f"This needs {bar}: uv run --group integrations python examples/progress.py")

    files = sorted(options.folder.rglob("*.py"))
    # A thread for each of thousands of files would be too much for the disk.
    with ParallelExecutor(max_workers=8) as executor:
        calls = parallel_map(count_lines, files, executor=executor)
        futures = calls.futures
        for _ in BARS[bar](as_completed(futures), len(futures)):
            pass  # A program that uses each result as soon as it arrives would do so here.
        lines = calls.results()
    print(f"{sum(lines):,} lines in {len(files)} files")
    if files:
        most, longest = max(zip(lines, files))
        print(f"the longest is {longest} with {most:,}")


if __name__ == "__main__":
    main()
