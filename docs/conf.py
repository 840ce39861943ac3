"""The configuration of the documentation site: ``uvx nox -s docs`` builds it with Sphinx, without the network.

The pages are plain Markdown, so that they can be read on a repository's page as well. This file adds what only a site
has: the navigation, the signatures of the reference, and the changelog.
"""

from __future__ import annotations

import re
import sys
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docutils import nodes
from sphinx import addnodes

if TYPE_CHECKING:
    from sphinx.application import Sphinx

DOCS = Path(__file__).parent
ROOT = DOCS.parent
sys.path.insert(0, str(ROOT / "src"))

project = "parallel"
copyright = "the authors of parallel"  # noqa: A001  # Sphinx reads this name.
version = release = re.findall(r'^version = "(.*)"$', (ROOT / "pyproject.toml").read_text("utf-8"), re.MULTILINE)[0]

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.intersphinx",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
]
exclude_patterns = ["_static"]
nitpicky = False

html_theme = "furo"
html_title = f"parallel {version}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_favicon = "_static/logo.svg"
html_logo = "_static/logo.svg"
html_copy_source = False
html_show_sphinx = False
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#2563a8", "color-brand-content": "#2563a8"},
    "dark_css_variables": {"color-brand-primary": "#7fb2ec", "color-brand-content": "#7fb2ec"},
}
pygments_style = "friendly"
pygments_dark_style = "monokai"
copybutton_selector = "div:not(.highlight-text) > div.highlight > pre"  # Outputs are not to be pasted.
copybutton_prompt_text = "$ "

myst_heading_anchors = 4
myst_enable_extensions = ["attrs_block"]
suppress_warnings = ["myst.header"]  # The changelog's levels are its own.

add_module_names = False
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
toc_object_entries = False
napoleon_numpy_docstring = False

NAVIGATION = {
    "Start": ("why", "install", "tutorial", "coming-from"),
    "Recipes": (
        "recipes",
        "how-to/services-in-tests",
        "how-to/web-handler",
        "how-to/asyncio",
        "how-to/time-limits",
        "how-to/keep-what-has-finished",
        "how-to/exception-groups",
        "how-to/progress-bars",
        "how-to/debugging",
        "how-to/outgrow-one-machine",
        "how-to/notebooks",
        "troubleshooting",
    ),
    "Guarantees": ("calls", "with", "what-happens-when", "platforms", "typing", "typing-matrix", "limits"),
    "Reference": ("reference", "glossary"),
    "Background": ("performance", "comparison", "how-it-works", "changelog"),
}
"""The pages in their order. A page that is not there yet is left out."""

NAMES = {
    "py:class": "concurrent.futures.Executor concurrent.futures.Future concurrent.futures.ThreadPoolExecutor "
    "contextvars.Context contextvars.ContextVar contextlib.ExitStack threading.Thread",
    "py:function": "threading.excepthook concurrent.futures.wait concurrent.futures.as_completed asyncio.to_thread "
    "asyncio.gather",
    "py:exception": "ExceptionGroup BaseExceptionGroup TypeError ValueError RuntimeError TimeoutError MemoryError "
    "BaseException Exception KeyboardInterrupt",
}
"""The names of Python's own documentation that the reference links to. The site is built without the network."""


def python_inventory() -> str:
    """Writes an inventory of ``NAMES`` for intersphinx; returns its path."""
    folder = ROOT / "build"
    folder.mkdir(exist_ok=True)
    lines = []
    for role, names in NAMES.items():
        for name in names.split():
            module = name.rpartition(".")[0] or ("exceptions" if role == "py:exception" else "functions")
            lines.append(f"{name} {role} 1 library/{module}.html#$ -\n")
    head = "# Sphinx inventory version 2\n# Project: Python\n# Version: 3\n# The remainder is compressed using zlib.\n"
    path = folder / "python.inv"
    path.write_bytes(head.encode() + zlib.compress("".join(lines).encode()))
    return str(path)


intersphinx_mapping = {"python": ("https://docs.python.org/3", python_inventory())}


def add_what_only_a_site_has(_: Sphinx, page: str, content: list[str]) -> None:
    """Replaces comments such as ``<!-- reference: autofunction parallel.parallel -->``, and adds the navigation."""
    text = content[0]
    if page == "index":
        for caption, pages in NAVIGATION.items():
            there = [name for name in pages if (DOCS / f"{name}.md").exists()]
            text += "\n```{toctree}\n:hidden:\n:caption: " + caption + "\n\n" + "\n".join(there) + "\n```\n"
    if page == "changelog":
        text = re.sub(r"^## \[(.*?)\]", r"## \1", (ROOT / "CHANGELOG.md").read_text("utf-8"), flags=re.MULTILINE)
    if page == "reference":
        text = re.sub(r"<!-- reference: (\w+) (\S+)(.*?)-->", directive, text, flags=re.DOTALL)
    content[0] = text


def directive(found: re.Match[str]) -> str:
    """Returns the directive of autodoc that a comment stands for; its options stand on the lines that follow."""
    options = "".join(f"\n   {line.strip()}" for line in found[3].strip().splitlines())
    return f"```{{eval-rst}}\n.. {found[1]}:: {found[2]}{options}\n```"


MADE_BY_THE_LIBRARY = {"FutureCollection", "FutureContextCollection", "Cancellation", "ReturnWhen"}
"""Classes whose constructors are not for users."""

INTERNAL_TYPE = "CallableContextManager"
"""The type of objects that are both callable and context managers: the docstring says that both are possible."""


def write_signature(*event: Any) -> tuple[str, str] | None:
    """Hides internal constructors, and writes type variables as in the source, which autodoc cannot."""
    _, what, name, _, _, signature, returns = event
    if what == "class" and name.rpartition(".")[2] in MADE_BY_THE_LIBRARY:
        return "", ""
    if "~P" not in (signature or ""):
        return None
    signature = signature.replace("*args: ~typing.~P", "*args: P.args").replace(
        "**kwargs: ~typing.~P", "**kwargs: P.kwargs"
    )
    signature = re.sub(r"~(typing|parallel\.\w+)\.", "", signature).replace("~P", "P")
    return signature, (returns or "").replace("~P", "P")


def mend_property(_: Sphinx, what: str, *event: Any) -> None:
    """Keeps napoleon from taking the words before a colon for the type of a property."""
    lines = event[-1]
    if what == "property" and lines:
        lines[0] = lines[0].replace(": ", ", as in ")


def show_signatures_for_users(_: Sphinx, doctree: nodes.document) -> None:
    """Drops the overload with an internal type; gives ``futures`` the type that checkers see."""
    for description in doctree.findall(addnodes.desc):
        signatures = [node for node in description.children if isinstance(node, addnodes.desc_signature)]
        for signature, following in zip(signatures, signatures[1:]):
            if INTERNAL_TYPE in signature.astext():
                following["ids"] = [*signature["ids"], *following["ids"]]
                following += [
                    node for node in signature.children if isinstance(node, nodes.Element) and "viewcode" in str(node)
                ]
                description.remove(signature)
        for signature in signatures:
            if signature.get("fullname") == "FutureCollection.futures":
                *_, annotation = signature.findall(addnodes.desc_annotation)
                annotation.children = [nodes.Text(": tuple[CallFuture[T1], CallFuture[T2], ...]")]


def simplify_types(_: Sphinx, doctree: nodes.document) -> None:
    """Writes ``Callable[P, T]`` and ``*Ts`` where autodoc writes ``Callable[[P], T]`` and ``Unpack[Ts]``."""
    for signature in doctree.findall(addnodes.desc_signature):
        for opening in list(signature.findall(addnodes.desc_sig_punctuation)):
            if opening.astext() != "[" or opening.parent is None:
                continue
            siblings = opening.parent.children
            at = siblings.index(opening)
            before = siblings[at - 1].astext() if at else ""
            if before == "[" and siblings[at + 1].astext() in {"P", "..."}:
                del siblings[at + 2], siblings[at]
            elif before == "Unpack":
                closing = closing_bracket(siblings, at)
                del siblings[closing], siblings[at]
                siblings[at - 1] = addnodes.desc_sig_operator("", "*")


def closing_bracket(siblings: list[nodes.Node], opening: int) -> int:
    """Returns the place of the bracket that closes the one at ``opening``."""
    depth = 0
    for place, node in enumerate(siblings[opening:], opening):
        depth += {"[": 1, "]": -1}.get(node.astext(), 0)
        if not depth:
            return place
    raise ValueError("the bracket is never closed")


def setup(app: Any) -> None:
    """Is called by Sphinx."""
    app.connect("source-read", add_what_only_a_site_has)
    app.connect("autodoc-process-signature", write_signature)
    app.connect("autodoc-process-docstring", mend_property, priority=400)  # Before napoleon.
    app.connect("doctree-read", show_signatures_for_users)
    app.connect("doctree-read", simplify_types)
