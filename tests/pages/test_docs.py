"""The pages' own code runs, prints what they say and passes the type checker; so do the examples in docstrings."""

from __future__ import annotations

import asyncio
import contextlib
import doctest
import importlib
import io
import pkgutil
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Callable

import pytest
from sybil import Document, Example, Sybil
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser, SkipParser

import parallel
from helpers import LIMIT, PYPY

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])


class Printed(io.StringIO):
    """What the page's code has printed since it was last asked."""

    def take(self) -> str:
        text = self.getvalue()
        self.seek(0)
        self.truncate()
        return text


def is_output(example: Example) -> bool:
    """Whether a ``text`` block stands right below a ``python`` block: then it is what that printed."""
    before = example.document.text[: example.region.start]
    return bool(re.search(r"```python\n(?:(?!```).)*```\s*$", before, re.DOTALL))


def compare_output(example: Example) -> str | None:
    if not is_output(example):
        return None
    printed: Printed = example.namespace["__printed__"]
    text = printed.take()
    return None if text == example.parsed else f"the page says {example.parsed!r}, the code printed {text!r}"


def parsed(page: Path) -> Document:
    sybil = Sybil(parsers=[PythonCodeBlockParser(), CodeBlockParser("text", compare_output), SkipParser()])
    return sybil.parse(page)


def page_id(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def marks_of(page: Path) -> list[pytest.MarkDecorator]:
    reason = "it waits for the report of a dropped chain, which PyPy makes when it happens to collect garbage"
    return [pytest.mark.skipif(PYPY, reason=reason)] if page.name == "calls.md" else []


@pytest.mark.skipif(sys.version_info < (3, 11), reason="the pages are written in the syntax of 3.11")
@pytest.mark.parametrize("page", [pytest.param(page, marks=marks_of(page), id=page_id(page)) for page in PAGES])
def test_the_code_of_a_page_runs_and_prints_what_the_page_says(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = parsed(page)
    printed = document.namespace["__printed__"] = Printed()
    document.namespace["__name__"] = "__main__"  # As in a file that it is pasted into.
    with contextlib.redirect_stdout(printed):
        for example in document.examples():
            example.evaluate()


def code_of(page: Path) -> str:
    """The page's Python blocks, each on the lines that it has on the page."""
    lines: list[str] = []
    for example in parsed(page).examples():
        block: Any = example.parsed
        if isinstance(block, str) and block and "```python" in example.document.text[example.region.start :][:20]:
            lines += [""] * (example.line - len(lines))
            lines += block.splitlines()
    return "\n".join(lines) + "\n"


@pytest.mark.skipif(sys.version_info < (3, 11), reason="the pages are written in the syntax of 3.11")
def test_the_code_of_the_pages_type_checks(tmp_path: Path) -> None:
    pytest.importorskip("mypy", reason="mypy is not installed")
    for page in PAGES:
        target = tmp_path / (page_id(page).replace("/", "_").replace("-", "_")[: -len(".md")] + ".py")
        target.write_text(code_of(page), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file", "", "--no-error-summary", "."],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.stdout + done.stderr == ""


MODULES = ["parallel", *(f"parallel.{module.name}" for module in pkgutil.iter_modules(parallel.__path__))]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_in_docstrings_run(name: str) -> None:
    module = importlib.import_module(name)
    failures, _ = doctest.testmod(module, optionflags=doctest.ELLIPSIS)
    assert failures == 0


def test_the_pages_link_to_what_is_there() -> None:
    missing = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
            if "://" not in target and not (page.parent / target).exists():
                missing.append(f"{page_id(page)}: {target}")  # noqa: PERF401  # Three levels deep is no comprehension.
    assert missing == []


def test_code_that_is_not_run_is_that_of_an_example() -> None:
    def unindented(code: str) -> str:
        return "\n".join(line.strip() for line in code.splitlines())

    quoted = 0
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        blocks = re.findall(r"<!-- From (\S+) -->\n```py\n(.*?)\n```", text, re.DOTALL)
        assert len(blocks) == text.count("<!-- From "), page
        for example, block in blocks:
            assert unindented(block) in unindented((ROOT / example).read_text(encoding="utf-8"))
        quoted += len(blocks)
    assert quoted


def test_the_files_of_tests_that_the_pages_name_exist() -> None:
    pages = [*PAGES, ROOT / "CONTRIBUTING.md"]
    named = {name for page in pages for name in re.findall(r"\btests/[\w/]+\.\w+", page.read_text(encoding="utf-8"))}
    assert named
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_the_readme_shows_the_output_of_its_main_job() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / "quickstart.py"], capture_output=True, text=True, timeout=60, check=True
    )
    shown = (ROOT / "README.md").read_text(encoding="utf-8").partition("examples/quickstart.py\n```\n\n```text\n")[2]

    def without_times(text: str) -> str:
        return re.sub(r"\d\.\d s$", "", text, flags=re.MULTILINE)

    assert without_times(shown.partition("```")[0]) == without_times(done.stdout)


@pytest.mark.parametrize("number", [1, 2])
def test_the_readme_holds_the_examples_that_are_also_programs(number: int) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    marker = f"<!-- This example is also in tests/example{number}.py -->\n```python\n"
    block = readme.partition(marker)[2].partition("```")[0]
    program = (ROOT / "tests" / f"example{number}.py").read_text(encoding="utf-8")

    def statements(code: str) -> list[str]:
        lines = (line.partition("#")[0].strip() for line in code.splitlines())
        return [
            line for line in lines if line and "__future__" not in line and not line.startswith(("print", "return"))
        ]

    assert block
    assert [line for line in statements(program) if line not in statements(block)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_page_tells_anyone_to_install_what_belongs_to_others(page: Path) -> None:
    installs = re.findall(r"(?:install|add|--with)[^\n`]*", page.read_text(encoding="utf-8"))
    assert not [line for line in installs if re.search(r"[ '\"](python-)?parallel\b(?![./])", line)]


def load(number: int) -> str:
    return f"user {number}"


async def ask() -> None:
    pass


def fail() -> None:
    raise OSError


def wait_for(event: threading.Event) -> None:
    chain: Any = parallel.parallel(event.wait)(LIMIT)
    try:
        chain.results(timeout=0)
    finally:
        event.set()


def use_consumed_chain() -> None:
    chain = parallel.parallel(load)(1)
    chain.parallel(load)(2).results()
    chain.results()


def make_task() -> object:
    loop = asyncio.new_event_loop()
    try:
        return loop.create_task(start_in_parallel()(load)(1))
    finally:
        loop.close()


def enter_calls() -> None:
    with start_in_parallel()(load)(1):
        pass


def start_in_parallel() -> Any:
    """The function as its users may call it by mistake: with anything."""
    return parallel.parallel


MISTAKES: dict[str, Callable[[], object]] = {
    "parallel() takes a function or a context manager": lambda: start_in_parallel()(load(1)),
    "parallel() takes the function only, not also 1": lambda: start_in_parallel()(load, 1),
    "this call has been prepared, but not started": lambda: start_in_parallel()(load).results(),
    "a FutureCollection holds calls, not their results": lambda: list(start_in_parallel()(load)(1)),
    "this FutureCollection has been consumed": use_consumed_chain,
    "parallel() takes an ordinary function, … which is a coroutine function": lambda: start_in_parallel()(ask),
    "a coroutine was expected, got <FutureCollection …>": make_task,
    "timeout= is for context managers": lambda: start_in_parallel()(load, timeout=5),
    "parallel_map() passes items on as positional arguments": lambda: parallel.parallel_map(load, [1], verbose=True),  # type: ignore[call-overload]  # A mistake.
    "parallel() takes no max_workers=": lambda: start_in_parallel()(load, max_workers=8),
    ".parallel() takes no executor=": lambda: start_in_parallel()(load)(1).parallel(load, executor=None),
    "a FutureCollection is not entered": enter_calls,
    "… still running after … seconds, … still entering after … seconds": lambda: wait_for(threading.Event()),
    "2 of 3 calls failed": lambda: start_in_parallel()(fail)().parallel(fail)().parallel(load)(1).results(),
}
"""Headings of the page on troubleshooting, and a mistake that has an error with this message."""


@pytest.mark.parametrize("heading", MISTAKES)
def test_the_page_on_troubleshooting_has_the_message_as_a_heading(heading: str) -> None:
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    assert f"\n## {heading}\n" in page.replace("`", "")
    with pytest.raises(Exception) as raised:
        MISTAKES[heading]()
    message = str(raised.value)
    assert [part for part in heading.partition(", … still entering")[0].split("…") if part.strip() not in message] == []
