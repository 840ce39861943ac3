"""Answers HTTP requests on asyncio, each from three blocking sources that are asked in parallel."""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sqlite3
import time
from contextlib import closing, suppress
from functools import partial
from http import HTTPStatus
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.request import ProxyHandler, build_opener

from parallel import parallel, parallel_map

USERS = [(1, "Ada"), (2, "Grace"), (3, "Barbara")]
DELAY = 0.2  # Seconds; as slow as sources that are far away.
LIMIT = 5.0  # Seconds.
BROKEN_CONNECTION = (asyncio.IncompleteReadError, asyncio.LimitOverrunError, asyncio.TimeoutError, ConnectionError)


def load_user(database: str, number: int) -> str:
    """Asks a data base for a user's name."""
    time.sleep(DELAY)
    with closing(sqlite3.connect(database)) as connection:
        row = connection.execute("SELECT name FROM user WHERE number = ?", [number]).fetchone()
    if row is None:
        raise LookupError(f"there is no user {number}")
    return str(row[0])


def read_news(file: Path) -> list[str]:
    """Reads lines from a file."""
    time.sleep(DELAY)
    return file.read_text().splitlines()


def measure_temperature(city: str) -> float:
    """Asks a thermometer."""
    time.sleep(DELAY)
    return 10.0 + len(city)


async def answer(folder: Path, path: str) -> tuple[HTTPStatus, object]:
    """Gives the status and the content of what was asked for."""
    number = re.fullmatch("/([0-9]{1,9})", path)
    if number is None:
        return HTTPStatus.NOT_FOUND, "ask for the number of a user, such as /1"
    sources = (
        parallel(load_user)(f"{folder}/users.db", int(number[1]))
        .parallel(read_news)(folder / "news.txt")
        .parallel(measure_temperature)("London")
    )
    try:
        # The event loop goes on with other requests meanwhile.
        user, news, temperature = await asyncio.wait_for(sources, LIMIT)
    except LookupError as error:
        return HTTPStatus.NOT_FOUND, str(error)
    except asyncio.TimeoutError:
        return HTTPStatus.GATEWAY_TIMEOUT, "the sources took too long"
    except Exception as error:  # Whatever failed, it is told. Several failures are one group.
        return HTTPStatus.BAD_GATEWAY, str(error)
    return HTTPStatus.OK, {"hello": user.upper(), "news": len(news), "temperature": round(temperature)}


async def handle(folder: Path, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers one request and closes the connection."""
    with closing(writer), suppress(*BROKEN_CONNECTION):
        request = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), LIMIT)
        method, path, *_ = [*request.decode("latin-1").split(" ", 2), ""]
        status, content = await answer(folder, path) if method == "GET" else (HTTPStatus.METHOD_NOT_ALLOWED, "only GET")
        body = json.dumps(content).encode() + b"\n"
        lines = (
            f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        )
        writer.write(f"{lines}\r\nConnection: close\r\n\r\n".encode() + body)
        await writer.drain()


def fetch(address: str) -> str:
    """Asks the server, as others would, and through no proxy."""
    with build_opener(ProxyHandler({})).open(address, timeout=10) as response:
        return str(response.read().decode().strip())


async def test_itself(address: str) -> None:
    """Sends ten requests at once, and prints an answer and how long they all took."""
    started = time.perf_counter()
    answers = await parallel_map(fetch, [f"{address}/{1 + number % 3}" for number in range(10)])
    print(answers[0])
    print(f"10 answers of 3 sources that take {DELAY} s each, in {time.perf_counter() - started:.1f} s")


async def serve(folder: Path, port: int, *, self_test: bool) -> None:
    """Fills the sources and serves until it is stopped."""
    (folder / "news.txt").write_text("Rain stops\nSun shines\n")
    with closing(sqlite3.connect(folder / "users.db")) as connection, connection:
        connection.execute("CREATE TABLE user (number INTEGER PRIMARY KEY, name TEXT)")
        connection.executemany("INSERT INTO user VALUES (?, ?)", USERS)
    server = await asyncio.start_server(partial(handle, folder), "127.0.0.1", port)
    address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        print(address, flush=True)
        await (test_itself(address) if self_test else server.serve_forever())


def main() -> None:
    """Serves until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8080, help="0 takes a free one (default: %(default)s)")
    parser.add_argument("--self-test", action="store_true", help="ask itself on a free port and end")
    options = parser.parse_args()
    with TemporaryDirectory() as folder, suppress(KeyboardInterrupt):
        asyncio.run(serve(Path(folder), 0 if options.self_test else options.port, self_test=options.self_test))


if __name__ == "__main__":
    main()
