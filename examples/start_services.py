"""Starts two web servers and a database, and stores 30 pages: in parallel, then one after the other."""

from __future__ import annotations

import argparse
import sqlite3
import sys
from contextlib import closing, contextmanager
from pathlib import Path
from subprocess import PIPE, Popen
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Callable, ContextManager, Generator, Iterable, NamedTuple, Tuple
from urllib.request import ProxyHandler, build_opener

from parallel import ParallelExecutor, parallel

SERVER = Path(__file__).parent / "backends" / "slow_http_server.py"
OLD_PAGES = [(str(number), f"{number:x}") for number in range(300_000)]
open_url = build_opener(ProxyHandler({})).open  # Through no proxy.
Services = ContextManager[Tuple[str, str, sqlite3.Connection]]


class Page(NamedTuple):
    """A page, and where it was."""

    address: str
    text: str


def fetch(address: str) -> Page:
    """Fetches a page."""
    with open_url(address, timeout=10) as response:
        return Page(address, response.read().decode())


@contextmanager
def web_server(name: str) -> Generator[str, None, None]:
    """Runs a server process over a folder of its own; gives its address when it answers."""
    with TemporaryDirectory() as folder, Popen([sys.executable, SERVER, folder], stdin=PIPE, stdout=PIPE) as server:
        for number in range(15):
            Path(folder, f"{number}.html").write_text(f"<h1>Page {number} of {name}</h1>")
        yield fetch(f"http://127.0.0.1:{int(server.stdout.readline())}").address  # type: ignore[union-attr]  # A pipe.


@contextmanager
def database() -> Generator[sqlite3.Connection, None, None]:
    """Opens, fills and closes a database file on one thread; the body uses it on another, never at the same time."""
    with TemporaryDirectory() as folder, closing(sqlite3.connect(f"{folder}/db", check_same_thread=False)) as store:
        store.execute("CREATE TABLE page (address TEXT, text TEXT)")
        store.executemany("INSERT INTO page VALUES (?, ?)", OLD_PAGES)
        yield store


@contextmanager
def one_after_the_other() -> Generator[tuple[str, str, sqlite3.Connection], None, None]:
    """Starts the services without the library."""
    with web_server("one") as one, web_server("two") as two, database() as store:
        yield one, two, store


def seconds_of(services: Services, fetch_all: Callable[[list[str]], Iterable[Page]]) -> list[float]:
    """Starts the services, fetches and stores the pages, stops the services; gives what took how long."""
    started = perf_counter()
    with services as (one, two, store):
        ready = perf_counter()
        pages = list(fetch_all([f"{server}/{number}.html" for server in (one, two) for number in range(15)]))
        with store:
            store.executemany("INSERT INTO page VALUES (?, ?)", pages)
        stored = perf_counter()
    return [ready - started, stored - ready, perf_counter() - stored]


def main() -> None:
    """Prints a table of what took how long."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    services = parallel(web_server("one"), parallel_exit=True).parallel(web_server("two")).parallel(database())
    fast = seconds_of(services, lambda addresses: ParallelExecutor().map(fetch, addresses))
    slow = seconds_of(one_after_the_other(), lambda addresses: map(fetch, addresses))
    print(f"{'':25}{'in parallel':>14}{'one after the other':>22}")
    for what, *seconds in zip(("start 3 services", "fetch and store 30 pages", "stop 3 services"), fast, slow):
        print("{:25}{:12.2f} s{:20.2f} s".format(what, *seconds))


if __name__ == "__main__":
    main()
