"""Three web servers on this machine that answer after a while, for ``quickstart.py``."""

from __future__ import annotations

import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Generator

from parallel import FutureContextCollection, parallel

ANSWERS = {"user": "Ada,London", "orders": "a kettle,a cup,a spoon", "rate": "1.09"}


class SlowHandler(BaseHTTPRequestHandler):
    """Answers after the time that its server takes, and logs nothing."""

    seconds = 0.0

    def do_GET(self) -> None:
        """Answers with the text for the first part of the path."""
        time.sleep(self.seconds)
        body = ANSWERS[self.path.split("/")[1]].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # The name in the base class.
        """Keeps the terminal clean."""


@contextmanager
def slow_service(seconds: float) -> Generator[str, None, None]:
    """Serves on a free port, and yields the address."""
    handler = type("Handler", (SlowHandler,), {"seconds": seconds})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        serving = Thread(target=server.serve_forever, args=[0.01])
        serving.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            serving.join()


def slow_services() -> FutureContextCollection[str, str, str]:
    """Prepares the three services, which take 0.4, 1.0 and 0.8 seconds for an answer."""
    return parallel(slow_service(0.4)).parallel(slow_service(1.0)).parallel(slow_service(0.8))
