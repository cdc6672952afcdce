from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.config import ModelSpec
from gateway.weights.store import Store
from tests.weights.server import Running, Site

Event = dict[str, Any]


@pytest.fixture
def site() -> Iterator[Site]:
    with Running() as running:
        yield running


@pytest.fixture(autouse=True)
def only_loopback(site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Point pip and the hub library at the test's own server, whatever this machine is configured for."""
    for name in list(os.environ):
        if name.startswith(("PIP_", "HF_", "GATEWAY_")) or name.lower() in ("http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", f"{site.url}/simple/")
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("HF_ENDPOINT", site.url)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def store(home: Path) -> Store:
    return Store(home)


def row(source: str | None, **more: Any) -> ModelSpec:
    fields = {"name": "@local/tiny", "task": "text-embeddings", "engine": "fake", "description": "vectors"}
    return ModelSpec.model_validate(fields | {"source": source} | more)


class Puller:
    """A pull in a process of its own; iterating gives its events."""

    def __init__(self, home: Path, spec: ModelSpec, **order: Any) -> None:
        text = json.dumps({"home": str(home), "row": spec.model_dump(mode="json"), **order})
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.weights.process", text], stdout=subprocess.PIPE, text=True
        )

    def next_event(self) -> Event:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "the pull ended without an outcome"
        event: Event = json.loads(line)
        return event

    def outcome(self) -> Event:
        event = self.next_event()
        while "path" not in event and "error" not in event:
            event = self.next_event()
        return event

    def kill(self) -> None:
        self.process.kill()
        self.close()

    def close(self) -> None:
        self.process.communicate(timeout=60)


@pytest.fixture
def pull_apart(home: Path) -> Iterator[Callable[..., Puller]]:
    """Start pulls in processes of their own; what still runs at the end is killed."""
    started: list[Puller] = []

    def start(spec: ModelSpec, **order: Any) -> Puller:
        started.append(Puller(home, spec, **order))
        return started[-1]

    yield start
    for puller in started:
        if puller.process.stdout and not puller.process.stdout.closed:
            puller.kill()
