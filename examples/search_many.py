"""Searches several slow sources for a word, prints what has come within the time limit, and names what is late.

The sources are HTTP servers on this machine, which the program starts itself. The last source never answers, and
does not hold up the end of the program.
"""

from __future__ import annotations

import argparse
import json
import time
from concurrent.futures import wait
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Generator, NamedTuple
from urllib.parse import parse_qs, quote, urlsplit
from urllib.request import ProxyHandler, build_opener

from parallel import parallel_contexts, parallel_map

LIMIT = 2.0  # Seconds.


class Source(NamedTuple):
    """A server that takes its time."""

    name: str
    seconds: float | None
    titles: tuple[str, ...]


SOURCES = [
    Source("library", 0.1, ("The Time Machine", "Brave New World", "A Room of Time")),
    Source("archive", 0.4, ("Timetable of 1844", "Letters from the sea")),
    Source("shop", 0.7, ("Time Travel for Beginners", "Cooking for Two")),
    Source("museum", None, ("Water clocks, a time line",)),
]


class Server(ThreadingHTTPServer):
    """A thread for each request, which does not hold up the end of the program."""

    daemon_threads = True


@contextmanager
def serving(source: Source) -> Generator[str, None, None]:
    """Serves a source on a free port, and gives its address."""

    class Handler(BaseHTTPRequestHandler):
        """Searches the titles, in as many seconds as the source takes."""

        def do_GET(self) -> None:
            """Answers with a list of titles."""
            if source.seconds is None:
                Event().wait()  # For ever.
            else:
                time.sleep(source.seconds)
            (word,) = parse_qs(urlsplit(self.path).query)["word"]
            found = [title for title in source.titles if word.lower() in title.lower()]
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(found).encode())

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # The name in the base class.
            """Keeps the terminal clean."""

    with Server(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


def search(address: str, word: str) -> list[str]:
    """Asks one source, without a time limit of its own."""
    opener = build_opener(ProxyHandler({}))
    with opener.open(f"{address}/?word={quote(word)}") as response:
        titles: list[str] = json.load(response)
        return titles


def main() -> None:
    """Searches all sources at once."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("word", metavar="WORD", nargs="?", default="time", help="what to look for (%(default)s)")
    parser.add_argument("--limit", type=float, default=LIMIT, help="for how many seconds to wait (%(default)s)")
    options = parser.parse_args()

    names = [source.name for source in SOURCES]
    with parallel_contexts(serving(source) for source in SOURCES) as addresses:
        calls = parallel_map(search, addresses, [options.word] * len(addresses))
        done, late = wait(calls.futures, timeout=options.limit)
        calls.abandon()  # Nobody waits for the late ones any more.

        for name, future in zip(names, calls.futures):
            if future in done:
                for title in future.result() or ["(nothing)"]:
                    print(f"{name:<10}{title}")
        if late:
            print("late:", ", ".join(name for name, future in zip(names, calls.futures) if future in late))


if __name__ == "__main__":
    main()
