"""Drives a headless Chromium over a pipe, in Chrome's DevTools protocol, with nothing but the standard library."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any

LIMIT = 120.0
"""In how many seconds the browser has to answer."""

LAUNCH = """
import os, sys
hears, says = (os.dup(int(each)) for each in sys.argv[1:3])
hears, says = os.dup(hears), os.dup(says)  # Neither is 3 or 4, the numbers that Chromium reads from and writes to.
os.dup2(hears, 3)
os.dup2(says, 4)
os.execv(sys.argv[3], sys.argv[3:])
"""


def chromium() -> str | None:
    """Finds a Chromium: the one that ``CHROMIUM`` names, or one on the ``PATH``."""
    names = (os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome", "chrome-headless-shell")
    return next(filter(None, map(shutil.which, names)), None)


class Browser:
    """One window of a browser."""

    def __init__(self, program: str, folder: Path) -> None:
        hears, self._say = os.pipe()
        self._hear, says = os.pipe()
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-pipe"]
        command = [sys.executable, "-c", LAUNCH, str(hears), str(says), program, *flags, f"--user-data-dir={folder}"]
        self._process = subprocess.Popen(command, pass_fds=(hears, says), stderr=subprocess.DEVNULL)
        os.close(hears)
        os.close(says)
        self._heard = b""
        self._count = 0
        self._session: dict[str, str] = {}
        target = self._ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = {"sessionId": self._ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]}

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._say)
        os.close(self._hear)

    def _ask(self, method: str, **params: Any) -> dict[str, Any]:
        self._count += 1
        request = {"id": self._count, "method": method, "params": params, **self._session}
        os.write(self._say, json.dumps(request).encode() + b"\0")
        while True:
            while b"\0" not in self._heard:
                read = os.read(self._hear, 1 << 16)
                assert read, "the browser has ended"
                self._heard += read
            message, _, self._heard = self._heard.partition(b"\0")
            answer = json.loads(message)
            if answer.get("id") == self._count:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result

    def resize(self, width: int, height: int) -> None:
        self._ask(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )

    def evaluate(self, expression: str) -> Any:
        """Returns the value of a JavaScript expression on the page."""
        return self._ask("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def open(self, address: str, ready: str = "true") -> None:
        """Opens a page, and waits until it is loaded and ``ready``, a JavaScript expression, is true."""
        self._ask("Page.navigate", url=address)
        is_there = f"location.href === {json.dumps(address)} && document.readyState === 'complete' && !!({ready})"
        deadline = time.monotonic() + LIMIT
        while not self.evaluate(is_there):
            assert time.monotonic() < deadline, address
            time.sleep(0.02)
