"""The examples that use other packages, or asyncio, do what they say; where a package is missing, they say so."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from importlib.util import find_spec
from pathlib import Path
from typing import Iterator

import pytest

from helpers import LIMIT
from parallel import parallel, parallel_map
from test_examples import EXAMPLES, output_of, run

IN_PROCESS_WITHOUT = """
import runpy, sys
missing, *sys.argv = sys.argv[1:]
sys.modules.update(dict.fromkeys(missing.split()))
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def needs(package: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(find_spec(package) is None, reason=f"{package} is not installed")


def run_without(packages: str, program: str, *args: str | Path) -> subprocess.CompletedProcess[str]:
    """Runs an example as if these packages were not installed."""
    command = [sys.executable, "-W", "error", "-c", IN_PROCESS_WITHOUT, packages, str(EXAMPLES / program)]
    return subprocess.run(
        [*command, *map(str, args)], capture_output=True, encoding="utf-8", timeout=LIMIT, check=False
    )


# Many machines


@pytest.mark.parametrize("where", ["threads", "processes", pytest.param("dask", marks=needs("distributed"))])
def test_many_machines_prints_the_same_wherever_it_runs(where: str) -> None:
    # Without -W error: how Dask ends is its own affair.
    command = [sys.executable, str(EXAMPLES / "many_machines.py"), "--on", where]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=4 * LIMIT, check=False)
    printed = "9,592 primes below 100,000\nmost frequent word: IT\npi is about 3.14176\n"
    assert (done.returncode, done.stdout) == (0, printed), done.stderr
    page = (EXAMPLES.parent / "docs" / "how-to" / "outgrow-one-machine.md").read_text(encoding="utf-8")
    assert f"examples/many_machines.py --on dask\n{printed}```" in page


def test_many_machines_says_what_to_install() -> None:
    done = run_without("distributed", "many_machines.py", "--on", "dask")
    command = "uv run --group integrations python examples/many_machines.py --on dask"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"This needs Dask: {command}\n")
    assert run_without("distributed", "many_machines.py").returncode == 0


def test_many_machines_refuses_a_scheduler_that_it_would_not_use() -> None:
    done = run(EXAMPLES / "many_machines.py", "--on", "threads", "--scheduler", "tcp://127.0.0.1:1")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.endswith(": error: --scheduler is for --on dask\n")


# The HTTP server


@contextmanager
def http_server() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Runs the server on a free port; gives its process and its address."""
    command = [sys.executable, "-W", "error", str(EXAMPLES / "http_server.py"), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8") as process:
        try:
            assert process.stdout is not None
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


def ask(address: str, path: str, method: str = "GET") -> tuple[int, str]:
    with closing(HTTPConnection(address[len("http://") :], timeout=LIMIT)) as connection:
        connection.request(method, path)
        response = connection.getresponse()
        return response.status, response.read().decode()


def test_the_http_server_answers_from_its_three_sources() -> None:
    with http_server() as (process, address):
        assert re.fullmatch(r"http://127\.0\.0\.1:[1-9][0-9]*", address)
        assert ask(address, "/1") == (200, '{"hello": "ADA", "news": 2, "temperature": 16}\n')
        answers = parallel(ask)(address, "/4").parallel(ask)(address, "/x").parallel(ask)(address, "/1", "POST")
        assert answers.results() == (
            (404, '"there is no user 4"\n'),
            (404, '"ask for the number of a user, such as /1"\n'),
            (405, '"only GET"\n'),
        )
        names = parallel_map(lambda number: ask(address, f"/{number}")[1][:14], [1, 2, 3] * 5).results(timeout=LIMIT)
        assert names == ('{"hello": "ADA', '{"hello": "GRA', '{"hello": "BAR') * 5
        process.kill()
        assert process.communicate(timeout=LIMIT) == ("", "")


@pytest.mark.skipif(
    signal.getsignal(signal.SIGINT) is not signal.default_int_handler or sys.platform == "win32",
    reason="Ctrl-C does not reach child programs here",
)
def test_the_http_server_ends_quietly_when_it_is_told() -> None:
    with http_server() as (process, _):
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=LIMIT) == ("", "")
        assert process.returncode == 0


def test_the_http_server_answers_requests_at_once() -> None:
    address, answer, took = output_of(EXAMPLES / "http_server.py", "--self-test").splitlines()
    assert address.startswith("http://127.0.0.1:")
    assert answer == '{"hello": "ADA", "news": 2, "temperature": 16}'
    seconds = re.fullmatch(r"10 answers of 3 sources that take 0\.2 s each, in (\d+\.\d) s", took)
    assert seconds is not None
    # One after the other it would be six.
    assert float(seconds[1]) < 3


# Progress


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(3):
        (tmp_path / f"{number}.py").write_text("line\n" * number)
    return tmp_path


@pytest.mark.parametrize(
    ("bar", "shown"),
    [
        pytest.param("tqdm", r"(?s).*100%.* 3/3 .* files/s\]\n", marks=needs("tqdm")),
        pytest.param("rich", r"(?s)Counting .*100% .*\n", marks=needs("rich")),
        ("numbers", r"\n1 of 3 files\n2 of 3 files\n3 of 3 files\n"),
    ],
)
def test_progress_is_shown_while_calls_end(folder: Path, bar: str, shown: str) -> None:
    done = run(EXAMPLES / "progress.py", folder, "--bar", bar)
    assert (done.returncode, done.stdout.splitlines()) == (
        0,
        ["3 lines in 3 files", f"the longest is {folder / '2.py'} with 2"],
    )
    assert re.fullmatch(shown, done.stderr)


def test_progress_falls_back_to_what_is_there(folder: Path) -> None:
    done = run_without("tqdm rich", "progress.py", folder)
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, "3 lines in 3 files")
    assert "3 of 3 files" in done.stderr
    done = run_without("tqdm", "progress.py", folder, "--bar", "tqdm")
    command = "uv run --group integrations python examples/progress.py"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"This needs tqdm: {command}\n")


def test_progress_of_nothing_ends(tmp_path: Path) -> None:
    assert output_of(EXAMPLES / "progress.py", tmp_path, "--bar", "numbers") == "0 lines in 0 files\n"


def test_progress_reports_a_missing_folder(tmp_path: Path) -> None:
    done = run(EXAMPLES / "progress.py", tmp_path / "nowhere")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.endswith(f": error: {tmp_path / 'nowhere'} is not a folder\n")


# Tracing


@needs("opentelemetry")
def test_tracing_nests_spans_and_names_threads() -> None:
    done = run(EXAMPLES / "tracing.py")
    assert (done.returncode, done.stdout.splitlines()) == (
        0,
        [
            "Ada <ada@example.com> pays 7",
            "answer",
            "  connection to one",
            "  connection to two",
            "    fetch_price",
            "    load_user",
            "      read mail",
            "      read name",
        ],
    ), done.stderr
    assert sorted(done.stderr.splitlines()) == [
        "fetch_price: fetching the price of tea",
        "load_user: loading user 1",
        "read: reading mail",
        "read: reading name",
    ]


def test_tracing_says_what_to_install() -> None:
    done = run_without("opentelemetry", "tracing.py")
    assert (done.returncode, done.stdout) == (1, "")
    command = "uv run --group integrations python examples/tracing.py"
    assert done.stderr == f"This needs OpenTelemetry: {command}\n"


# The notebook


@needs("nbclient")
@needs("ipykernel")
@pytest.mark.skipif(sys.version_info < (3, 11), reason="the notebook is written in the syntax of 3.11")
def test_the_notebook_runs_from_top_to_bottom(tmp_path: Path) -> None:
    program = """
import sys
import nbclient, nbformat
notebook = nbformat.read(sys.argv[1], as_version=4)
nbclient.NotebookClient(notebook, timeout=60, kernel_name="python3").execute()
for cell in notebook.cells:
    for output in cell.get("outputs", []):
        print(output.get("text", "") or output["data"]["text/plain"])
"""
    # Without -W error: the kernel's warnings are its own affair.
    command = [sys.executable, "-c", program, str(EXAMPLES / "tour.ipynb")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, encoding="utf-8", timeout=10 * LIMIT, check=False)
    assert done.returncode == 0, done.stderr
    for shown in ("user 7 [0, 1, 2]", "one two", "('user 8',)", "('user 0', 'user 1',", "3 folders"):
        assert shown in done.stdout


# Many sources


def test_search_many_prints_what_has_come_and_does_not_wait_for_the_rest() -> None:
    begun = time.monotonic()
    assert output_of(EXAMPLES / "search_many.py").splitlines() == [
        "library   The Time Machine",
        "library   A Room of Time",
        "archive   Timetable of 1844",
        "shop      Time Travel for Beginners",
        "late: museum",
    ]
    # The search takes two seconds, and a busy machine some more to start Python. The late source takes for ever.
    assert time.monotonic() - begun < 8


@pytest.mark.skipif(sys.version_info[:3] == (3, 13, 0), reason="CPython 3.13.0 may crash if daemons run at its end")
def test_search_many_names_all_that_is_late() -> None:
    done = output_of(EXAMPLES / "search_many.py", "sea", "--limit", "0")
    assert done == "late: library, archive, shop, museum\n"
