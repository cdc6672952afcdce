"""A running gateway to be measured, and the command that measures it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from gateway.bench.result import Run, read_run
from gateway.cli import main
from tests.server import Server

ROOT = Path(__file__).parents[2]
SHORT = ("--seconds", "0.2", "--connections", "1")


class Bench:
    """`gateway bench` in this process, against one server."""

    def __init__(self, server: Server, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.url = f"http://127.0.0.1:{server.port}"
        self._file = folder / "run.json"
        self._monkeypatch = monkeypatch

    def status(self, *arguments: str) -> int:
        """The exit status of the command with these arguments."""
        self._monkeypatch.setattr(sys, "argv", ["gateway", "bench", "--url", self.url, *arguments])
        with pytest.raises(SystemExit) as ended:
            sys.exit(main.main())  # type: ignore[func-returns-value] - as the installed script does
        return int(ended.value.code or 0)

    def run(self, *arguments: str) -> Run:
        """What a run that succeeds has found."""
        assert self.status(*arguments, "--json", str(self._file)) == 0
        return read_run(self._file)
