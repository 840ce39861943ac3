"""The inputs of the real work: an HTTP server, files, services, a database and numbers.

python real_inputs.py    # is the HTTP server, until its standard input ends
"""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import threading
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any, Iterator, final
from urllib.request import ProxyHandler, build_opener

SECONDS_PER_ANSWER = 0.005
"""How long the HTTP server waits before it answers, as if it asked a database."""

SERVICE = """
import sys, time

time.sleep(0.05)  # A database reads its files.
print("ready", flush=True)
for line in sys.stdin:
    print(line.strip().upper(), flush=True)
"""

open_url = build_opener(ProxyHandler({})).open
"""Opens a URL without the proxy that the environment may name."""


def fetch(url: str) -> bytes:
    """Requests a page."""
    with open_url(url) as response:
        page: bytes = response.read()
    return page


def digest(path: Path) -> str:
    """Reads a file, and computes its hash. The interpreter releases the GIL for both."""
    return sha256(path.read_bytes()).hexdigest()


def count_primes(numbers: range) -> int:
    """Counts primes, and keeps a core busy with pure Python code."""
    return sum(number > 1 and all(number % divisor for divisor in range(2, number)) for number in numbers)


@final
class Service:
    """A process that takes some time to start, like a database. The block of its ``with`` statement can ask it."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._process: Any = None

    def __enter__(self) -> Service:
        command = [sys.executable, "-I", "-S", "-c", SERVICE]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._process.stdout.readline()
        return self

    def ask(self) -> bytes:
        """Sends the service its name, and returns the answer: the same in capital letters."""
        self._process.stdin.write(f"{self._name}\n".encode())
        self._process.stdin.flush()
        answer: bytes = self._process.stdout.readline()
        return answer.strip()

    def __exit__(self, *_: object) -> None:
        # Closes the pipes, so the service ends, and waits for the process.
        self._process.communicate()


class Database:
    """A table of names in a file. Each thread has a connection of its own, as sqlite3 asks for."""

    def __init__(self, path: Path, names: list[str]) -> None:
        self._path = path
        self._connections: list[sqlite3.Connection] = []
        self._of_thread = threading.local()
        connection = self._connect()
        with connection:
            connection.execute("CREATE TABLE names (number INTEGER PRIMARY KEY, name TEXT)")
            connection.executemany("INSERT INTO names VALUES (?, ?)", enumerate(names))

    def find(self, number: int) -> str:
        """Looks a name up."""
        try:
            connection = self._of_thread.connection
        except AttributeError:
            connection = self._of_thread.connection = self._connect()
        (name,) = connection.execute("SELECT name FROM names WHERE number = ?", (number,)).fetchone()
        return str(name)

    def close(self) -> None:
        """Closes the connections of all threads; the next lookup of a thread opens a new one."""
        self._of_thread = threading.local()
        while self._connections:
            self._connections.pop().close()

    def _connect(self) -> sqlite3.Connection:
        # The thread that closes a connection is not the one that uses it.
        connection = sqlite3.connect(self._path, check_same_thread=False)
        self._connections.append(connection)
        return connection


def write_files(folder: Path, count: int, size: int) -> list[Path]:
    """Writes files of random bytes, the same in each run."""
    draw = Random(1)  # noqa: S311  # No secrets.
    paths = [folder / f"{number}.bin" for number in range(count)]
    for path in paths:
        path.write_bytes(draw.getrandbits(8 * size).to_bytes(size, "little"))
    return paths


@contextmanager
def http_server() -> Iterator[str]:
    """Starts the HTTP server in a process of its own; gives its address."""
    command = [sys.executable, __file__]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        pipe: Any = process.stdout
        yield pipe.readline().decode("ascii").strip()
        # Popen's __exit__ closes the standard input, so the server ends.


async def serve() -> None:
    """Answers each request, after some time, with the path that it asks for."""
    server = await asyncio.start_server(_answer, "127.0.0.1", 0, backlog=1_000)
    host, port = server.sockets[0].getsockname()
    print(f"http://{host}:{port}", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    server.close()


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    request = await reader.readuntil(b"\r\n\r\n")
    await asyncio.sleep(SECONDS_PER_ANSWER)
    _, path, _ = request.split(b" ", 2)
    writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(path), path))
    writer.close()


if __name__ == "__main__":
    asyncio.run(serve())
