"""Objects have all their attributes from ``__init__`` on.

CPython 3.11 may collect garbage in the middle of making an object's dictionary, which it does when the object gets an
attribute that few of its class have had. If a finalizer or another thread makes the dictionary meanwhile, the process
crashes.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Iterator

import pytest

import parallel

FILES = sorted(Path(parallel.__file__).parent.glob("*.py"))


def parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def classes_in(module: ast.Module) -> list[ast.ClassDef]:
    return [node for node in ast.walk(module) if isinstance(node, ast.ClassDef)]


def stores(node: ast.AST) -> Iterator[tuple[str, str]]:
    """The attributes that are set in ``node``: the variable that holds the object, and the attribute's name."""
    for each in ast.walk(node):
        if isinstance(each, ast.Attribute) and isinstance(each.ctx, ast.Store) and isinstance(each.value, ast.Name):
            yield each.value.id, each.attr


def set_at_the_beginning(cls: ast.ClassDef) -> set[str]:
    begin = [each for each in cls.body if isinstance(each, ast.FunctionDef) and each.name == "__init__"]
    return {name for function in begin for owner, name in stores(function) if owner == "self"}


KNOWN = {name for file in FILES for cls in classes_in(parsed(file)) for name in set_at_the_beginning(cls)}
"""All attributes that any class of the package sets in ``__init__``."""


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_attributes_are_set_from_the_beginning(file: Path) -> None:
    module = parsed(file)
    late = {
        f"{cls.name}.{name}"
        for cls in classes_in(module)
        for owner, name in stores(cls)
        if owner == "self" and name not in set_at_the_beginning(cls)
    }
    late |= {name for owner, name in stores(module) if owner != "self" and name not in KNOWN and name[:2] != "__"}
    assert late <= {
        "Call.was_cancelled",  # Of few calls; the others have that of the class.
        "ReusableThread.name",  # A property.
        "_shutdown",  # The standard library's own.
        "tb_next",  # A traceback's.
    }
