"""Names of calls and threads, and descriptions of arguments for messages."""

from __future__ import annotations

from functools import partial
from types import FunctionType
from typing import Any, Sequence

_MOST_NAMES = 10


def name_of(target: object) -> str:
    """Returns the name that a thread gets for ``target``: that of the function, method or class behind it."""
    if type(target) is FunctionType and "<" not in target.__qualname__:
        return target.__qualname__  # The usual case needs none of what follows.
    while isinstance(target, partial):
        target = target.func
    if type(target).__module__ == "contextlib":
        # A manager that @contextmanager made is named after its function. After the enter, it has the generator only.
        target = getattr(target, "gen", target)
    name = attribute_of(target, "__qualname__")
    if not isinstance(name, str) or not name:
        name = type(target).__qualname__
    return name.rpartition("<locals>.")[2]


def joined(names: Sequence[str]) -> str:
    """Joins the first ten names for a message, and says how many more there are."""
    shown = list(names[:_MOST_NAMES])
    if len(names) > len(shown):
        shown.append(f"and {len(names) - len(shown)} more")
    return ", ".join(shown)


def describe(target: object) -> str:
    """Describes an argument for a message: its type, and its name or value if that is short."""
    name = attribute_of(target, "__qualname__")
    if isinstance(target, type) and isinstance(name, str):
        return f"the class {name}"
    if target is None:
        return "None"
    cls = type(target).__name__
    article = "an" if cls[0] in "aeiou" else "a"
    if isinstance(name, str):
        return f"{name} ({article} {cls})"
    if isinstance(target, (bool, int, float, str, bytes)):
        return f"{target!r} ({article} {cls})"
    return f"an object of type {type(target).__qualname__}"


def attribute_of(target: object, name: str) -> Any:
    """Returns an attribute, or ``None``. A proxy may return anything for any name, or raise anything."""
    if is_ordinary(target):
        return getattr(target, name, None)
    try:
        return getattr(target, name, None)
    except Exception:
        return None


def is_ordinary(target: object) -> bool:
    """Whether no code of a class is run when an attribute of ``target`` is read.

    Then what is raised comes from a signal handler, and must not be caught.
    """
    cls = type(target)
    if cls.__module__ == "builtins":
        return True
    return cls.__getattribute__ is object.__getattribute__ and not hasattr(cls, "__getattr__")
