"""A traceback shows little of the library, and pytest shows none of it; in frozen applications as elsewhere.

``traceback_scenarios.py`` holds the scenarios. It runs in two child processes: once with the library as it is
installed, and once with relative file names in the code of the library.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

import parallel
import traceback_scenarios
from helpers import IS_QUICK, LIMIT

MOST_FRAMES = 2

NAMES = [*traceback_scenarios.SCENARIOS, "reported_failure"]

ON_AN_EVENT_LOOP = [name for name in NAMES if "await" in name or "event_loop" in name]

ways = pytest.mark.parametrize("way", ["installed", "frozen"])


@lru_cache(maxsize=None)
def seen(way: str) -> Any:
    """The frames of all scenarios, of a child process that imported the library in this way."""
    done = subprocess.run(
        [sys.executable, traceback_scenarios.__file__, way],
        capture_output=True,
        text=True,
        timeout=2 * LIMIT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["absolute"] == (way == "installed")
    return answer["seen"]


@ways
@pytest.mark.parametrize("name", NAMES)
def test_frames_of_the_library_are_hidden_from_pytest(way: str, name: str) -> None:
    frames = seen(way)[name]["library"]
    assert frames == [[function, True] for function, _ in frames]


@ways
@pytest.mark.parametrize("name", [name for name in NAMES if name not in ON_AN_EVENT_LOOP])
def test_traceback_has_at_most_two_frames_of_the_library(way: str, name: str) -> None:
    assert len(seen(way)[name]["library"]) <= MOST_FRAMES, seen(way)[name]["library"]


@ways
@pytest.mark.parametrize("name", ON_AN_EVENT_LOOP)
def test_traceback_of_asyncio_code_has_few_frames_of_the_library(way: str, name: str) -> None:
    # A coroutine and the generator or coroutine that it awaits add a frame each.
    assert len(seen(way)[name]["library"]) <= MOST_FRAMES + 1, seen(way)[name]["library"]


@ways
@pytest.mark.parametrize("name", NAMES)
def test_tracebacks_in_a_group_have_no_frame_of_the_library(way: str, name: str) -> None:
    assert [member["library"] for member in seen(way)[name]["members"]] == [[]] * len(seen(way)[name]["members"])


@ways
def test_reported_traceback_has_no_frame_of_the_library(way: str) -> None:
    assert seen(way)["reported_failure"]["library"] == []


@pytest.mark.parametrize("name", NAMES)
def test_frozen_application_has_the_same_tracebacks(name: str) -> None:
    assert seen("frozen")[name] == seen("installed")[name]


@ways
@pytest.mark.parametrize("name", NAMES)
def test_traceback_ends_where_the_program_raised(way: str, name: str) -> None:
    frames = seen(way)[name]
    if frames["error"] == "ScenarioError":
        assert frames["program"][-1] == "fail"
    assert [member["program"][-1] for member in frames["members"]] == ["fail"] * len(frames["members"])


FAILING_TESTS = {
    "a failed call": "parallel(fail)(1).results()",
    "a failed call of first exception": "parallel(fail)(1).results(return_when=ReturnWhen.FIRST_EXCEPTION)",
    "a failed call of a map": "parallel_map(fail, [1]).results()",
    "a time limit": "parallel(release.wait)(30).results(timeout=0)",
    "a failed enter": "with parallel(Manager()).parallel(Manager(1)): pass",
    "a time limit of enters": "with parallel(StuckManager(), timeout=0): pass",
    "a failed exit": "with parallel(Manager()).parallel(Manager(0, 1)): pass",
    "a failed exit at once": "with parallel(Manager(0, 1), parallel_exit=True).parallel(Manager()): pass",
    "a failed body": "with parallel(Manager()).parallel(Manager()): fail(1)",
    "an awaited call": "asyncio.run(wait_for(parallel(fail)(1)))",
    "a future": "ParallelExecutor.execute_one(fail, 1).result()",
    "arguments beside the function": "parallel(fail, 1)",
    "something else than a function": "ParallelExecutor.execute_one(fail_not)",
    "an option by position": "parallel(int)().results(5)",
    "a consumed chain": "calls = parallel(int)(); calls.parallel(int)().results(); calls.results()",
}

PRELUDE = """
import asyncio, threading
from parallel import ParallelExecutor, ReturnWhen, parallel, parallel_map

def setup_function():
    global release
    release = threading.Event()

def fail(number):
    raise ValueError(number)

def teardown_function():
    release.set()

async def wait_for(calls):
    return await calls

fail_not = None

class Manager:
    def __init__(self, enter=0, leave=0):
        self.enter, self.leave = enter, leave
    def __enter__(self):
        if self.enter:
            fail(self.enter)
    def __exit__(self, *_):
        if self.leave:
            fail(self.leave)

class StuckManager(Manager):
    def __enter__(self):
        release.wait(30)

"""


@lru_cache(maxsize=None)
def shown_by_pytest(style: str, folder: Path) -> list[str]:
    """Runs all failing tests with pytest; returns what it shows of each, in their order."""
    tests = [f"def test_{number}():\n    {line}\n" for number, line in enumerate(FAILING_TESTS.values())]
    (folder / "test_failing.py").write_text("\n".join([PRELUDE, *tests]), encoding="utf-8")
    (folder / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"--tb={style}", "test_failing.py"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=2 * LIMIT,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"{len(tests)} failed" in done.stdout
    shown = re.split(r"^_+ test_\d+ _+$", done.stdout.replace("\\", "/"), flags=re.MULTILINE)[1:]
    assert len(shown) == len(tests), done.stdout
    return shown


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pytest runs the tests that fail."""
    return tmp_path_factory.mktemp("failing")


@pytest.mark.parametrize("style", ["auto"] if IS_QUICK else ["auto", "short"])
@pytest.mark.parametrize("name", FAILING_TESTS)
def test_pytest_shows_no_source_of_the_library(folder: Path, name: str, style: str) -> None:
    shown = shown_by_pytest(style, folder)[list(FAILING_TESTS).index(name)]
    assert "test_failing.py" in shown
    library = Path(parallel.__file__).parent
    assert [file.name for file in library.glob("*.py") if f"{library.name}/{file.name}:" in shown] == [], shown


@pytest.mark.parametrize("name", FAILING_TESTS)
def test_ipython_shows_the_arguments_of_the_frames_that_it_shows(name: str) -> None:
    ipython = pytest.importorskip("IPython", reason="IPython is not installed")
    ultratb = pytest.importorskip("IPython.core.ultratb", reason="IPython is not installed")
    program: dict[str, Any] = {}
    error: Any = (None, None, None)
    exec(PRELUDE, program)  # noqa: S102  # What pytest runs above.
    program["setup_function"]()
    try:
        exec(FAILING_TESTS[name], program)  # noqa: S102  # As above.
    except Exception:
        error = sys.exc_info()
    finally:
        program["teardown_function"]()
    options: Any = {"theme_name": "nocolor"} if ipython.version_info >= (9,) else {"color_scheme": "NoColor"}
    shown = ultratb.VerboseTB(**options).text(*error)
    assert "failed resolving arguments" not in shown
    library = Path(parallel.__file__).parent
    assert len(re.findall(rf"{library.name}[/\\]\w+\.py:\d+, in", shown)) <= 1, shown
