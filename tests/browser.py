"""A real browser without a window, which tells what a page asks for and complains of.

It is Debian's chromium or chromium-headless-shell, or Google's Chrome, spoken to in the DevTools protocol.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.sync.client import ClientConnection, connect

PROGRAMS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
# As root it runs without a sandbox of its own; nothing but the tests' own pages is opened.
OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--remote-debugging-port=0",
)


@dataclass
class Page:
    """A page in the browser: `asked` has the addresses it requested, `complaints` what it wrote to the console."""

    socket: ClientConnection
    asked: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def open(self, url: str) -> None:
        """Load the page and what it asks for."""
        for domain in ("Network", "Runtime", "Log", "Page"):
            self._call(f"{domain}.enable")
        self._call("Page.navigate", url=url)
        while self._receive().get("method") != "Page.loadEventFired":
            pass

    def value(self, expression: str) -> Any:
        """What an expression of JavaScript is on the page."""
        found = self._call("Runtime.evaluate", expression=expression, returnByValue=True)
        return found["result"]["value"]

    def resize(self, width: int, height: int) -> None:
        """Show the page in a window of so many pixels."""
        self._call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self._numbers)
        self.socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while (message := self._receive()).get("id") != number:
            pass
        result: dict[str, Any] = message["result"]
        return result

    def _receive(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(self.socket.recv(timeout=60))
        parameters = message.get("params", {})
        match message.get("method"):
            case "Network.requestWillBeSent":
                self.asked.append(parameters["request"]["url"])
            case "Log.entryAdded":
                self.complaints.append(parameters["entry"]["text"])
            case "Runtime.consoleAPICalled" | "Runtime.exceptionThrown":
                self.complaints.append(json.dumps(parameters))
        return message


@contextmanager
def browser(folder: Path) -> Iterator[Page]:
    """An empty page, its profile in `folder`; skips the test where there is no browser."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        pytest.skip("no browser here: apt-get install chromium-headless-shell")
    line = [program, *OPTIONS, f"--user-data-dir={folder}", "about:blank"]
    # Debian's program is a script around the browser, which is a tree of processes: they end together.
    process = subprocess.Popen(line, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert process.stderr is not None
        listening = (re.search(r"listening on ws://(\S+?)/", text) for text in process.stderr)
        host = next(filter(None, listening))[1]
        pages = httpx.get(f"http://{host}/json/list", trust_env=False).json()
        with connect(next(page["webSocketDebuggerUrl"] for page in pages if page["type"] == "page")) as socket:
            yield Page(socket)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=30)
