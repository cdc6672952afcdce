"""Servers under test, each in a process of its own with its log in a file; knows no route."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from gateway.config import ModelSpec, Settings
from gateway.weights.lock import Lock
from gateway.weights.store import Store
from scripts.benchmarks.client import Address
from scripts.benchmarks.machine import ROOT

ACCOUNT = "0123456789abcdef0123456789abcdef"
MODELS = ROOT / "models.yaml"
START_LIMIT_S, END_LIMIT_S = 120.0, 20.0
_LISTENS = re.compile(r"listens on http://([\d.]+):(\d+)")


class NotRun(Exception):
    """A benchmark that could not be run; the text says why."""


@dataclass(frozen=True)
class Server(Address):
    """Where a server that we started listens, and its process."""

    pid: int


def run_path(model: str, account: str = ACCOUNT) -> str:
    """The run route of a model."""
    return f"/client/v4/accounts/{account}/ai/run/{model}"


def weights(spec: ModelSpec) -> Path:
    """Where the row's weights are in the default store; raises `WeightsMissing`."""
    return Store(Settings.model_validate({}).home, offline=True, pinned=Lock.for_models(MODELS)).path(spec)


@contextmanager
def pinned(core: int | None) -> Iterator[None]:
    """Have this thread, and every process started meanwhile with all its children, run on one core; None: on all."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, before if core is None else {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@asynccontextmanager
async def gateway(
    folder: Path, rows: Sequence[ModelSpec], core: int | None = None, environment: Mapping[str, str] | None = None
) -> AsyncIterator[Server]:
    """The real `gateway serve` with these rows, the default store and no keys; ends with the block."""
    models = _write_models(folder, rows)
    command = ["-m", "gateway.cli.main", "serve", "--models", str(models), "--port", "0", "--no-pull", "--offline"]
    keyless = {"GATEWAY_KEYS_FILE": str(folder / "no-keys.json"), "GATEWAY_KEY_HASHES": "", "GATEWAY_ACCOUNTS": ""}
    async with python(command, folder / "gateway.log", core, {**keyless, **(environment or {})}) as server:
        yield server


@asynccontextmanager
async def python(
    arguments: Sequence[str], log: Path, core: int | None = None, environment: Mapping[str, str] | None = None
) -> AsyncIterator[Server]:
    """A Python process that prints `listens on http://HOST:PORT` to standard error; SIGTERM, then SIGKILL, ends it."""
    process = _start(arguments, log, core, environment or {})
    try:
        address = await _address(process, log)
        yield Server(address.host, address.port, process.pid)
    finally:
        process.terminate()
        try:
            await asyncio.to_thread(process.wait, END_LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _write_models(folder: Path, rows: Sequence[ModelSpec]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    documents = [row.model_dump(mode="json", exclude_defaults=True) for row in rows]
    path = folder / "models.yaml"
    path.write_text(yaml.safe_dump({"models": documents}), encoding="utf-8")
    return path


def _start(
    arguments: Sequence[str], log: Path, core: int | None, environment: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as file, pinned(core):
        return subprocess.Popen([sys.executable, *arguments], cwd=ROOT, stderr=file, env={**os.environ, **environment})


def _tail(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace")[-4000:]


async def _address(process: subprocess.Popen[bytes], log: Path) -> Address:
    for _ in range(round(START_LIMIT_S / 0.01)):
        if found := _LISTENS.search(_tail(log)):
            return Address(found[1], int(found[2]))
        if process.poll() is not None:
            raise NotRun(f"the server ended with status {process.returncode}: {_tail(log)}")
        await asyncio.sleep(0.01)
    raise NotRun(f"the server did not listen within {START_LIMIT_S:g} s: {_tail(log)}")
