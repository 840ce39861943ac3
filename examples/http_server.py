"""Answers HTTP requests, each from three blocking sources that are asked in parallel."""

from __future__ import annotations

import argparse
import json
import re
import sqlite3
import time
from contextlib import closing, suppress
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from urllib.request import ProxyHandler, build_opener

from parallel import parallel, parallel_map

USERS = [(1, "Ada"), (2, "Grace"), (3, "Barbara")]
DELAY = 0.2  # Seconds; as slow as sources that are far away.
TIMEOUT = 5.0  # Seconds.


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


def answer(folder: Path, path: str) -> tuple[HTTPStatus, object]:
    """Returns the status and the content for a path."""
    number = re.fullmatch("/([0-9]{1,9})", path)
    if number is None:
        return HTTPStatus.NOT_FOUND, "ask for the number of a user, such as /1"
    sources = (
        parallel(load_user)(f"{folder}/users.db", int(number[1]))
        .parallel(read_news)(folder / "news.txt")
        .parallel(measure_temperature)("London")
    )
    try:
        user, news, temperature = sources.results(timeout=TIMEOUT)
    except LookupError as error:
        return HTTPStatus.NOT_FOUND, str(error)
    except TimeoutError:
        return HTTPStatus.GATEWAY_TIMEOUT, "the sources took too long"
    except Exception as error:  # Any other failure, or a group of several.
        return HTTPStatus.BAD_GATEWAY, str(error)
    return HTTPStatus.OK, {"hello": user.upper(), "news": len(news), "temperature": round(temperature)}


class Handler(BaseHTTPRequestHandler):
    """Answers GET requests with JSON, and logs nothing."""

    def __init__(self, folder: Path, *request: object) -> None:
        self.folder = folder
        super().__init__(*request)  # type: ignore[arg-type]  # The server passes what the base class takes.

    def do_GET(self) -> None:
        """Answers from the three sources."""
        self.send(*answer(self.folder, self.path))

    def do_POST(self) -> None:
        """Refuses other methods."""
        self.send(HTTPStatus.METHOD_NOT_ALLOWED, "only GET")

    def send(self, status: HTTPStatus, content: object) -> None:
        """Sends a whole response."""
        body = json.dumps(content).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # The name in the base class.
        """Keeps the terminal clean."""


class Server(ThreadingHTTPServer):
    """A server with a thread for each request, and room for many that arrive together."""

    request_queue_size = 128


def fetch(address: str) -> str:
    """Asks the server, as others would, and through no proxy."""
    with build_opener(ProxyHandler({})).open(address, timeout=10) as response:
        return str(response.read().decode().strip())


def test_itself(address: str) -> None:
    """Sends ten requests at the same time, and prints an answer and the time that all of them took."""
    started = time.perf_counter()
    answers = parallel_map(fetch, [f"{address}/{1 + number % 3}" for number in range(10)]).results()
    print(answers[0])
    print(f"10 answers of 3 sources that take {DELAY} s each, in {time.perf_counter() - started:.1f} s")


def serve(folder: Path, port: int, *, self_test: bool) -> None:
    """Fills the sources and serves until it is stopped."""
    (folder / "news.txt").write_text("Rain stops\nSun shines\n")
    with closing(sqlite3.connect(folder / "users.db")) as connection, connection:
        connection.execute("CREATE TABLE user (number INTEGER PRIMARY KEY, name TEXT)")
        connection.executemany("INSERT INTO user VALUES (?, ?)", USERS)
    with Server(("127.0.0.1", port), partial(Handler, folder)) as server:
        address = f"http://127.0.0.1:{server.server_port}"
        print(address, flush=True)
        if not self_test:
            server.serve_forever()
        serving = Thread(target=server.serve_forever, args=[0.01])
        serving.start()
        try:
            test_itself(address)
        finally:
            server.shutdown()
            serving.join()


def main() -> None:
    """Serves until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8080, help="0 takes a free one (default: %(default)s)")
    parser.add_argument("--self-test", action="store_true", help="ask itself on a free port and end")
    options = parser.parse_args()
    with TemporaryDirectory() as folder, suppress(KeyboardInterrupt):
        serve(Path(folder), 0 if options.self_test else options.port, self_test=options.self_test)


if __name__ == "__main__":
    main()
