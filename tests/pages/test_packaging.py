"""What is installed, and what it needs."""

from __future__ import annotations

import ast
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any, Iterator

import pytest

import parallel

ROOT = Path(__file__).parents[2]
STANDINS = {"exceptiongroup", "typing_extensions"}


def imported(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.module


def test_what_stands_in_for_newer_pythons_is_imported_in_one_file_only() -> None:
    files = {file.name: set(imported(file)) & STANDINS for file in Path(parallel.__file__).parent.glob("*.py")}
    assert {name: found for name, found in files.items() if found} == {"_compat.py": STANDINS}


@pytest.mark.skipif(
    not (3, 11) <= sys.version_info < (3, 14),
    reason="before 3.11 there are dependencies; from 3.14 on annotations cost nothing",
)
def test_no_string_among_types_is_met_as_it_is_imported() -> None:
    # The first takes a tenth of what importing concurrent.futures takes.
    code = """
    import typing
    def refuse(self, text, *_, **__): raise AssertionError(text)
    typing.ForwardRef.__init__ = refuse
    import parallel
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)


def test_the_package_says_that_it_is_typed_in_its_source() -> None:
    folder = Path(parallel.__file__).parent
    assert (folder / "py.typed").read_bytes() == b""
    assert not list(folder.glob("*.pyi"))


@pytest.fixture(scope="module")
def pyproject() -> Any:
    tomllib = pytest.importorskip("tomllib", reason="tomllib came with 3.11")
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_nothing_else_is_installed_on_3_11_and_later(pyproject: Any) -> None:
    dependencies = pyproject["project"]["dependencies"]
    assert {each.split()[0] for each in dependencies} == STANDINS
    assert all(each.endswith("; python_version < '3.11'") for each in dependencies)


def test_the_metadata_is_what_users_and_indexes_go_by(pyproject: Any) -> None:
    project = pyproject["project"]
    assert project["name"] == "python-parallel"
    assert project["requires-python"] == ">= 3.8"
    assert (project["license"], project["license-files"]) == ("Apache-2.0", ["LICENSE"])
    assert "Apache License" in (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert project["version"] in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"Programming Language :: Python :: 3.{min(sys.version_info[1], 14)}" in project["classifiers"]


def test_every_machine_gets_the_same_versions_of_tools(pyproject: Any) -> None:
    uv = pyproject["tool"]["uv"]
    assert uv["default-groups"] == []
    assert "exclude-newer" in uv
    assert "/uv.lock" in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert (ROOT / ".python-version").read_text(encoding="ascii").strip() == "3.11"
