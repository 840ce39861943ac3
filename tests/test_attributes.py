"""Objects have all their attributes from ``__init__`` on; ``_call_future`` says what it costs if not."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Iterator

import pytest

import parallel

FILES = sorted(Path(parallel.__file__).parent.glob("*.py"))


def stores(node: ast.AST) -> Iterator[tuple[str, str]]:
    """What attributes are set in ``node``: of which variable, and their names."""
    for each in ast.walk(node):
        if isinstance(each, ast.Attribute) and isinstance(each.ctx, ast.Store) and isinstance(each.value, ast.Name):
            yield each.value.id, each.attr


def set_at_the_beginning(cls: ast.ClassDef) -> set[str]:
    begin = [each for each in cls.body if isinstance(each, ast.FunctionDef) and each.name == "__init__"]
    return {name for function in begin for owner, name in stores(function) if owner == "self"}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_attributes_are_set_from_the_beginning(file: Path) -> None:
    module = ast.parse(file.read_text(encoding="utf-8"))
    classes = [node for node in ast.walk(module) if isinstance(node, ast.ClassDef)]
    late = {
        f"{cls.name}.{name}"
        for cls in classes
        for owner, name in stores(cls)
        if owner == "self" and name not in set_at_the_beginning(cls)
    }
    known = {name for cls in classes for name in set_at_the_beginning(cls)}
    late |= {name for owner, name in stores(module) if owner != "self" and name not in known and name[:2] != "__"}
    assert late <= {
        "_MadeWhenAskedFor._name",  # When its class is made.
        "_Thread._name",  # The standard's own, and so the next two.
        "_Thread.name",
        "_shutdown",
        "tb_next",  # A traceback's.
    }
