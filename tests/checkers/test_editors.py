"""What editors show: five language servers, driven over stdio as an editor drives them, answer the same questions.

A question is a line of code with ``|`` where the cursor is. An answer is right if it holds all that is ``wanted`` and
nothing that is ``unwanted``, both regular expressions. ``LIMITS`` lists what servers get wrong, each with a question
that does without the library and gets the same wrong answer, so that the limit is the server's own. When a server gets
better, the limit has to go.

The table in ``docs/typing-matrix.md`` comes from here: ``UPDATE_DOCS=1 pytest tests/checkers/test_editors.py`` writes
it; without, it is compared.
"""

from __future__ import annotations

import ast
import asyncio
import functools
import importlib.metadata
import os
import re
import shutil
import sysconfig
import tempfile
import venv
from pathlib import Path
from typing import Any, Awaitable, Callable, NamedTuple, Sequence, TypeVar

import pytest

import parallel

pytest.importorskip("pygls", reason="pygls is not installed; the dependency group `typing` has it")
pytest.importorskip("pygls.lsp.client", reason="pygls is too old for this")

from lsprotocol import types as lsp  # After the skip.
from pygls.lsp.client import LanguageClient
from pygls.protocol import default_converter
from pygls.uris import to_fs_path

T = TypeVar("T")

PAGE = Path(__file__).parents[2] / "docs" / "typing-matrix.md"
LIMIT = 60.0
"""For how many seconds a server may take for an answer."""

SERVERS: dict[str, tuple[str, ...]] = {
    "pyright": ("pyright-langserver", "--stdio"),
    "basedpyright": ("basedpyright-langserver", "--stdio"),
    "pyrefly": ("pyrefly", "lsp"),
    "ty": ("ty", "server"),
    "zuban": ("zuban", "server"),
}

PRELUDE = '''\
from __future__ import annotations

import functools
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Callable, Generator, List, TypeVar, Union, overload

from parallel import ParallelExecutor, parallel, parallel_contexts, parallel_map
from typing_extensions import ParamSpec

P = ParamSpec("P")
T = TypeVar("T")


@dataclass
class User:
    """Somebody with a name."""

    name: str

    def greet(self, other: str, *, loud: bool = False) -> str:
        """Says hello to somebody else."""
        return other


def load_user(number: int, name: str = "anon", *, strict: bool = False) -> User:
    """Loads a user by number."""
    return User(name)


def fetch(url: str, retries: int = 3) -> bytes:
    """Fetches a page."""
    return url.encode() * retries


@contextmanager
def connect(host: str, port: int = 80) -> Generator[int, None, None]:
    """Connects to a host."""
    yield port


def passed_on(func: Callable[P, T]) -> Callable[P, List[T]]:
    """Passes a signature on."""
    raise NotImplementedError


@overload
def either(item: int) -> int:
    """Takes a number."""


@overload
def either(item: str) -> str:
    """Takes a text."""


def either(item: Union[int, str]) -> Union[int, str]:
    """Takes one or the other."""
    return item


somebody = User("")
user_call = parallel(load_user)(1)
chain = parallel(load_user)(1).parallel(fetch)("x")
contexts = parallel(connect("x")).parallel(open("x"))


def in_a_function(executor: Executor) -> None:
    """Has the cursor."""
'''


class Question(NamedTuple):
    """What an editor asks when the cursor is somewhere."""

    kind: str
    code: str
    wanted: Sequence[str]
    unwanted: Sequence[str] = ()


SOURCES = Path(parallel.__file__).parent


def summary(module: str, name: str, parameter: str) -> str:
    """Gives what a docstring of the library begins with, as a pattern; no server writes words and spaces differently.

    Of the definitions of the name, it is the first that has the parameter and a docstring.
    """
    for node in ast.walk(ast.parse((SOURCES / f"{module}.py").read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef) and node.name == name:
            arguments = [each.arg for each in (*node.args.posonlyargs, *node.args.args)]
            words = re.match(r"\w[\w' ]+\w", ast.get_docstring(node) or "")
            if parameter in arguments and words:
                return re.escape(words[0])
    raise LookupError(name)


CALL = summary("parallel", "parallel", "func")
CONTEXT_MANAGER = summary("parallel", "parallel", "context_manager")
UNTYPED = r"Unknown|\bAny(?! [a-z])"  # No prose, as in "Any thread may".
OPTION = r"timeout: float \| None"
DEFAULTS = (r"name: str = ['\"]anon['\"]", r"\*, strict: bool = False")

QUESTIONS = {
    "signature of a call": Question(
        "signature",
        "parallel(load_user)(|)",
        ["number: int", "name: str", "strict: bool", r"-> FutureCollection\[User\]"],
    ),
    "signature of a chained call": Question(
        "signature",
        "parallel(fetch)('').parallel(load_user)(|)",
        ["number: int", "name: str", "strict: bool", r"-> FutureCollection\[bytes, User\]"],
    ),
    "signature of a method": Question(
        "signature", "parallel(somebody.greet)(|)", ["other: str", "loud: bool", r"-> FutureCollection\[str\]"]
    ),
    "signature of a class": Question("signature", "parallel(User)(|)", ["name: str", r"-> FutureCollection\[User\]"]),
    "defaults and keyword-only parameters of a call": Question("signature", "parallel(load_user)(|)", DEFAULTS),
    "defaults and keyword-only parameters of a chained call": Question(
        "signature", "parallel(fetch)('').parallel(load_user)(|)", DEFAULTS
    ),
    "the function's docstring with the signature": Question(
        "signature", "parallel(load_user)(|)", ["Loads a user by number"]
    ),
    "signature of `parallel` with a context manager": Question(
        "signature", "parallel(connect(''), |)", [OPTION, "parallel_exit: bool", r"-> FutureContextCollection\["]
    ),
    "signature of a context manager in the chain": Question(
        "signature", "parallel(connect('')).parallel(connect(|))", ["host: str", "port: int"]
    ),
    "signature of `results`": Question(
        "signature",
        "chain.results(|)",
        [OPTION, r"return_when: .*ALL_COMPLETED", "User, bytes"],
    ),
    "signature of `parallel_map`": Question(
        "signature", "parallel_map(fetch, |)", [r"iterable: Iterable\[\w+\]", r"executor: Executor \| None"]
    ),
    "signature of `parallel_contexts`": Question(
        "signature", "parallel_contexts([], |)", [OPTION, "parallel_exit: bool"]
    ),
    "signature of `execute_one` with the function's parameters": Question(
        "signature",
        "ParallelExecutor.execute_one(load_user, |)",
        ["number: int", "name: str", "strict: bool", r"-> Future\[User\]"],
    ),
    "hover on `parallel` of a call": Question("hover", "par|allel(load_user)(1)", [CALL], [CONTEXT_MANAGER]),
    "hover on `parallel` of a context manager": Question(
        "hover",
        "par|allel(connect(''))",
        [r"ContextManager\[", CONTEXT_MANAGER],
        [CALL],
    ),
    "hover on `parallel` of a chained call": Question(
        "hover",
        "user_call.par|allel(fetch)('')",
        [r"FutureCollection\[User, T", summary("future_collection", "parallel", "func")],
    ),
    "hover on `parallel` of a chained context manager": Question(
        "hover",
        "parallel(connect('')).par|allel(connect(''))",
        [r"FutureContextCollection\[int, ", summary("future_context_collection", "parallel", "context_manager")],
    ),
    "hover on `parallel_map`": Question(
        "hover", "parallel_|map(fetch, [''])", [summary("parallel", "parallel_map", "func")]
    ),
    "hover on `results`": Question(
        "hover", "chain.resu|lts()", [r"-> [Tt]uple\[User, bytes\]", summary("future_collection", "results", "self")]
    ),
    "hover on `futures`": Question(
        "hover", "chain.futu|res", [r"[Tt]uple\[\S*CallFuture\[User\], \S*CallFuture\[bytes\]\]", "The calls' futures"]
    ),
    "hover on a future": Question(
        "hover", "user, pa|ge = chain.futures", [r"CallFuture\[bytes\]"], ["Unknown|CallFuture.*Any|User"]
    ),
    "hover on the result of a future": Question(
        "hover", "us|er = chain.futures[0].result()", [r"\bUser\b"], ["Unknown|Any|bytes"]
    ),
    "hover on `result` of a future": Question(
        "hover", "chain.futures[0].resu|lt()", ["-> User", "Waits for the call"], ["Unknown|Any"]
    ),
    "signature of `result` of a future": Question("signature", "chain.futures[0].result(|)", [OPTION, "-> User"]),
    "hover on the function": Question("hover", "parallel(load_u|ser)(1)", [r"number: int", "Loads a user by number"]),
    "hover on a result": Question("hover", "us|er, page = chain.results()", [r"\bUser\b"], [UNTYPED, "bytes"]),
    "hover on a later result": Question("hover", "user, pa|ge = chain.results()", [r"\bbytes\b"], [UNTYPED, "User"]),
    "hover on the tuple of results": Question(
        "hover", "res|ults = chain.results()", [r"[Tt]uple\[User, bytes\]"], [UNTYPED]
    ),
    "hover on a chain": Question("hover", "cha|in", [r"FutureCollection\[User, bytes\]"], [UNTYPED]),
    "hover on a chain of context managers": Question(
        "hover", "conte|xts", [r"FutureContextCollection\[int, [\w.]*TextIOWrapper.*\]"], [UNTYPED]
    ),
    "hover on a `with` target": Question(
        "hover", "with contexts as (fir|st, file):\n        pass", [r"\bint\b"], [UNTYPED, "TextIO"]
    ),
    "hover on a whole `with` target": Question(
        "hover", "with contexts as bo|th:\n        pass", [r"[Tt]uple\[int, [\w.]*TextIOWrapper.*\]"], [UNTYPED]
    ),
    "hover on the results of `parallel_map`": Question(
        "hover", "pa|ges = parallel_map(fetch, ['']).results()", [r"[Tt]uple\[bytes, \.\.\.\]"], [UNTYPED]
    ),
    "completion on a result": Question("completion", "chain.results()[0].|", [r"^greet$", r"^name$"], [r"^results$"]),
    "completion on an unpacked result": Question(
        "completion", "user, page = chain.results()\n    user.|", [r"^greet$", r"^name$"], [r"^results$"]
    ),
    "completion on a future": Question(
        "completion", "chain.futures[0].|", [r"^result$", r"^add_done_callback$"], [r"^results$"]
    ),
    "completion on the result of a future": Question(
        "completion", "chain.futures[0].result().|", [r"^greet$", r"^name$"], [r"^results$"]
    ),
    "completion on a `with` target": Question(
        "completion", "with contexts as (first, file):\n        file.|", [r"^readline$"], [r"^results$"]
    ),
    "completion on a chain": Question("completion", "chain.|", [r"^results$", r"^parallel$", r"^futures$"]),
    "completion on a chain of context managers": Question("completion", "contexts.|", [r"^parallel$"], [r"^results$"]),
    "definition of the function": Question("definition", "parallel(load_u|ser)(1)", [r"^def load_user\("]),
    "definition of a chained function": Question("definition", "user_call.parallel(fe|tch)('')", [r"^def fetch\("]),
    "definition of a method": Question("definition", "parallel(somebody.gr|eet)('')", [r"^    def greet\("]),
    "definition of `parallel`": Question("definition", "par|allel(load_user)(1)", [r"^def parallel\("]),
}


class Limit(NamedTuple):
    """What some servers get wrong, with or without the library."""

    text: str
    servers: frozenset[str]
    questions: frozenset[str]
    demonstration: Question


LIMITS: dict[str, Limit] = {
    "a signature that is passed on loses its docstring": Limit(
        "The names, types and defaults are there. The way around: hover over the function itself.",
        frozenset({"pyrefly", "ty", "zuban"}),
        frozenset({"the function's docstring with the signature"}),
        Question("signature", "passed_on(load_user)(|)", ["Loads a user by number"]),
    ),
    "`*args: P.args` is not replaced by the parameters": Limit(
        "It is the same with the `submit` of any standard executor. The way around: `parallel(load_user)(...)`.",
        frozenset({"pyrefly", "ty", "zuban"}),
        frozenset({"signature of `execute_one` with the function's parameters"}),
        Question("signature", "executor.submit(load_user, |)", ["number: int", "name: str", "strict: bool"]),
    ),
    "signatures show no defaults and no `*`": Limit(
        "The way around: hover over the function itself.",
        frozenset({"zuban"}),
        frozenset(
            {
                "defaults and keyword-only parameters of a call",
                "defaults and keyword-only parameters of a chained call",
            }
        ),
        Question("signature", "load_user(|)", DEFAULTS),
    ),
    "an overloaded function shows the docstring of its first overload, whichever applies": Limit(
        "The signature is the right one. The way around: `help(parallel)`, which tells of both.",
        frozenset({"pyrefly"}),
        frozenset({"hover on `parallel` of a call"}),
        Question("hover", "eit|her('')", ["Takes a text"], ["Takes a number"]),
    ),
    "an overloaded function shows the signatures and docstrings of all overloads": Limit(
        "The one that applies is among them.",
        frozenset({"zuban"}),
        frozenset({"hover on `parallel` of a call", "hover on `parallel` of a context manager"}),
        Question("hover", "eit|her('')", ["Takes a text"], ["Takes a number"]),
    ),
}


class Editor:
    """The part of an editor that talks to a server about files in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._client = LanguageClient("editor", "1", converter_factory=_converter)
        for request in (lsp.CLIENT_REGISTER_CAPABILITY, lsp.WINDOW_WORK_DONE_PROGRESS_CREATE):
            self._client.feature(request)(lambda _: None)
        self._client.feature(lsp.WORKSPACE_CONFIGURATION)(lambda parameters: [{} for _ in parameters.items])
        for notification in (lsp.WINDOW_LOG_MESSAGE, lsp.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS):
            self._client.feature(notification)(lambda _: None)

    async def start(self, command: Sequence[str]) -> None:
        """Starts a server, and tells it what the editor can show."""
        await self._client.start_io(*command, cwd=str(self._folder), env=_environment(self._folder))
        markdown = [lsp.MarkupKind.Markdown]
        capabilities = lsp.ClientCapabilities(
            workspace=lsp.WorkspaceClientCapabilities(configuration=True, workspace_folders=True),
            text_document=lsp.TextDocumentClientCapabilities(
                hover=lsp.HoverClientCapabilities(content_format=markdown),
                signature_help=lsp.SignatureHelpClientCapabilities(
                    signature_information=lsp.ClientSignatureInformationOptions(documentation_format=markdown)
                ),
            ),
        )
        uri = self._folder.as_uri()
        parameters = lsp.InitializeParams(
            capabilities, os.getpid(), root_uri=uri, workspace_folders=[lsp.WorkspaceFolder(uri, "folder")]
        )
        await _in_time(self._client.initialize_async(parameters))
        self._client.initialized(lsp.InitializedParams())

    async def stop(self) -> None:
        """Asks the server to end."""
        await _in_time(self._client.shutdown_async(None))
        self._client.exit(None)
        await _in_time(self._client.stop())

    def kill(self) -> None:
        """Ends the server, if it has not ended."""
        server = self._client._server  # noqa: SLF001  # pygls has nothing else for it.
        if server is not None and server.returncode is None:
            server.kill()

    async def ask(self, name: str, question: Question) -> str:
        """Opens a file with the question's code, asks, and gives the answer as text."""
        before, after = (PRELUDE + "    " + question.code).split("|")
        path = self._folder / f"{name}.py"
        path.write_text(before + after + "\n", encoding="utf-8")
        document = lsp.TextDocumentIdentifier(path.as_uri())
        position = lsp.Position(before.count("\n"), len(before.rpartition("\n")[2]))
        self._client.text_document_did_open(
            lsp.DidOpenTextDocumentParams(
                lsp.TextDocumentItem(document.uri, "python", 1, path.read_text(encoding="utf-8"))
            )
        )
        ask: Callable[[lsp.TextDocumentIdentifier, lsp.Position], Awaitable[str]] = getattr(self, f"_{question.kind}")
        return await _in_time(ask(document, position))

    async def _signature(self, document: lsp.TextDocumentIdentifier, position: lsp.Position) -> str:
        found = await self._client.text_document_signature_help_async(lsp.SignatureHelpParams(document, position))
        if found is None or not found.signatures:
            return ""
        shown = found.signatures[found.active_signature or 0]
        return f"{shown.label}\n{_text(shown.documentation)}"

    async def _hover(self, document: lsp.TextDocumentIdentifier, position: lsp.Position) -> str:
        found = await self._client.text_document_hover_async(lsp.HoverParams(document, position))
        return "" if found is None else re.sub(r"[ \n]+", " ", _text(found.contents))

    async def _completion(self, document: lsp.TextDocumentIdentifier, position: lsp.Position) -> str:
        found = await self._client.text_document_completion_async(lsp.CompletionParams(document, position))
        items = found.items if isinstance(found, lsp.CompletionList) else found or []
        return "\n".join(item.label for item in items)

    async def _definition(self, document: lsp.TextDocumentIdentifier, position: lsp.Position) -> str:
        found: Any = await self._client.text_document_definition_async(lsp.DefinitionParams(document, position))
        places = found if isinstance(found, (list, tuple)) else [found] if found else []
        return "\n".join(_line_at(place) for place in places)


def _converter() -> Any:
    """Reads what servers say; what ty says of notebooks is more than lsprotocol knows."""
    converter = default_converter()
    converter.register_structure_hook(lsp.NotebookDocumentSyncOptions, lambda _value, _type: None)
    return converter


def _environment(folder: Path) -> dict[str, str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return {**environment, "VIRTUAL_ENV": str(folder / ".venv")}


async def _in_time(answer: Awaitable[T]) -> T:
    return await asyncio.wait_for(answer, LIMIT)


def _text(content: Any) -> str:
    return str(getattr(content, "value", content) or "")


def _line_at(place: Any) -> str:
    """Reads the line that a server leads to."""
    uri = place.target_uri if isinstance(place, lsp.LocationLink) else place.uri
    where = place.target_selection_range if isinstance(place, lsp.LocationLink) else place.range
    line: int = where.start.line
    return Path(to_fs_path(uri) or "").read_text(encoding="utf-8").splitlines()[line]


async def _ask_all(folder: Path, command: Sequence[str]) -> dict[str, str]:
    editor = Editor(folder)
    try:
        await editor.start(command)
        answers = {}
        for number, (name, question) in enumerate(ALL_QUESTIONS.items()):
            answers[name] = await editor.ask(f"question{number}", question)
        await editor.stop()
    finally:
        editor.kill()
    return answers


ALL_QUESTIONS = {**QUESTIONS, **{name: limit.demonstration for name, limit in LIMITS.items()}}


@functools.lru_cache(maxsize=None)
def answers_of(server: str) -> dict[str, str]:
    """Starts a server in a folder in which the library is installed, and asks all questions."""
    program, *arguments = SERVERS[server]
    found = shutil.which(program, path=sysconfig.get_path("scripts"))
    if found is None:
        pytest.skip(f"{program} is not installed; the dependency group `typing` has it")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        venv.create(folder / ".venv", symlinks=os.name == "posix", with_pip=False)
        library = next((folder / ".venv").rglob("site-packages")) / "parallel"
        shutil.copytree(Path(parallel.__file__).parent, library, ignore=shutil.ignore_patterns("__pycache__"))
        (folder / "pyrightconfig.json").write_text('{"venvPath": ".", "venv": ".venv"}', encoding="utf-8")
        return asyncio.run(_ask_all(folder, [found, *arguments]))


def is_right(question: Question, answer: str) -> bool:
    """Whether all that is wanted is there, and nothing else."""
    return all(re.search(each, answer, re.MULTILINE) for each in question.wanted) and not any(
        re.search(each, answer, re.MULTILINE) for each in question.unwanted
    )


def limit_of(server: str, name: str) -> str:
    """Gives the name of the limit that makes a server get a question wrong, if there is one."""
    return next((key for key, limit in LIMITS.items() if server in limit.servers and name in limit.questions), "")


@pytest.mark.parametrize("name", QUESTIONS)
@pytest.mark.parametrize("server", SERVERS)
def test_server_answers(server: str, name: str) -> None:
    answer = answers_of(server)[name]
    limit = limit_of(server, name)
    assert is_right(QUESTIONS[name], answer) is not bool(limit), f"limit: {limit or None}; answer: {answer}"


@pytest.mark.parametrize("name", LIMITS)
@pytest.mark.parametrize("server", SERVERS)
def test_limit_is_the_servers_own(server: str, name: str) -> None:
    answer = answers_of(server)[name]
    if server in LIMITS[name].servers:
        assert not is_right(LIMITS[name].demonstration, answer), answer


def test_limits_are_of_questions_and_servers() -> None:
    for limit in LIMITS.values():
        assert limit.servers <= set(SERVERS)
        assert limit.questions <= set(QUESTIONS)


def _part_of_page() -> str:
    answers = {server: answers_of(server) for server in SERVERS}
    right = {
        name: [is_right(question, answers[server][name]) for server in SERVERS] for name, question in QUESTIONS.items()
    }
    cells = [cell for row in right.values() for cell in row]
    versions = ", ".join(f"{server} {importlib.metadata.version(server)}" for server in SERVERS)
    lines = [f"{sum(cells)} of {len(cells)} cells are right: {versions}.", ""]
    lines += ["| what is asked | " + " | ".join(SERVERS) + " |", "|---|" + "---|" * len(SERVERS)]
    for name, row in right.items():
        shown = ["yes" if cell else "[no](#limits-of-servers)" for cell in row]
        lines.append(f"| {name} | " + " | ".join(shown) + " |")
    lines += ["", "## Limits of servers", "", "The demonstrations do without the library. They use these:", ""]
    lines += ["```py", _code_of_demonstrations(), "```"]
    for name, limit in LIMITS.items():
        of = "; ".join(question for question in QUESTIONS if question in limit.questions)
        lines += ["", f"### {', '.join(sorted(limit.servers))}: {name}", "", f"Concerns: {of}. {limit.text}"]
        code = limit.demonstration.code.replace("|", "█")
        lines += ["", f"Ask for the {limit.demonstration.kind} at the cursor of `{code}`."]
    return "\n".join(lines)


def _code_of_demonstrations() -> str:
    start, end = PRELUDE.index("def load_user"), PRELUDE.index("somebody =")
    parts = re.split(r"\n\n\n", PRELUDE[start:end].strip())
    return "\n\n\n".join(part for part in parts if re.search(r"def (load_user|passed_on|either)\(", part))


def test_page_is_up_to_date() -> None:
    start, end = "<!-- editors: written by tests/checkers/test_editors.py -->\n\n", "\n\n<!-- end of editors -->"
    page = PAGE.read_text(encoding="utf-8")
    before, started, rest = page.partition(start.strip())
    _, ended, after = rest.partition(end.strip())
    assert started
    assert ended
    written = f"{before}{start}{_part_of_page()}{end}{after}"
    if os.environ.get("UPDATE_DOCS"):
        PAGE.write_text(written, encoding="utf-8")
    assert page == written or os.environ.get("UPDATE_DOCS"), "run UPDATE_DOCS=1 pytest tests/checkers/test_editors.py"
