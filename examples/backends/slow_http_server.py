"""Serves a folder on a free port, prints the port, and ends when its standard input ends.

It is as slow as a service that has much to load and a back end behind each page.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread


class SlowHandler(SimpleHTTPRequestHandler):
    """Answers after a pause, and logs nothing."""

    def do_GET(self) -> None:
        """Answers as a page's back end would: not at once."""
        time.sleep(0.05)
        super().do_GET()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # The name in the base class.
        """Keeps the terminal clean."""


class Server(ThreadingHTTPServer):
    """A server with a thread for each request, and room for many that arrive together."""

    request_queue_size = 128


def main() -> None:
    """Serves until whoever started it closes its standard input, or ends in whatever way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", metavar="FOLDER")
    options = parser.parse_args()
    if not Path(options.folder).is_dir():
        parser.error(f"{options.folder} is not a folder")

    # Ctrl-C reaches every program at the terminal; the one that started this one decides when it ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    time.sleep(0.5)
    server = Server(("127.0.0.1", 0), partial(SlowHandler, directory=options.folder))
    Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_port, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
