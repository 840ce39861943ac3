"""The examples do what they say, on every Python, and leave nothing behind."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from threading import Barrier, Lock
from typing import Any, Iterator

import pytest

from helpers import LIMIT
from parallel import ParallelExecutor, parallel

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
MISSION = [ROOT / "tests" / "example1.py", ROOT / "tests" / "example2.py"]
PROGRAMS = sorted({*EXAMPLES.glob("*.py"), EXAMPLES / "backends" / "slow_http_server.py"})

posix_only = pytest.mark.skipif(
    os.name != "posix", reason="this system has no file names, links, pipes and terminals as POSIX has them"
)


def run(program: Path, *args: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    command: list[str | Path] = [sys.executable, "-W", "error", program, *args]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "errors": "surrogateescape", **options}
    return subprocess.run(command, timeout=LIMIT, check=False, encoding="utf-8", **options)


def output_of(program: Path, *args: str | Path, **options: Any) -> str:
    done = run(program, *args, **options)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def digest_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def assert_accepted_by_sha256sum(sums: str, folder: Path) -> None:
    if shutil.which("sha256sum") is None:
        return
    (folder / "sums").write_bytes(os.fsencode(sums))
    check = ["sha256sum", "-c", "--quiet", "--strict", "sums"]
    done = subprocess.run(check, cwd=folder, capture_output=True, timeout=LIMIT, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_every_program_explains_itself(program: Path) -> None:
    assert output_of(program, "--help").startswith(f"usage: {program.name} [-h]")


@pytest.mark.parametrize("program", MISSION, ids=lambda program: program.name)
def test_the_shortest_examples_run(program: Path) -> None:
    assert output_of(program) == ""


def test_examples_pass_the_type_checker() -> None:
    pytest.importorskip("mypy")
    command: list[str | Path] = [sys.executable, "-m", "mypy", *MISSION, *PROGRAMS]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=10 * LIMIT, check=False)
    assert done.returncode == 0, done.stdout


def test_quickstart_prints_the_answers_and_the_time_that_it_saved() -> None:
    answers, in_turn, at_once = output_of(EXAMPLES / "quickstart.py").splitlines()
    assert answers == "Ada from London ordered a kettle and a cup; 1 EUR is 1.09 USD"
    slow = re.fullmatch(r"one after the other: (\d+\.\d) s", in_turn)
    fast = re.fullmatch(r"in parallel:         (\d+\.\d) s", at_once)
    assert slow
    assert fast
    assert float(fast[1]) < float(slow[1])


def test_hash_tree_lists_a_package_of_the_standard_library(tmp_path: Path) -> None:
    package = Path(os.__file__).parent / "email"
    shutil.copytree(package, tmp_path / "email", ignore=shutil.ignore_patterns("__pycache__"))
    sums = output_of(EXAMPLES / "hash_tree.py", "email", cwd=tmp_path)
    paths = sorted(path for path in (tmp_path / "email").rglob("*") if path.is_file())
    assert len(paths) > 20
    assert sorted(sums.splitlines()) == sorted(
        f"{digest_of(path.read_bytes())}  {path.relative_to(tmp_path)}".replace("\\", "\\\\") for path in paths
    )
    assert_accepted_by_sha256sum(sums, tmp_path)


@posix_only
@pytest.mark.parametrize("at_once", ["1", "3", "100"])
def test_hash_tree_escapes_names_and_sorts_them(tmp_path: Path, at_once: str) -> None:
    names = [b"-", b"a b", b"a\\b", b"a\nb", b"a\r", "\N{SNOWMAN}".encode(), b"z/y/x"]
    if sys.platform == "linux":
        names.append(b"\xff\xfe")
    for name in names:
        path = tmp_path / "tree" / os.fsdecode(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name * 10)
    sums = output_of(EXAMPLES / "hash_tree.py", "--at-once", at_once, ".", cwd=tmp_path / "tree")
    escaped = {b"a\\b": rb"a\\b", b"a\nb": rb"a\nb", b"a\r": rb"a\r"}
    assert os.fsencode(sums).splitlines() == [
        (b"\\" if name in escaped else b"") + digest_of(name * 10).encode() + b"  ./" + escaped.get(name, name)
        for name in sorted(names)
    ]
    assert_accepted_by_sha256sum(sums, tmp_path / "tree")


@posix_only
def test_hash_tree_follows_links_to_files_and_skips_what_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "broken").symlink_to("nowhere")
    (tmp_path / "below-a-file").symlink_to("file/nothing")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "folder").symlink_to(".")
    os.mkfifo(tmp_path / "pipe")
    sums = output_of(EXAMPLES / "hash_tree.py", ".", cwd=tmp_path)
    assert sums == f"{digest_of(b'content')}  ./file\n{digest_of(b'content')}  ./link\n"


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="this system has no file that not even root can read")
def test_hash_tree_reports_unreadable_files_after_the_rest(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")
    (tmp_path / "b").symlink_to("/proc/self/mem")
    (tmp_path / "c").write_bytes(b"")
    done = run(EXAMPLES / "hash_tree.py", ".", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr == "./b: Input/output error\n"
    assert done.stdout == f"{digest_of(b'')}  ./a\n{digest_of(b'')}  ./c\n"


def test_hash_tree_reports_a_missing_folder(tmp_path: Path) -> None:
    done = run(EXAMPLES / "hash_tree.py", tmp_path / "nowhere")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"{tmp_path / 'nowhere'}: ")


def load(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_hash_tree_reads_as_many_files_at_once_as_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    hash_tree = load("hash_tree")

    three_inside = Barrier(3)
    lock = Lock()
    inside = 0
    most = 0

    def line_for(path: str) -> bytes:
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        three_inside.wait(LIMIT)
        with lock:
            inside -= 1
        return path.encode()

    monkeypatch.setattr(hash_tree, "line_for", line_for)
    paths = [str(number) for number in range(12)]
    assert sorted((path, call.result()) for path, call in hash_tree.hash_all(paths, 3)) == sorted(
        (path, path.encode()) for path in paths
    )
    assert most == 3


@posix_only
def test_hash_tree_shows_its_progress_on_a_terminal(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / str(number)).write_bytes(b"")
    controller, terminal = os.openpty()
    os.set_blocking(controller, False)
    try:
        done = run(EXAMPLES / "hash_tree.py", tmp_path, stderr=terminal)
        shown = os.read(controller, 10_000)
    finally:
        os.close(controller)
        os.close(terminal)
    assert done.stdout.count("\n") == 3
    assert shown == b"\r1 of 3 files\r2 of 3 files\r3 of 3 files\r\n"


@pytest.mark.parametrize("name", ["quickstart", "hash_tree", "start_services"])
def test_the_first_examples_are_short(name: str) -> None:
    assert len((EXAMPLES / f"{name}.py").read_text(encoding="utf-8").splitlines()) < 90


def test_the_slow_server_reports_a_missing_folder(tmp_path: Path) -> None:
    done = run(EXAMPLES / "backends" / "slow_http_server.py", tmp_path / "nowhere", stdin=subprocess.DEVNULL)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.endswith(f": error: {tmp_path / 'nowhere'} is not a folder\n")


def test_start_services_stores_all_pages_of_both_servers() -> None:
    start_services = load("start_services")

    @contextmanager
    def database() -> Iterator[sqlite3.Connection]:
        with start_services.database() as store:
            yield store
            stored.extend(store.execute("SELECT address, text FROM page WHERE address LIKE 'http:%'"))

    stored: list[tuple[str, str]] = []
    services = parallel(start_services.web_server("one")).parallel(start_services.web_server("two"))
    start_services.seconds_of(
        services.parallel(database()), lambda addresses: ParallelExecutor().map(start_services.fetch, addresses)
    )
    assert len({address for address, _ in stored}) == 30
    assert [text for _, text in stored] == [
        f"<h1>Page {n} of {name}</h1>" for name in ("one", "two") for n in range(15)
    ]


def test_start_services_is_faster_in_parallel_and_leaves_nothing(tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    # Modules are compiled before, not once more in each server: all processors would be busy with that.
    cache = {"PYTHONPYCACHEPREFIX": str(tmp_path / "cache"), "PYTHONDONTWRITEBYTECODE": ""}
    env = {**os.environ, **cache, "TMPDIR": str(temporary)}
    output_of(EXAMPLES / "start_services.py", "--help", env=env)
    output_of(EXAMPLES / "backends" / "slow_http_server.py", "--help", env=env)
    # A burst of other programs' work may fall on one half of a run and not on the other.
    assert any(services_were_clearly_faster(env, temporary) for _ in range(5))


def services_were_clearly_faster(env: dict[str, str], temporary: Path) -> bool:
    command: list[str | Path] = [sys.executable, "-W", "error", EXAMPLES / "start_services.py"]
    with subprocess.Popen(
        command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            output, errors = process.communicate(timeout=LIMIT)
        finally:
            process.kill()
    assert (process.returncode, errors) == (0, "")
    assert list(temporary.iterdir()) == []
    if hasattr(os, "killpg"):
        with pytest.raises(ProcessLookupError):
            os.killpg(process.pid, 0)  # Its servers would be in its group.

    rows = re.findall(r"^(.*\S) +(\d+\.\d+) s +(\d+\.\d+) s$", output, re.MULTILINE)
    assert [what for what, *_ in rows] == ["start 3 services", "fetch and store 30 pages", "stop 3 services"]
    (start, start_in_turn), (fetch, fetch_in_turn), _ = ((float(fast), float(slow)) for _, fast, slow in rows)
    return start < 0.8 * start_in_turn and fetch < 0.5 * fetch_in_turn
