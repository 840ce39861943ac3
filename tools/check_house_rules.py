"""Checks the rules of this repository that a small script can see. ``CONTRIBUTING.md`` says what they are for.

python tools/check_house_rules.py            # prints each place that breaks a rule; exits with 1 if there is one
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from pathlib import Path
from typing import Callable, Iterator, NamedTuple

ROOT = Path(__file__).resolve().parent.parent

FLOORS = (
    ("__init__",),
    ("parallel", "_futures_by_position"),
    ("_callable_manager",),
    ("future_collection", "future_context_collection"),
    ("_asyncio",),
    ("_context_block",),
    ("_context_exits",),
    ("_context_manager",),
    ("_pinned_thread", "_chained_call", "parallel_executor"),
    ("_limit",),
    ("_process", "_call"),
    ("_threads", "_cancellation", "_mistakes"),
    ("_arguments", "_thread", "_waiting"),
    ("_call_future", "_checks", "_exceptions", "_unwinding", "_work_queue"),
    ("_compat", "_context_variables", "_names", "_sync", "return_when"),
)
"""The modules of the library, from the top floor to the ground. A module imports from the floors below it only.

An import that only checkers read, under ``if TYPE_CHECKING:``, may be of any floor.
"""

WRITES_TO_EXCEPTIONS = "_exceptions"
"""The only module that changes an exception."""
USES_PRIVATE_NAMES = ("_compat", "_call_future")
"""The only modules that use private names of the standard library."""
OF_EXCEPTIONS = {"__cause__", "__context__", "__suppress_context__", "__traceback__", "tb_next"}
CHANGES_EXCEPTIONS = {"add_note", "with_traceback"}

USE_PRIVATE_PARTS = ("helpers.py", "stress.py", "stress_cancel.py")
"""The files of the tests outside of ``unit/`` that use private parts of the library."""

MOST_LINES = 400
LONGEST_TEST_NAME = 80
BAD_BEGINNING = re.compile(r"(?:^|[.!?]\s+)(?=((?:What|Whoever|Those|One)\s.*?)(?:[.!?](?:\s|$)|$))")
ENTRY = re.compile(r"^\s+\*{0,2}[\w. ]+: ")
"""The beginning of an entry under ``Args`` or ``Raises``, whose first phrase is no sentence."""


class Finding(NamedTuple):
    """A place that breaks a rule."""

    line: int
    message: str


class Module:
    """A source file, read and parsed."""

    def __init__(self, path: Path) -> None:
        self.name = path.stem
        self.text = path.read_text(encoding="utf-8")
        self.tree = ast.parse(self.text)
        self.nodes = list(ast.walk(self.tree))
        self.for_checkers = {each for node in self.nodes for each in _for_checkers(node)}


def writes_to_exceptions(module: Module) -> Iterator[Finding]:
    """Finds changes of exceptions outside of the one module that may make them."""
    if module.name == WRITES_TO_EXCEPTIONS:
        return
    descriptors = set(_names_of_descriptors(module))
    for node in module.nodes:
        if isinstance(node, ast.Attribute):
            if node.attr in OF_EXCEPTIONS and not isinstance(node.ctx, ast.Load):
                yield Finding(node.lineno, f"changes {node.attr}")
            if node.attr in CHANGES_EXCEPTIONS:
                yield Finding(node.lineno, f"uses {node.attr}")
            is_descriptor = isinstance(node.value, ast.Name) and node.value.id in descriptors
            if node.attr in ("__set__", "__delete__") and (is_descriptor or _is_exception_attribute(node.value)):
                yield Finding(node.lineno, "changes an exception through a descriptor")
        elif isinstance(node, ast.Call) and _called(node) in ("setattr", "delattr", "__setattr__", "__delattr__"):
            for name in OF_EXCEPTIONS.intersection(_strings(node)):
                yield Finding(node.lineno, f"changes {name}")


def private_imports(module: Module) -> Iterator[Finding]:
    """Finds imports of private modules, and of private names, of the standard library."""
    if module.name in USES_PRIVATE_NAMES:
        return
    for node in module.nodes:
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level and not _is_of_library(node.module or ""):
            names = [node.module or "", *(alias.name for alias in node.names)]
        for name in filter(_is_private, names):
            yield Finding(node.lineno, f"imports {name}")  # type: ignore[attr-defined]


def private_names(module: Module, own: set[str]) -> Iterator[Finding]:
    """Finds private names of the standard library: all that are not among the library's ``own``."""
    if module.name in USES_PRIVATE_NAMES:
        return
    imports = [node for node in module.nodes if isinstance(node, ast.Import)]
    foreign = {(alias.asname or alias.name).partition(".")[0] for node in imports for alias in node.names}
    for node in module.nodes:
        if isinstance(node, ast.Attribute) and _is_private(node.attr):
            is_of_module = isinstance(node.value, ast.Name) and node.value.id in foreign
            if is_of_module or node.attr not in own:
                yield Finding(node.lineno, f"uses {node.attr}")
        elif isinstance(node, ast.Call) and _called(node) in ("getattr", "hasattr", "setattr", "delattr"):
            for name in _strings(node):
                if _is_private(name) and name not in own:
                    yield Finding(node.lineno, f"uses {name}")


def own_private_names(modules: list[Module]) -> set[str]:
    """Returns the private names that the library itself defines, but for the modules that use others' names."""
    names: set[str] = {module.name for module in modules}
    for module in modules:
        if module.name in USES_PRIVATE_NAMES:
            continue
        for node in module.nodes:
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                names.add(node.name)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                names.add(node.id)
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                if isinstance(node.value, ast.Name) and node.value.id == "self":
                    names.add(node.attr)
            elif isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__slots__":
                names.update(_strings(node.value))
    return set(filter(_is_private, names))


def imports_from_above(module: Module) -> Iterator[Finding]:
    """Finds imports, also late ones, of a module that is not on a floor below."""
    floors = {name: floor for floor, names in enumerate(FLOORS) for name in names}
    if module.name not in floors:
        yield Finding(1, f"{module.name} is on no floor: add it to FLOORS in tools/check_house_rules.py")
        return
    for node in module.nodes:
        for name in () if node in module.for_checkers else _imported_modules(node):
            if name not in floors:
                yield Finding(node.lineno, f"imports {name}, which is on no floor")  # type: ignore[attr-defined]
            elif floors[name] <= floors[module.name]:
                yield Finding(node.lineno, f"imports {name}, which is not on a floor below")  # type: ignore[attr-defined]


def sentences_without_subject(module: Module) -> Iterator[Finding]:
    """Finds sentences of comments and docstrings that begin with What, Whoever, Those or One."""
    for line, paragraph in _paragraphs(module):
        for match in BAD_BEGINNING.finditer(paragraph):
            yield Finding(line, f"has a sentence that begins with: {match.group(1)[:60]}")


def too_many_lines(module: Module) -> Iterator[Finding]:
    """Finds a file that is too long to be read at once."""
    number = len(module.text.splitlines())
    if number > MOST_LINES:
        yield Finding(number, f"has {number} lines, of at most {MOST_LINES}")


def long_test_names(module: Module) -> Iterator[Finding]:
    """Finds test functions whose name is no short statement of a behaviour."""
    for node in module.nodes:
        name = node.name if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) else ""
        if name.startswith("test_") and len(name) > LONGEST_TEST_NAME:
            yield Finding(node.lineno, f"names a test in {len(name)} characters: {name}")  # type: ignore[attr-defined]


def private_parts_in_tests(module: Module) -> Iterator[Finding]:
    """Finds imports of private parts of the library, in tests that show what users can see."""
    for node in module.nodes:
        names = [f"parallel.{name}" for name in _imported_modules(node)]
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("parallel."):
            names += [alias.name for alias in node.names]
        for name in sorted(set(names)):
            if _is_private(name.rpartition(".")[2]):
                yield Finding(node.lineno, f"imports {name}, which only tests in unit/ do")  # type: ignore[attr-defined]


def check(root: Path) -> list[str]:
    """Returns a line for each place below ``root`` that breaks a rule."""
    library = {path: Module(path) for path in sorted((root / "src" / "parallel").rglob("*.py"))}
    own = own_private_names(list(library.values()))
    rules: list[Callable[[Module], Iterator[Finding]]] = [
        writes_to_exceptions,
        private_imports,
        lambda module: private_names(module, own),
        imports_from_above,
        sentences_without_subject,
        too_many_lines,
    ]
    found = [(path, finding) for path, module in library.items() for rule in rules for finding in rule(module)]
    for folder in ("tools", "benchmarks", "examples"):
        for path in sorted((root / folder).rglob("*.py")):
            found.extend((path, finding) for finding in too_many_lines(Module(path)))
    for path in sorted((root / "tests").rglob("*.py")):
        module = Module(path)
        found.extend((path, finding) for finding in long_test_names(module))
        if path.parent.name != "unit" and path.name not in USE_PRIVATE_PARTS:
            found.extend((path, finding) for finding in private_parts_in_tests(module))
    return [f"{path.relative_to(root).as_posix()}:{line}: {message}" for path, (line, message) in found]


def _paragraphs(module: Module) -> Iterator[tuple[int, str]]:
    """Yields each paragraph of docstrings and comments on one line, with the number of its first line."""
    for node in module.nodes:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield from _split(node.lineno, node.value.value.splitlines())
    comments: list[str] = []
    last = 0
    for token in tokenize.generate_tokens(io.StringIO(module.text).readline):
        if token.type == tokenize.COMMENT:
            if comments and token.start[0] != last + 1:
                yield from _split(last - len(comments) + 1, comments)
                comments = []
            comments.append(re.sub(r"^#\s?|# noqa\S* ?[\w, ]*|# type: ignore\S*", "", token.string).lstrip("# "))
            last = token.start[0]
    yield from _split(last - len(comments) + 1, comments)


def _split(first: int, lines: list[str]) -> Iterator[tuple[int, str]]:
    paragraph: list[str] = []
    begin = first
    for number, (line, following) in enumerate(zip([*lines, ""], [*lines[1:], "", ""]), first):
        entry = ENTRY.match(line)
        # A heading such as Guarantees or Args stands alone above lines that are indented.
        is_heading = re.fullmatch(r"\s*[A-Z][\w ]*:?", line) and _indent(following) > _indent(line)
        if not line.strip() or entry or is_heading:
            if paragraph:
                yield begin, " ".join(paragraph)
            paragraph = []
        if entry:
            # Something in front of it, so that only what follows its first phrase counts.
            line = f"entry {line[entry.end() :]}"  # noqa: PLW2901  # The rest of the entry.
        if line.strip() and not is_heading:
            begin = begin if paragraph else number
            paragraph.append(line.strip())


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _imported_modules(node: ast.AST) -> Iterator[str]:
    """Yields the modules of the library that a statement imports."""
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names if _is_of_library(alias.name)]
    elif isinstance(node, ast.ImportFrom) and node.level:
        names = [f"parallel.{node.module}"] if node.module else [f"parallel.{alias.name}" for alias in node.names]
    elif isinstance(node, ast.ImportFrom) and node.module == "parallel":
        names = [f"parallel.{alias.name}" for alias in node.names]
    elif isinstance(node, ast.ImportFrom) and _is_of_library(node.module or ""):
        names = [node.module or ""]
    else:
        return
    for name in names:
        yield name.partition(".")[2] or "__init__"


def _for_checkers(node: ast.AST) -> Iterator[ast.AST]:
    """Yields the statements of ``if TYPE_CHECKING:``."""
    if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
        yield from node.body


def _names_of_descriptors(module: Module) -> Iterator[str]:
    """Yields the variables that hold an attribute's descriptor, as in ``_context = BaseException.__context__``."""
    for node in module.nodes:
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value and _is_exception_attribute(node.value):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (target.id for target in targets if isinstance(target, ast.Name))


def _is_exception_attribute(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and node.attr in OF_EXCEPTIONS


def _is_of_library(module: str) -> bool:
    return module == "parallel" or module.startswith("parallel.")


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name != "_"


def _called(node: ast.Call) -> str:
    """Returns the name of the function that is called."""
    return getattr(node.func, "id", getattr(node.func, "attr", ""))


def _strings(node: ast.AST) -> list[str]:
    return [each.value for each in ast.walk(node) if isinstance(each, ast.Constant) and isinstance(each.value, str)]


if __name__ == "__main__":
    lines = check(ROOT)
    print(*lines, sep="\n")
    sys.exit(1 if lines else 0)
