"""What checkers say about programs that use the library: five of them read ``typing_tests``, which nothing ever runs.

A case is a function in one of those files whose docstring is a name and no sentence. It is right for a checker that
reports exactly the errors that are marked in it, at their lines:

- ``# error: KIND`` ends a line that checkers must refuse. ``KINDS`` says with which code each of them may do so.
- ``# limit: NAME: CHECKER, CHECKER`` stands on a line of its own in a case that these checkers get wrong. ``NAME`` is a
  function in ``typing_tests/limits.py``. It shows in a few lines, without the library, that the limit is the checker's
  own: what it wrongly reports there ends in ``# wrong: CHECKER``; what it wrongly accepts, in ``# unseen: CHECKER``.
  When a checker gets better, the mark has to go.

Each checker runs over all files at once, in a copy, so that the project's own settings do not matter. The tables in
``docs/typing-matrix.md`` come from here: ``UPDATE_DOCS=1 pytest tests/checkers/test_typing.py`` writes them; without,
they are compared.
"""

from __future__ import annotations

import ast
import functools
import importlib.metadata
import inspect
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import textwrap
import venv
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Iterator, NamedTuple

import pytest

import parallel

ROOT = Path(__file__).parents[2]
CASES = ROOT / "typing_tests"
PAGE = ROOT / "docs" / "typing-matrix.md"
PYTHON_VERSIONS = ("3.8", "3.9", "3.10", "3.11", "3.12", "3.13", "3.14")
LIMIT = 300
"""For how many seconds a checker may run."""


class Report(NamedTuple):
    """An error that a checker reports."""

    file: str
    line: int
    code: str


Parser = Callable[[str], Iterator[Report]]


def _parse_lines(pattern: str) -> Parser:
    def parse(output: str) -> Iterator[Report]:
        for match in re.finditer(pattern, output, re.MULTILINE):
            yield Report(Path(match["file"]).name, int(match["line"]), match["code"])

    return parse


def _parse_pyright(output: str) -> Iterator[Report]:
    for each in json.loads(output)["generalDiagnostics"]:
        if each["severity"] in ("error", "warning"):
            yield Report(Path(each["file"]).name, each["range"]["start"]["line"] + 1, each.get("rule", "syntax"))


def _parse_pyrefly(output: str) -> Iterator[Report]:
    for each in json.loads(output)["errors"]:
        yield Report(Path(each["path"]).name, each["line"], each["name"])


class Checker(NamedTuple):
    """How a checker is run, in a folder of its own."""

    command: tuple[str, ...]
    options: tuple[str, str]
    """Those for the interpreter and for the Python version."""
    parse: Parser
    settings: dict[str, str]


# typing_extensions need not be installed: checkers know it.
_PYRIGHT_SETTINGS = '{"include": ["typing_tests"], "typeCheckingMode": "strict", "reportMissingModuleSource": false}'
_MYPY_LINE = r"^(?P<file>[^:\n]+):(?P<line>\d+): error: .*\[(?P<code>[\w-]+)\]$"
_MYPY_SETTINGS = {"mypy.ini": "[mypy]\nstrict = True\nwarn_unreachable = True\n"}

# Each is as strict as it can be, save for rules that are a matter of style.
CHECKERS = {
    "mypy": Checker(
        ("mypy", "--no-pretty", "typing_tests"),
        ("--python-executable", "--python-version"),
        _parse_lines(_MYPY_LINE),
        _MYPY_SETTINGS,
    ),
    "pyright": Checker(
        ("pyright", "--outputjson"),
        ("--pythonpath", "--pythonversion"),
        _parse_pyright,
        {"pyrightconfig.json": _PYRIGHT_SETTINGS},
    ),
    "pyrefly": Checker(
        ("pyrefly", "check", "--output-format=json", "--summary=none"),
        ("--python-interpreter-path", "--python-version"),
        _parse_pyrefly,
        {"pyrefly.toml": 'preset = "strict"\nuse-ignore-files = false\nproject-includes = ["typing_tests"]\n'},
    ),
    "ty": Checker(
        ("ty", "check", "--output-format=concise", "--error-on-warning", "typing_tests"),
        ("--python", "--python-version"),
        _parse_lines(r"^(?P<file>[^:\n]+):(?P<line>\d+):\d+: (?:error|warning)\[(?P<code>[\w-]+)\]"),
        {"ty.toml": ""},
    ),
    "zuban": Checker(
        ("zuban", "mypy", "--no-pretty", "typing_tests"),
        ("--python-executable", "--python-version"),
        _parse_lines(_MYPY_LINE),
        _MYPY_SETTINGS,
    ),
}


KINDS: dict[str, dict[str, tuple[str, ...]]] = {
    "argument": {
        "mypy": ("arg-type",),
        "pyright": ("reportArgumentType",),
        "pyrefly": ("bad-argument-type",),
        "ty": ("invalid-argument-type",),
        "zuban": ("arg-type", "list-item"),
    },
    "assertion": {
        "mypy": ("assert-type",),
        "pyright": ("reportAssertTypeFailure",),
        "pyrefly": ("assert-type",),
        "ty": ("type-assertion-failure",),
        "zuban": ("misc",),
    },
    "assignment": {
        "mypy": ("assignment",),
        "pyright": ("reportAssignmentType",),
        "pyrefly": ("bad-assignment",),
        "ty": ("invalid-assignment",),
        "zuban": ("assignment",),
    },
    "attribute": {
        "mypy": ("attr-defined",),
        "pyright": ("reportAttributeAccessIssue", "reportFunctionMemberAccess", "reportUnknownMemberType"),
        "pyrefly": ("missing-attribute",),
        "ty": ("unresolved-attribute",),
        "zuban": ("attr-defined",),
    },
    "call": {
        "mypy": ("call-arg",),
        "pyright": ("reportCallIssue",),
        "pyrefly": ("missing-argument", "bad-argument-count"),
        "ty": ("missing-argument",),
        "zuban": ("call-arg",),
    },
    "excess": {
        "mypy": ("call-arg", "misc"),
        "pyright": ("reportCallIssue",),
        "pyrefly": ("bad-argument-count",),
        "ty": ("too-many-positional-arguments",),
        "zuban": ("call-arg",),
    },
    "index": {
        "mypy": ("misc",),
        "pyright": ("reportGeneralTypeIssues",),
        "pyrefly": ("bad-index",),
        "ty": ("index-out-of-bounds",),
        "zuban": ("misc",),
    },
    "keyword": {
        "mypy": ("call-arg",),
        "pyright": ("reportCallIssue",),
        "pyrefly": ("unexpected-keyword",),
        "ty": ("unknown-argument",),
        "zuban": ("call-arg",),
    },
    "not-awaitable": {
        "mypy": ("misc",),
        "pyright": ("reportGeneralTypeIssues",),
        "pyrefly": ("not-async",),
        "ty": ("invalid-await",),
        "zuban": ("misc",),
    },
    "not-callable": {
        "mypy": ("operator",),
        "pyright": ("reportCallIssue",),
        "pyrefly": ("not-callable",),
        "ty": ("call-non-callable",),
        "zuban": ("operator",),
    },
    "not-entered": {
        "mypy": ("attr-defined",),
        "pyright": ("reportGeneralTypeIssues",),
        "pyrefly": ("bad-context-manager",),
        "ty": ("invalid-context-manager",),
        "zuban": ("attr-defined",),
    },
    "optional": {
        "mypy": ("union-attr",),
        "pyright": ("reportOptionalMemberAccess",),
        "pyrefly": ("missing-attribute",),
        "ty": ("unresolved-attribute",),
        "zuban": ("union-attr",),
    },
    "overload": {
        "mypy": ("call-overload", "arg-type"),
        "pyright": ("reportCallIssue", "reportArgumentType"),
        "pyrefly": ("no-matching-overload", "bad-argument-type", "missing-argument", "unexpected-keyword"),
        "ty": ("no-matching-overload", "invalid-argument-type"),
        "zuban": ("call-overload", "list-item"),
    },
    "read-only": {
        "mypy": ("assignment",),
        "pyright": ("reportAttributeAccessIssue",),
        "pyrefly": ("bad-argument-type",),
        "ty": ("invalid-assignment",),
        "zuban": ("assignment",),
    },
    "unpack": {
        "mypy": ("misc",),
        "pyright": ("reportAssignmentType", "reportUnknownVariableType"),
        "pyrefly": ("bad-unpacking",),
        "ty": ("invalid-assignment",),
        "zuban": ("misc",),
    },
}
"""What can be wrong with a line, and by which codes a checker says so."""


@dataclass(frozen=True)
class Case:
    """A function in ``typing_tests``."""

    file: str
    name: str
    lines: range
    label: str
    marks: dict[int, str]
    limits: dict[str, str]

    def errors(self, checker: str, reports: frozenset[Report]) -> list[str]:
        """Says what the checker got wrong."""
        reported: dict[int, set[str]] = {}
        for report in reports:
            if report.file == self.file and report.line in self.lines:
                reported.setdefault(report.line, set()).add(report.code)
        unseen = [f"{self.file}:{line}: nothing said" for line in self.marks if line not in reported]
        wrong = [
            f"{self.file}:{line}: {', '.join(sorted(codes))}"
            for line, codes in sorted(reported.items())
            if not codes.issubset(KINDS[self.marks[line]][checker] if line in self.marks else ())
        ]
        return unseen + wrong


def _marked(pattern: str, source: str, first_line: int) -> dict[int, str]:
    return {
        number: match[1]
        for number, line in enumerate(source.splitlines(), first_line)
        for match in [re.search(pattern, line)]
        if match
    }


def _limits(source: str) -> dict[str, str]:
    return {
        checker.strip(): name
        for name, checkers in re.findall(r"^ +# limit: (\w+): (.+)$", source, re.MULTILINE)
        for checker in checkers.split(",")
    }


def read_cases(path: Path) -> list[Case]:
    """Reads the cases of a file."""
    text = path.read_text(encoding="utf-8")
    cases = []
    for node in ast.parse(text).body:
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        doc = ast.get_docstring(node) or ""
        if not doc or doc.endswith("."):
            continue
        last_line = node.end_lineno or node.lineno
        source = "\n".join(text.splitlines()[node.lineno - 1 : last_line])
        marks = _marked(r"# error: ([\w-]+)$", source, node.lineno)
        lines = range(node.lineno, last_line + 1)
        cases.append(Case(path.name, node.name, lines, doc, marks, _limits(source)))
    return cases


FILES = (
    "calls",
    "chains",
    "futures",
    "contexts",
    "classes_first",
    "instances_first",
    "dynamic",
    "asynchronous",
    "executors",
    "imports",
    "mistakes",
)
ALL_CASES = {file: read_cases(CASES / f"{file}.py") for file in FILES}


class Demonstration(NamedTuple):
    """A function in ``limits.py`` or ``unseen.py``."""

    name: str
    title: str
    text: str
    code: str


def read_demonstrations(file: str) -> list[Demonstration]:
    """Reads what is shown, what to do about it, and the lines that show it."""
    source = (CASES / f"{file}.py").read_text(encoding="utf-8")
    found = []
    for node in ast.parse(source).body:
        doc = (ast.get_docstring(node) or "") if isinstance(node, ast.FunctionDef) else ""
        title, _, text = doc.partition("\n\n")
        if isinstance(node, ast.FunctionDef) and text:
            lines = source.splitlines()[node.body[1].lineno - 1 : node.end_lineno]
            found.append(Demonstration(node.name, title, text, textwrap.dedent("\n".join(lines))))
    return found


def _command(program: str) -> str:
    """Finds a program beside the interpreter; skips the test if it is not installed."""
    found = shutil.which(program, path=sysconfig.get_path("scripts"))
    if found is None:
        pytest.skip(f"{program} is not installed; the dependency group `typing` has it")
    return found


def _interpreter(project: Path) -> str:
    """Gives the interpreter that a project's checkers ask where the library is."""
    return str(project / ".venv" / ("bin/python" if os.name == "posix" else "Scripts/python.exe"))


def _run(checker: Checker, folder: Path, python_version: str) -> subprocess.CompletedProcess[str]:
    for name, text in checker.settings.items():
        (folder / name).write_text(text, encoding="utf-8")
    program, *arguments = checker.command
    interpreter_option, version_option = checker.options
    return subprocess.run(
        [_command(program), *arguments, interpreter_option, _interpreter(folder), version_option, python_version],
        cwd=folder,
        env={**os.environ, "NO_COLOR": "1", "PYTHONPATH": ""},
        capture_output=True,
        encoding="utf-8",
        timeout=LIMIT,
        check=False,
    )


def _make_project(folder: Path) -> Path:
    """Copies the cases, and the library to where a user's checker would find it; gives the library's folder."""
    shutil.copytree(CASES, folder / "typing_tests", ignore=shutil.ignore_patterns("__pycache__"))
    venv.create(folder / ".venv", symlinks=os.name == "posix", with_pip=False)
    library = next((folder / ".venv").rglob("site-packages")) / "parallel"
    shutil.copytree(Path(parallel.__file__).parent, library, ignore=shutil.ignore_patterns("__pycache__"))
    return library


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the cases, and with the library installed."""
    folder = tmp_path_factory.mktemp("typing")
    _make_project(folder)
    return folder


@functools.lru_cache(maxsize=None)
def reports_of(name: str, project: Path, python_version: str) -> frozenset[Report]:
    """Has a checker read all cases, and gives what it says about them."""
    ended = _run(CHECKERS[name], project, python_version)
    reports = frozenset(CHECKERS[name].parse(ended.stdout))
    files = {path.name for path in CASES.glob("*.py")}
    assert ended.returncode in (0, 1), f"{name} crashed: {ended.stdout[-1000:]} {ended.stderr[-1000:]}"
    assert reports, f"{name} cannot have read the cases: {ended.stderr[-1000:]}"
    return frozenset(report for report in reports if report.file in files)


CURRENT_VERSION = "{}.{}".format(*sys.version_info)


@pytest.mark.parametrize("file", ALL_CASES)
@pytest.mark.parametrize("name", CHECKERS)
def test_checker_says_what_is_marked(name: str, file: str, project: Path) -> None:
    """One run of each checker, as strict as can be, for the Python version that runs the tests."""
    _check_cases(name, ALL_CASES[file], reports_of(name, project, CURRENT_VERSION))


@pytest.mark.parametrize("python_version", PYTHON_VERSIONS)
@pytest.mark.parametrize("name", [name for name in CHECKERS if name != "mypy"])
def test_checker_says_the_same_for_each_python_version(name: str, python_version: str, project: Path) -> None:
    """mypy is not asked: each of its versions knows some Python versions only, so it runs on these."""
    for cases in ALL_CASES.values():
        _check_cases(name, cases, reports_of(name, project, python_version))


def _check_cases(name: str, cases: list[Case], reports: frozenset[Report]) -> None:
    wrong = []
    for case in cases:
        errors = case.errors(name, reports)
        if name not in case.limits:
            wrong += errors
        elif not errors:
            wrong.append(f"{case.file}: {name} is right about {case.name}: take the mark of the limit away")
    inside = {line for case in cases for line in case.lines}
    wrong += [str(report) for report in reports if report.file == cases[0].file and report.line not in inside]
    assert not wrong


@pytest.mark.parametrize("name", CHECKERS)
def test_limit_is_the_checkers_own(name: str, project: Path) -> None:
    """The demonstrations do without the library, so what is wrong about them is not its fault."""
    path = CASES / "limits.py"
    source = path.read_text(encoding="utf-8")
    reported = {report.line for report in reports_of(name, project, CURRENT_VERSION) if report.file == path.name}
    wrong = {number for number, names in _marked(r"# wrong: (.+)$", source, 1).items() if name in names.split(", ")}
    unseen = {number for number, names in _marked(r"# unseen: (.+)$", source, 1).items() if name in names.split(", ")}
    assert wrong == reported
    assert not unseen & reported


@pytest.mark.skipif(sys.version_info < (3, 10), reason="what @asynccontextmanager makes can be called from 3.10 on")
@pytest.mark.parametrize("name", CHECKERS)
def test_checker_finds_nothing_in_mistakes_that_are_left_to_the_run(name: str, project: Path) -> None:
    assert not [report for report in reports_of(name, project, CURRENT_VERSION) if report.file == "unseen.py"]


def test_every_file_is_read() -> None:
    assert {path.stem for path in CASES.glob("*.py")} == {*FILES, "limits", "unseen"}


def test_limits_are_demonstrated() -> None:
    used = {limit for cases in ALL_CASES.values() for case in cases for limit in case.limits.values()}
    assert used == {limit.name for limit in read_demonstrations("limits")}


@pytest.mark.parametrize("name", CHECKERS)
def test_checker_sees_when_results_lose_their_types(name: str, tmp_path: Path) -> None:
    path = _make_project(tmp_path) / "future_collection.py"
    source = path.read_text(encoding="utf-8")
    path.write_text(re.sub(r"(def results\(.*?) -> .*?:\n", r"\1 -> Tuple[Any, ...]:\n", source, flags=re.DOTALL))
    assert path.read_text(encoding="utf-8") != source
    reports = frozenset(CHECKERS[name].parse(_run(CHECKERS[name], tmp_path, CURRENT_VERSION).stdout))
    with pytest.raises(AssertionError):
        _check_cases(name, ALL_CASES["chains"], reports)


def test_public_names_have_docstrings_at_run_time() -> None:
    public = {name: getattr(parallel, name) for name in parallel.__all__}
    for name, target in list(public.items()):
        if isinstance(target, type):
            public.update({f"{name}.{each}": value for each, value in vars(target).items() if not each.startswith("_")})
    assert [name for name, target in public.items() if not inspect.getdoc(target)] == []


def test_public_names_have_types_and_docstrings(project: Path) -> None:
    # With these options, pyright looks for the interpreter in PATH only.
    path = os.pathsep.join([str(Path(_interpreter(project)).parent), os.environ["PATH"]])
    ended = subprocess.run(
        [_command("pyright"), "--verifytypes", "parallel", "--ignoreexternal", "--outputjson"],
        cwd=project,
        env={**os.environ, "PATH": path, "PYTHONPATH": ""},
        capture_output=True,
        encoding="utf-8",
        timeout=LIMIT,
        check=False,
    )
    found = json.loads(ended.stdout)["typeCompleteness"]
    incomplete = [symbol["name"] for symbol in found["symbols"] if symbol["isExported"] and not symbol["isTypeKnown"]]
    assert not incomplete
    assert found["completenessScore"] == 1
    undocumented = [
        symbol
        for symbol in found["symbols"]
        if any("No docstring" in diagnostic["message"] for diagnostic in symbol["diagnostics"])
    ]
    assert len(undocumented) == found["missingFunctionDocStringCount"] + found["missingClassDocStringCount"]
    assert [symbol["name"] for symbol in undocumented if symbol["isExported"]] == []
    assert ended.returncode == 0


def _table(file: str, cases: list[Case], reports: dict[str, frozenset[Report]]) -> Iterator[str]:
    module = ast.get_docstring(ast.parse((CASES / f"{file}.py").read_text(encoding="utf-8"))) or ""
    yield f"\n### {module.partition('. Read by')[0]}\n"
    yield "| case | " + " | ".join(reports) + " |"
    yield "|---|" + "---|" * len(reports)
    for case in cases:
        yield f"| {case.label} | " + " | ".join(_cell(case, name, reports[name]) for name in reports) + " |"


def _cell(case: Case, name: str, reports: frozenset[Report]) -> str:
    if not case.errors(name, reports):
        return "yes"
    if name not in case.limits:
        return "no"
    (title,) = [each.title for each in read_demonstrations("limits") if each.name == case.limits[name]]
    return f"[no](#{_anchor(title)})"


def _anchor(title: str) -> str:
    """The name that repository pages and Sphinx give to a heading."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def _part_of_page(project: Path) -> str:
    reports = {name: reports_of(name, project, CURRENT_VERSION) for name in CHECKERS}
    cells = [not case.errors(name, reports[name]) for cases in ALL_CASES.values() for case in cases for name in reports]
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in CHECKERS)
    lines = [f"{sum(cells)} of {len(cells)} cells are right: {versions}."]
    for file, cases in ALL_CASES.items():
        lines += _table(file, cases, reports)
    lines.append("\n### Mistakes that no checker finds, because the types are right\n")
    lines += [f"- {each.title}: `{each.code.splitlines()[-1]}`. {each.text}" for each in read_demonstrations("unseen")]
    lines += ["\n## Limits of checkers\n", "The demonstrations do without the library. They use these:\n"]
    source = (CASES / "limits.py").read_text(encoding="utf-8")
    limits = read_demonstrations("limits")
    prelude = source[source.index("from typing import") : source.index(f"def {limits[0].name}")]
    lines.append(f"```py\n{prelude.strip()}\n```")
    for limit in limits:
        lines.append(f"\n### {limit.title}\n\n{limit.text}")
        lines.append(f"\n```py\n{limit.code}\n```")
    return "\n".join(lines)


def test_page_is_up_to_date(project: Path) -> None:
    start, end = "<!-- checkers: written by tests/checkers/test_typing.py -->\n\n", "\n\n<!-- end of checkers -->"
    page = PAGE.read_text(encoding="utf-8")
    before, started, rest = page.partition(start.strip())
    _, ended, after = rest.partition(end.strip())
    assert started
    assert ended
    part = _part_of_page(project)
    written = f"{before}{start}{part}{end}{after}"
    if os.environ.get("UPDATE_DOCS"):
        PAGE.write_text(written, encoding="utf-8")
    assert page == written or os.environ.get("UPDATE_DOCS"), "run UPDATE_DOCS=1 pytest tests/checkers/test_typing.py"
