"""The documentation site: it is built without warnings, and its search finds the right page first."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("sphinx", reason="Sphinx is not installed; the dependency group `docs` has it")

ROOT = Path(__file__).parents[2]
FIRST = {
    "deadlock": "calls",
    "max_workers": "recipes",
    "retry": "recipes",
    "jupyter": "recipes",
    "django": "recipes",
    "subprocess": "recipes",
    "windows": "platforms",
    "gil": "platforms",
    "timeout": "how-to/time-limits",
    "group": "how-to/exception-groups",
    "fork": "what-happens-when",
    "overload": "typing",
}
"""Words that people search for, and the page that should come first."""


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


def test_every_public_name_has_its_signature_and_its_source(site: Path) -> None:
    import parallel

    page = (site / "reference.html").read_text(encoding="utf-8")
    for name in parallel.__all__:
        assert re.search(rf'<dt class="sig sig-object py" id="[\w.]*\b{name}">', page), name
    assert page.count("[source]") > len(parallel.__all__)
    assert "Unpack" not in page
    assert "StopRequest" not in page


def test_every_page_is_in_the_navigation(site: Path) -> None:
    front = (site / "index.html").read_text(encoding="utf-8")
    pages = [path.relative_to(ROOT / "docs").with_suffix(".html").as_posix() for path in (ROOT / "docs").rglob("*.md")]
    assert [page for page in sorted(pages) if page != "index.html" and f'href="{page}"' not in front] == []
