"""The documentation site: it is built without warnings, fits a phone, and its search finds the right page first."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Iterator
from urllib.parse import quote

import pytest

from headless_browser import Browser, chromium

pytest.importorskip("sphinx", reason="Sphinx is not installed; the dependency group `docs` has it")

ROOT = Path(__file__).parents[2]
FIRST = {
    "deadlock": "calls",
    "max_workers": "recipes",
    "retry": "recipes",
    "jupyter": "recipes",
    "notebook": "recipes",
    "django": "recipes",
    "subprocess": "recipes",
    "windows": "platforms",
    "gil": "platforms",
    "timeout": "how-to/time-limits",
    "asyncio": "how-to/asyncio",
    "group": "how-to/exception-groups",
    "threadpoolexecutor": "coming-from",
    "joblib": "coming-from",
    "gather": "coming-from",
    "fork": "what-happens-when",
    "overload": "typing",
    "mypy": "typing",
}
"""Words that people search for, and the page that should come first."""
FIRST_IN_A_BROWSER = {
    **FIRST,
    "exception group": "how-to/exception-groups",
    "SQLAlchemy": "recipes",
    "pytest": "recipes",
    "Ctrl-C": "what-happens-when",
    "cancel": "reference",  # Its method.
}
WIDTHS = {"phone": 390, "wide": 1280}
OFF_THE_SCREEN = """
[...document.querySelectorAll('article table, article img, article dt.sig')].filter(element => {
    const box = element.getBoundingClientRect();
    const around = element.closest('.table-wrapper');
    const scrolls = around !== null && around.scrollWidth > around.clientWidth + 1;
    return scrolls || box.right > document.documentElement.clientWidth + 1;
}).map(element => element.innerText || element.src)
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-E", str(ROOT / "docs"), str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", timeout=300, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    return folder


@pytest.fixture(scope="module")
def index(site: Path) -> Any:
    text = (site / "searchindex.js").read_text(encoding="utf-8")
    return json.loads(re.sub(r"^Search\.setIndex\(|\)$", "", text))


def found_for(index: Any, word: str) -> list[str]:
    """Orders the pages as the site's search does: a word in a heading counts most, and then the title decides."""
    stemmer = pytest.importorskip("snowballstemmer").stemmer("english")
    stem = stemmer.stemWord(word)

    def pages_with(terms: dict[str, Any]) -> set[int]:
        found = terms.get(stem, terms.get(word, []))
        return set(found if isinstance(found, list) else [found])

    in_headings, in_texts = pages_with(index["titleterms"]), pages_with(index["terms"])
    pages = sorted(in_headings | in_texts, key=lambda page: (page not in in_headings, index["titles"][page].lower()))
    return [index["docnames"][page] for page in pages]


@pytest.mark.parametrize("word", FIRST)
def test_the_search_finds_the_right_page_first(index: Any, word: str) -> None:
    assert found_for(index, word)[0] == FIRST[word]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    program = chromium()
    if program is None or sys.platform == "win32":
        pytest.skip("there is no Chromium on the PATH, nor in the environment variable CHROMIUM")
    with Browser(program, tmp_path_factory.mktemp("browser")) as browser:
        yield browser


@pytest.mark.parametrize("words", FIRST_IN_A_BROWSER)
def test_the_search_of_a_browser_finds_the_right_page_first(site: Path, browser: Browser, words: str) -> None:
    has_ended = "document.querySelector('.search-summary')?.innerText.includes('found')"
    browser.open(f"{(site / 'search.html').as_uri()}?q={quote(words)}", has_ended)
    first = browser.evaluate("document.querySelector('ul.search li a').getAttribute('href')")
    assert first.partition("?")[0].partition("#")[0] == f"{FIRST_IN_A_BROWSER[words]}.html"


@pytest.mark.parametrize("width", WIDTHS)
def test_every_table_and_picture_is_on_the_screen(site: Path, browser: Browser, width: str) -> None:
    browser.resize(WIDTHS[width], 844)
    off_the_screen = {}
    for page in sorted((ROOT / "docs").rglob("*.md")):
        browser.open((site / page.relative_to(ROOT / "docs").with_suffix(".html")).as_uri())
        found = browser.evaluate(OFF_THE_SCREEN)
        if found:
            off_the_screen[page.name] = found
    assert off_the_screen == {}


def test_every_public_name_has_its_signature_and_its_source(site: Path) -> None:
    import parallel

    page = (site / "reference.html").read_text(encoding="utf-8")
    for name in parallel.__all__:
        assert re.search(rf'<dt class="sig sig-object py" id="[\w.]*\b{name}">', page), name
    assert page.count("[source]") > len(parallel.__all__)
    assert "Unpack" not in page
    assert "StopRequest" not in page
    assert "CallableContextManager" not in page


def test_the_reference_has_an_example_of_every_public_method() -> None:
    import parallel

    text = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    code = "".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL))
    dunder = {"__enter__": "with both", "__exit__": "with both", "__aenter__": "async with", "__await__": "await"}
    missing = []
    for name in parallel.__all__:
        public = re.search(rf"<!-- reference: autoclass parallel[.\w]*\.{name}\n(.*?)-->", text, re.DOTALL)
        methods = re.findall(r"\w+", " ".join(re.findall(r"members: (.*)", public[1]))) if public else []
        for each in [name, *(dunder.get(method, f".{method}") for method in methods if method != "__aexit__")]:
            if each not in code:
                missing.append(f"{name}: {each}")  # noqa: PERF401  # Three levels deep is no comprehension.
    assert missing == []


def test_every_page_is_in_the_navigation(site: Path) -> None:
    front = (site / "index.html").read_text(encoding="utf-8")
    pages = [path.relative_to(ROOT / "docs").with_suffix(".html").as_posix() for path in (ROOT / "docs").rglob("*.md")]
    assert [page for page in sorted(pages) if page != "index.html" and f'href="{page}"' not in front] == []
