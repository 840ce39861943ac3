"""The matrix of checks. ``uvx nox -l`` lists them; ``uvx nox -s tests-3.13`` runs one; ``-j 2`` runs two at a time.

The session passes arguments after ``--`` to its program: ``uvx nox -s tests-3.13 -- tests/calls``.
A session is skipped if its Python is not on the ``PATH``. The environment variable ``PYTHONS`` adds folders to look in,
separated as on the ``PATH``; ``--download-python auto`` downloads what is missing.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import nox

nox.needs_version = ">= 2026.10"
nox.options.default_venv_backend = "uv"
nox.options.download_python = "never"
nox.options.allow_parallel = True
nox.options.sessions = ["lint", "types", "docs", "readme", "pip", "tests"]

PYTHONS = ("3.8", "3.9", "3.10", "3.11", "3.12", "3.13", "3.14", "3.14t", "3.15", "3.15t", "pypy3.11")
DEFAULT = "3.11"
"""What ``.python-version`` says; the only one that tries all of Hypothesis's inputs."""
WITH_EVERYTHING = "3.13"
"""The tests run here together with every checker, language server, executor and event loop that they know."""
SLOW = ("3.14t", "3.15t", "pypy3.11")
"""Slow interpreters run the tests of calls, contexts and event loops only: all tests would take three times as long."""
WITHOUT_PAGES = ("3.9", "3.10", "3.12", "3.15")
"""The pages and examples are tried on the oldest, the newest and the default Python, and on ``WITH_EVERYTHING``."""

ROOT = Path(__file__).parent
WHEELS = ROOT / "build" / "wheel"
IN_WHEEL = r"parallel/(\w+\.py|py\.typed)|python_parallel-[\d.]+\.dist-info/.*"

os.environ["PATH"] = os.pathsep.join(filter(None, [os.environ.get("PATH"), os.environ.get("PYTHONS")]))


@nox.session(python=DEFAULT)
def wheel(session: nox.Session) -> None:
    """Builds the wheel that the other sessions install, once per run of nox, and checks which files are in it."""
    shutil.rmtree(WHEELS, ignore_errors=True)
    session.run("uv", "build", "--quiet", "--wheel", "--out-dir", str(WHEELS), external=True)
    listing = session.run("python", "-m", "zipfile", "--list", str(built_wheel()), silent=True)
    names = [line.split()[0] for line in str(listing).splitlines()[1:]]
    odd = [name for name in names if not re.fullmatch(IN_WHEEL, name)]
    if odd or "parallel/py.typed" not in names:
        session.error(f"the wheel holds {odd or 'no py.typed'}")


@nox.session(python=PYTHONS, requires=["wheel"], tags=["ci"])
def tests(session: nox.Session) -> None:
    """Runs the tests against the built wheel."""
    groups = ["test"]
    if session.python == WITH_EVERYTHING:
        groups += ["lint", "typing", "integrations"]
    install(session, str(built_wheel()), groups=groups)
    is_chosen = session.python == DEFAULT or "HYPOTHESIS_PROFILE" in os.environ
    environment = {} if is_chosen else {"HYPOTHESIS_PROFILE": "quick"}
    session.run("python", "-VV")
    chosen = ["tests"]
    if session.python in SLOW:
        chosen = ["tests/calls", "tests/contexts", "tests/event_loops"]
    elif session.python in WITHOUT_PAGES:
        chosen = ["tests", "--ignore=tests/pages"]
    session.run("python", "-m", "pytest", "-q", *(session.posargs or chosen), env=environment)


@nox.session(python="3.8", requires=["wheel"], tags=["ci"])
def pip(session: nox.Session) -> None:
    """Installs the wheel on the oldest Python with nothing but pip."""
    folder = session.create_tmp()
    session.run("python", "-m", "venv", "--clear", folder)
    python = str(next(Path(folder).glob("[bS]*/python*")))
    session.run(python, "-m", "pip", "install", "--quiet", str(built_wheel()), external=True)
    program = "from parallel import parallel; assert parallel(str)(1).results() == ('1',)"
    session.run(python, "-c", program, external=True)


@nox.session(python=["3.8", DEFAULT, WITH_EVERYTHING], tags=["ci"])
def types(session: nox.Session) -> None:
    """Runs the type checkers: the last mypy for 3.8 over the typing cases, then mypy and strict pyright over all."""
    groups = ["lint", "test"]
    if session.python == WITH_EVERYTHING:
        groups += ["typing", "integrations"]
    install(session, "-e", ".", groups=groups)
    if session.python == "3.8":
        session.run("python", "-m", "pytest", "-q", found("test_typing.py"))
        return
    session.run("mypy", ".")
    if session.python == WITH_EVERYTHING:
        session.run("pyright")


@nox.session(python=DEFAULT, tags=["ci"])
def lint(session: nox.Session) -> None:
    """Checks formatting, lints, spelling and the rules of the house."""
    install(session, groups=["lint"])
    session.run("ruff", "format", "--check")
    session.run("ruff", "check")
    session.run("codespell")
    session.run("python", "tools/check_house_rules.py")


@nox.session(python=DEFAULT, tags=["ci"])
def docs(session: nox.Session) -> None:
    """Builds the site into ``site/``, and tries its search; ``-- serve`` serves it at http://127.0.0.1:8000 instead."""
    install(session, "-e", ".", groups=["docs", "test"])
    session.run("sphinx-build", "-W", "--keep-going", "--quiet", "--fresh-env", "docs", "site")
    if session.posargs == ["serve"]:
        session.run("python", "-m", "http.server", "--bind", "127.0.0.1", "--directory", "site", "8000")
    else:
        session.run("python", "-m", "pytest", "-q", found("test_site.py"))


@nox.session(python=False, tags=["ci"])
def readme(session: nox.Session) -> None:
    """Runs the README's two commands as they stand there: an example, then the tests on the default Python."""
    commands = re.findall(r"^```sh\n(pip install uv .*)\n```$", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE)
    if len(commands) != 2:  # noqa: PLR2004  # See above.
        session.error(f"the README has {len(commands)} commands: {commands}")
    for command in commands:
        session.run("bash", "-c", command, env={"VIRTUAL_ENV": None})


@nox.session(python=DEFAULT, requires=["wheel"])
def stress(session: nox.Session) -> None:
    """Makes random calls and blocks from several threads for ten minutes; ``-- --seconds 60 --seed 1`` for less."""
    install(session, str(built_wheel()), groups=["test"])
    session.run("python", found("stress.py"), *(session.posargs or ["--seconds", "600"]))


@nox.session(python=False)
def bench(session: nox.Session) -> None:
    """Measures everything in about eight minutes; ``-- --quick`` for less."""
    session.run("uv", "run", "benchmarks/run.py", *session.posargs)


def install(session: nox.Session, *packages: str, groups: list[str]) -> None:
    """Installs packages and dependency groups, in the versions that ``exclude-newer`` allows."""
    options = [f"--group={group}" for group in groups]
    session.install("--quiet", *options, *packages)


def built_wheel() -> Path:
    """Returns the wheel that the session ``wheel`` has built."""
    (path,) = WHEELS.glob("*.whl")
    return path


def found(name: str) -> str:
    """Returns the only file of that name among the tests."""
    (path,) = (ROOT / "tests").rglob(name)
    return str(path)
