"""Context managers as people use them: those bound to a thread or a context, and those of the standard library."""

from __future__ import annotations

import asyncio
import decimal
import io
import mmap
import multiprocessing
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import tarfile
import threading
import urllib.request
import warnings
import zipfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, nullcontext, redirect_stdout, suppress
from contextvars import ContextVar, Token
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Callable, Iterator, NamedTuple

import pytest

from helpers import wait_for_idle_threads
from parallel import parallel

# Bound to a thread.


def test_a_reentrant_lock_is_held_by_its_manager_and_not_by_the_body() -> None:
    first, second = threading.RLock(), threading.RLock()
    with parallel(first).parallel(second):
        assert not first.acquire(blocking=False)
        assert not second.acquire(blocking=False)
    with first, second:
        pass


def test_a_reentrant_lock_is_released_when_the_body_fails() -> None:
    lock = threading.RLock()
    with pytest.raises(KeyError), parallel(lock).parallel(nullcontext()):
        raise KeyError
    assert lock.acquire(blocking=False)
    lock.release()


class Transaction:
    """A connection that sqlite3 lets no other thread use."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> sqlite3.Connection:
        self._connection = sqlite3.connect(str(self._path))
        self._connection.execute("CREATE TABLE notes (note TEXT)")
        self._connection.execute("INSERT INTO notes VALUES ('entered')")
        return self._connection

    def __exit__(self, exc_type: object, error: BaseException | None, traceback: object) -> None:
        if error is None:
            self._connection.execute("INSERT INTO notes VALUES ('exited')")
            self._connection.commit()
        self._connection.close()


def notes_in(path: Path) -> list[str]:
    with closing(sqlite3.connect(str(path))) as connection:
        return [note for (note,) in connection.execute("SELECT note FROM notes")]


def test_a_database_connection_made_on_entering_is_used_by_its_manager_only(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    with parallel(Transaction(first)).parallel(Transaction(second)) as (connection, _):
        with pytest.raises(sqlite3.ProgrammingError, match="thread"):
            connection.execute("SELECT note FROM notes")
    assert notes_in(first) == notes_in(second) == ["entered", "exited"]


def test_a_transaction_is_rolled_back_when_the_body_fails(tmp_path: Path) -> None:
    with pytest.raises(KeyError), parallel(Transaction(tmp_path / "notes")).parallel(nullcontext()):
        raise KeyError
    assert notes_in(tmp_path / "notes") == []


def test_thread_locals_last_from_enter_to_exit_and_belong_to_one_manager() -> None:
    local = threading.local()
    exited = []

    @contextmanager
    def keep(name: str) -> Iterator[str]:
        assert not hasattr(local, "name")
        local.name = name
        yield name
        exited.append(local.name)
        del local.name

    with parallel(keep("first")).parallel(keep("second")):
        assert not hasattr(local, "name")
    assert exited == ["second", "first"]


def test_a_lock_cannot_stand_in_a_chain_twice() -> None:
    lock = threading.RLock()
    with pytest.raises(TimeoutError), parallel(lock, timeout=0.01).parallel(lock):
        pytest.fail("both have been entered")
    wait_for_idle_threads()
    assert lock.acquire(blocking=False)
    lock.release()


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="this system has no SIGUSR1")
def test_signal_handlers_cannot_be_set_by_a_manager() -> None:
    @contextmanager
    def ignoring() -> Iterator[None]:
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        yield

    with pytest.raises(ValueError, match="main thread"), parallel(ignoring()).parallel(nullcontext()):
        pytest.fail("both have been entered")


needs_runner = pytest.mark.skipif(sys.version_info < (3, 11), reason="asyncio.Runner came with 3.11")


@needs_runner
def test_an_event_loop_runs_what_its_manager_starts_and_stops() -> None:
    happened = []

    async def note(what: str, number: int) -> str:
        await asyncio.sleep(0)
        happened.append(what)
        return f"{what} {number}"

    @contextmanager
    def service(number: int) -> Iterator[str]:
        with asyncio.Runner() as runner:  # type: ignore[attr-defined,unused-ignore]  # From 3.11.
            started = runner.run(note("started", number))
            yield started
            runner.run(note("stopped", number))

    with parallel(service(1)).parallel(service(2)) as values:
        assert values == ("started 1", "started 2")
        assert happened == ["started", "started"]
    assert happened == ["started", "started", "stopped", "stopped"]


@needs_runner
def test_the_body_can_run_an_idle_event_loop() -> None:
    async def answer() -> int:
        await asyncio.sleep(0)
        return 42

    manager: Any = asyncio.Runner()  # type: ignore[attr-defined,unused-ignore]  # From 3.11.
    with parallel(manager).parallel(nullcontext()) as (runner, _):
        assert runner.run(answer()) == 42
    late = answer()
    with closing(late), pytest.raises(RuntimeError, match="closed"):
        runner.run(late)


# Bound to a context.


def test_a_local_decimal_context_is_that_of_the_body() -> None:
    before = decimal.getcontext().prec
    precise = decimal.Context(prec=50)
    with parallel(nullcontext()).parallel(decimal.localcontext(precise)) as (_, context):
        assert decimal.getcontext() is context
        assert len(str(decimal.Decimal(1) / 3)) == 52
        decimal.getcontext().prec = 10
        assert len(str(decimal.Decimal(1) / 3)) == 12
    assert decimal.getcontext().prec == before


def test_of_two_local_decimal_contexts_the_later_wins() -> None:
    before = decimal.getcontext()
    contexts = parallel(decimal.localcontext(decimal.Context(prec=5))).parallel(
        decimal.localcontext(decimal.Context(prec=7))
    )
    with contexts as (_, second):
        assert decimal.getcontext() is second
    assert decimal.getcontext() is before


_user: ContextVar[str] = ContextVar("user")


class ActingAs:
    """Sets a variable, and resets it with the token."""

    def __init__(self, user: str) -> None:
        self._user = user

    def __enter__(self) -> str:
        self._token: Token[str] = _user.set(self._user)
        return self._user

    def __exit__(self, *_: object) -> None:
        _user.reset(self._token)


def test_tokens_reset_what_they_were_made_for() -> None:
    with parallel(ActingAs("ada")).parallel(ActingAs("bob")):
        assert _user.get() == "bob"
        with parallel(ActingAs("eve")).parallel(nullcontext()):
            assert _user.get() == "eve"
        assert _user.get() == "bob"
    assert _user.get("nobody") == "nobody"


def test_a_token_made_by_an_enter_is_of_no_use_to_the_body() -> None:
    @contextmanager
    def setting() -> Iterator[Token[str]]:
        yield _user.set("ada")

    with parallel(setting()).parallel(nullcontext()) as (token, _), pytest.raises(ValueError, match="Context"):
        _user.reset(token)


_bound: ContextVar[dict[str, object]] = ContextVar("bound")


@contextmanager
def bound_variables(**values: object) -> Iterator[None]:
    """As loggers have them: binds names for all that is logged within the block."""
    token = _bound.set({**_bound.get({}), **values})
    try:
        yield
    finally:
        _bound.reset(token)


@contextmanager
def logging_its_end(log: list[dict[str, object]]) -> Iterator[None]:
    yield
    log.append(_bound.get({}))


def test_variables_bound_for_a_logger_are_seen_by_the_body_and_by_outer_exits() -> None:
    log: list[dict[str, object]] = []
    with bound_variables(app="shop"):
        with parallel(logging_its_end(log)).parallel(bound_variables(request=1)).parallel(logging_its_end(log)):
            log.append(_bound.get())
            with bound_variables(step="pay"):
                log.append(_bound.get())
        log.append(_bound.get())
    in_request = {"app": "shop", "request": 1}
    assert log == [in_request, {**in_request, "step": "pay"}, in_request, {"app": "shop"}, {"app": "shop"}]


def test_what_the_body_binds_is_seen_by_the_exits() -> None:
    log: list[dict[str, object]] = []
    with parallel(logging_its_end(log)).parallel(nullcontext()):
        token = _bound.set({"found": "in the body"})
    assert log == [{"found": "in the body"}]
    _bound.reset(token)


def test_caught_warnings_are_caught_in_the_body() -> None:
    before = list(warnings.filters)
    with parallel(warnings.catch_warnings(record=True)).parallel(nullcontext()) as (caught, _):
        assert caught is not None
        warnings.simplefilter("always")
        warnings.warn("in the body", UserWarning, stacklevel=1)
    assert [str(warning.message) for warning in caught] == ["in the body"]
    assert list(warnings.filters) == before


# Of the standard library, as the description names them.


class Case(NamedTuple):
    """A manager, what the body does with it, and how to see that it was exited."""

    make: Callable[[Path], Any]
    use: Callable[[Any], object]
    answer: object
    is_over: Callable[[Any], object]


def _raises(error: type[BaseException], func: Callable[..., object], *args: object) -> bool:
    with suppress(error):
        func(*args)
        return False
    return True


def _is_terminated(pool: Any) -> bool:
    pool.join()
    return _raises(ValueError, pool.apply, abs, (-1,))


def _write(file: Any) -> object:
    return file.write("text"), file.seek(0), file.read()


def _add_to_tar(archive: Any) -> object:
    archive.addfile(tarfile.TarInfo("name"), io.BytesIO())
    return archive.getnames()


def _add_to_zip(archive: Any) -> object:
    archive.writestr("name", "text")
    return archive.namelist()


def _talk(server: socket.socket) -> object:
    with socket.create_connection(server.getsockname()) as client, server.accept()[0] as connection:
        client.sendall(b"hello")
        return connection.recv(5)


def _print_to(stream: Any) -> object:
    print("hello")
    return stream.getvalue()


def _python(code: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)


def _push(stack: ExitStack) -> object:
    return stack.enter_context(nullcontext("pushed"))


CASES = {
    "open": Case(lambda path: (path / "file").open("w+"), _write, (4, 0, "text"), lambda file: file.closed),
    "TemporaryDirectory": Case(
        lambda path: TemporaryDirectory(dir=str(path)), os.path.isdir, True, lambda name: not Path(name).exists()
    ),
    "socket": Case(
        lambda _: socket.create_server(("127.0.0.1", 0)), _talk, b"hello", lambda server: server.fileno() == -1
    ),
    "Popen": Case(
        lambda _: _python("print(input())"),
        lambda process: process.communicate("hello", 30)[0],
        "hello\n",
        lambda process: process.returncode == 0,
    ),
    "ThreadPoolExecutor": Case(
        lambda _: ThreadPoolExecutor(2),
        lambda pool: list(pool.map(abs, [-1, -2])),
        [1, 2],
        lambda pool: _raises(RuntimeError, pool.submit, abs, 1),
    ),
    "tarfile": Case(
        lambda path: tarfile.open(path / "archive.tar", "w"),  # noqa: SIM115  # It is managed later.
        _add_to_tar,
        ["name"],
        lambda archive: archive.closed,
    ),
    "zipfile": Case(
        lambda path: zipfile.ZipFile(path / "archive.zip", "w"),
        _add_to_zip,
        ["name"],
        lambda archive: archive.fp is None,
    ),
    "redirect_stdout": Case(
        lambda _: redirect_stdout(io.StringIO()),
        _print_to,
        "hello\n",
        lambda stream: sys.stdout is not stream,
    ),
    "multiprocessing.Pool": Case(
        lambda _: multiprocessing.get_context("spawn").Pool(1),
        lambda pool: pool.apply(abs, (-1,)),
        1,
        _is_terminated,
    ),
    "memoryview": Case(lambda _: memoryview(b"bytes"), bytes, b"bytes", lambda view: _raises(ValueError, bytes, view)),
    "mmap": Case(lambda _: mmap.mmap(-1, 4), len, 4, lambda mapped: mapped.closed),
    "closing": Case(lambda _: closing(io.StringIO("text")), io.StringIO.read, "text", lambda stream: stream.closed),
    "ExitStack": Case(lambda _: ExitStack(), _push, "pushed", lambda _: True),
    "Semaphore": Case(lambda _: threading.Semaphore(), bool, True, lambda entered: entered is True),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_manager_of_the_standard_library_works_unchanged(case: Case, tmp_path: Path) -> None:
    with case.make(tmp_path) as value:
        assert case.use(value) == case.answer
    assert case.is_over(value)
    (tmp_path / "again").mkdir()
    with parallel(nullcontext()).parallel(case.make(tmp_path / "again")) as (_, value):
        assert case.use(value) == case.answer
    assert case.is_over(value)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_manager_of_the_standard_library_is_exited_when_the_body_fails(case: Case, tmp_path: Path) -> None:
    with pytest.raises(LookupError), parallel(case.make(tmp_path)).parallel(nullcontext()) as (value, _):
        assert case.use(value) == case.answer
        raise LookupError
    assert case.is_over(value)


def test_many_managers_of_the_standard_library_work_together(tmp_path: Path) -> None:
    cases = list(CASES.values())
    chain: Any = parallel(cases[0].make(tmp_path))
    for case in cases[1:]:
        chain = chain.parallel(case.make(tmp_path))
    with chain as values:
        assert [case.use(value) for case, value in zip(cases, values)] == [case.answer for case in cases]
    assert all(case.is_over(value) for case, value in zip(cases, values))


class _Hello(BaseHTTPRequestHandler):
    def do_GET(self) -> None:  # The name that the server calls.
        self.send_response(200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"hello")

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # As in the base class.
        pass


@contextmanager
def serving() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), _Hello)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield "http://{}:{}/".format(*server.server_address[:2])
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_responses_of_a_web_server_are_read_in_the_body_and_closed() -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with serving() as address:
        with parallel(opener.open(address)).parallel(opener.open(address)) as responses:
            assert [response.read() for response in responses] == [b"hello", b"hello"]
        assert all(response.closed for response in responses)


def test_a_server_and_a_directory_are_set_up_together() -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with parallel(serving()).parallel(TemporaryDirectory()) as (address, _), opener.open(address) as response:
        assert response.read() == b"hello"
