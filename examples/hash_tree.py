"""Prints the SHA-256 of every file under a folder, as sha256sum does; `sha256sum -c` checks the list."""

from __future__ import annotations

import argparse
import hashlib
import os
import stat
import sys
from concurrent.futures import Future, as_completed
from pathlib import Path
from typing import Any, Iterator

from parallel import ParallelExecutor, parallel_map


def line_for(path: str) -> bytes:
    """Makes a file's line of the list; none for a link to nothing, a pipe, a socket or a device."""
    try:
        mode = Path(path).stat().st_mode
    except OSError as error:
        if Path(path).is_symlink() and not isinstance(error, PermissionError):
            return b""
        raise
    if not stat.S_ISREG(mode):
        return b""
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    # A backslash before the line says that there are more in the name, before characters that would break it.
    name = os.fsencode(path).replace(b"\\", b"\\\\").replace(b"\n", b"\\n").replace(b"\r", b"\\r")
    return (b"\\" if b"\\" in name else b"") + digest.hexdigest().encode() + b"  " + name + b"\n"


def hash_all(paths: list[str], at_once: int) -> Iterator[tuple[str, Future[bytes]]]:
    """Yields each path with its call, as the calls end."""
    calls = parallel_map(line_for, paths, executor=ParallelExecutor(max_workers=at_once))
    path_of: dict[Future[Any], str] = dict(zip(calls.futures, paths))
    for call in as_completed(calls.futures):
        yield path_of[call], call


def main() -> None:
    """Prints the list in the order of the paths, each line as soon as those before it are there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", metavar="FOLDER")
    parser.add_argument(
        "--at-once", type=int, metavar="N", default=4 * (os.cpu_count() or 1), help="files read at once (%(default)s)"
    )
    options = parser.parse_args()
    if options.at_once < 1:
        parser.error(f"--at-once must be at least 1, not {options.at_once}")
    errors: list[str] = []
    top: str = options.folder
    tree = os.walk(top, onerror=lambda error: errors.append(f"{os.fsdecode(error.filename)}: {error.strerror}"))
    # A Path would make `./-` a `-`, by which sha256sum means its standard input.
    paths = sorted((os.path.join(folder, name) for folder, _, names in tree for name in names), key=os.fsencode)  # noqa: PTH118
    lines: dict[str, bytes] = {}
    unprinted = paths[::-1]
    for count, (path, call) in enumerate(hash_all(paths, options.at_once), 1):
        try:
            lines[path] = call.result()
        except OSError as error:
            lines[path] = b""
            errors.append(f"{path}: {error.strerror}")
        while unprinted and unprinted[-1] in lines:
            sys.stdout.buffer.write(lines.pop(unprinted.pop()))
        if sys.stderr.isatty():
            print(f"\r{count} of {len(paths)} files", end="" if unprinted else "\n", file=sys.stderr, flush=True)
    sys.exit("\n".join(errors) or 0)


if __name__ == "__main__":
    main()
