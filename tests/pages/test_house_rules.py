"""The script that checks the rules of this repository sees what breaks them, and leaves the rest alone."""

from __future__ import annotations

import importlib.util
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "tools" / "check_house_rules.py"


@pytest.fixture(scope="module")
def rules() -> Any:
    if not SCRIPT.exists():
        pytest.skip("tools/ is in the repository only")
    spec = importlib.util.spec_from_file_location("check_house_rules", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["check_house_rules"] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        yield module
    finally:
        del sys.modules["check_house_rules"]


def findings(rules: Any, root: Path, name: str, source: str) -> list[str]:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(source), encoding="utf-8")
    lines: list[str] = rules.check(root)
    return [line.partition(": ")[2] for line in lines]


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("error.__traceback__ = None", "changes __traceback__"),
        ("del error.__context__", "changes __context__"),
        ("error.__cause__, other = 1, 2", "changes __cause__"),
        ("error.__suppress_context__ |= True", "changes __suppress_context__"),
        ("entry.tb_next = None", "changes tb_next"),
        ("raise error.with_traceback(None)", "uses with_traceback"),
        ("setattr(error, '__context__', None)", "changes __context__"),
        ("_set = BaseException.__context__\n_set.__set__(error, None)", "changes an exception through a descriptor"),
        ("BaseException.__cause__.__set__(error, None)", "changes an exception through a descriptor"),
    ],
)
def test_change_of_an_exception_is_found_outside_of_its_module(
    rules: Any, tmp_path: Path, source: str, found: str
) -> None:
    assert findings(rules, tmp_path, "src/parallel/_names.py", source) == [found]
    (tmp_path / "src/parallel/_names.py").unlink()
    assert findings(rules, tmp_path, "src/parallel/_exceptions.py", source) == []


def test_reading_an_exception_is_allowed(rules: Any, tmp_path: Path) -> None:
    source = "_traceback = BaseException.__traceback__\n_traceback.__get__(error)\nprint(error.__context__)"
    assert findings(rules, tmp_path, "src/parallel/_names.py", source) == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import threading\nthreading._shutdown()", "uses _shutdown"),
        ("from threading import _shutdown", "imports _shutdown"),
        ("import _thread", "imports _thread"),
        ("future._condition.acquire()", "uses _condition"),
        ("getattr(threading, '_register_atexit')", "uses _register_atexit"),
    ],
)
def test_private_name_of_the_standard_library_is_found(rules: Any, tmp_path: Path, source: str, found: str) -> None:
    assert findings(rules, tmp_path, "src/parallel/_names.py", source) == [found]
    (tmp_path / "src/parallel/_names.py").unlink()
    assert findings(rules, tmp_path, "src/parallel/_compat.py", source) == []


def test_private_names_of_the_library_are_allowed(rules: Any, tmp_path: Path) -> None:
    source = """
    class Names:
        def __init__(self) -> None:
            self._first = 1

        def _second(self) -> int:
            return self._first + other._first
    """
    assert findings(rules, tmp_path, "src/parallel/_names.py", source) == []


@pytest.mark.parametrize(
    "source",
    [
        "from parallel._process import pool",
        "from parallel import _process",
        "import parallel._process",
        "from . import _process",
        "def late() -> None:\n    from parallel._process import pool",
    ],
)
def test_import_of_a_module_that_is_not_below_is_found(rules: Any, tmp_path: Path, source: str) -> None:
    assert findings(rules, tmp_path, "src/parallel/_pinned_thread.py", source) == []
    (tmp_path / "src/parallel/_pinned_thread.py").unlink()
    found = ["imports _process, which is not on a floor below"]
    assert findings(rules, tmp_path, "src/parallel/_threads.py", source) == found


def test_import_for_checkers_only_may_be_of_any_floor(rules: Any, tmp_path: Path) -> None:
    source = "if TYPE_CHECKING:\n    from parallel._process import pool\nelse:\n    import parallel._process"
    found = ["imports _process, which is not on a floor below"]
    assert findings(rules, tmp_path, "src/parallel/_threads.py", source) == found
    source = source.partition("else")[0]
    assert findings(rules, tmp_path, "src/parallel/_threads.py", source) == []


def test_module_that_is_on_no_floor_is_found(rules: Any, tmp_path: Path) -> None:
    (found,) = findings(rules, tmp_path, "src/parallel/_attic.py", "")
    assert found.startswith("_attic is on no floor")


def test_sentence_that_begins_with_no_subject_is_found(rules: Any, tmp_path: Path) -> None:
    source = '''
    """Names.

    What
        The names of calls.

    Whoever asks gets one. Those that are long are cut.
    """


    def name(target: object) -> str:
        """Returns the name.

        Args:
            target: What has a name. One name only.
        """
        # What follows
        # is short.
        return "What is this? One string."
    '''
    expected = ["Whoever asks gets one", "Those that are long are cut", "One name only", "What follows is short"]
    found = findings(rules, tmp_path, "src/parallel/_names.py", source)
    assert [line.rpartition(": ")[2] for line in found] == expected


def test_file_of_more_than_400_lines_is_found(rules: Any, tmp_path: Path) -> None:
    assert findings(rules, tmp_path, "src/parallel/_names.py", "\n" * 400) == []
    assert findings(rules, tmp_path, "src/parallel/_names.py", "\n" * 401) == ["has 401 lines, of at most 400"]


def test_test_name_of_more_than_80_characters_is_found(rules: Any, tmp_path: Path) -> None:
    name = "test_".ljust(80, "x")
    assert findings(rules, tmp_path, "tests/calls/test_calls.py", f"def {name}(): ...") == []
    (found,) = findings(rules, tmp_path, "tests/calls/test_calls.py", f"async def {name}x(): ...")
    assert found == f"names a test in 81 characters: {name}x"


@pytest.mark.parametrize(
    "source", ["from parallel import _sync", "import parallel._sync", "from parallel._sync import Latch"]
)
def test_private_part_in_a_test_outside_of_unit_is_found(rules: Any, tmp_path: Path, source: str) -> None:
    expected = ["imports parallel._sync, which only tests in unit/ do"]
    assert findings(rules, tmp_path, "tests/calls/test_calls.py", f"def test() -> None:\n    {source}") == expected


def test_private_part_in_a_test_of_unit_is_allowed(rules: Any, tmp_path: Path) -> None:
    assert findings(rules, tmp_path, "tests/unit/test_sync.py", "from parallel._sync import Latch") == []
    assert findings(rules, tmp_path, "tests/calls/test_calls.py", "from parallel import parallel") == []
