"""A library called directly, in a process that takes jobs and gives figures as lines of JSON; knows no library."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

LINE_BYTES = 64 << 20


class PeerFailed(Exception):
    """The other process ended; the text has the end of its log."""


class Peer:
    """The benchmark's end. `about` is what the process said of itself when its model was loaded."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self._process = process
        self._log = log
        self.about: dict[str, Any] = {}

    async def ask(self, job: Mapping[str, Any], limit_s: float = 300.0) -> dict[str, Any]:
        """Have one job done; raises `PeerFailed`, or `TimeoutError` after `limit_s`."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(job).encode() + b"\n")
        return await self.answer(limit_s)

    async def answer(self, limit_s: float) -> dict[str, Any]:
        """The next line; raises as `ask` does."""
        assert self._process.stdout is not None
        async with asyncio.timeout(limit_s):
            line = await self._process.stdout.readline()
        if not line:
            raise PeerFailed(self._log.read_text(encoding="utf-8", errors="replace")[-2000:])
        answer: dict[str, Any] = json.loads(line)
        return answer


@asynccontextmanager
async def peer(module: str, log: Path, *arguments: str) -> AsyncIterator[Peer]:
    """`module` in a process of its own with its model loaded; ends with the block. Raises as `Peer.ask` does."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            module,
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=file,
            limit=LINE_BYTES,
        )
    try:
        peer = Peer(process, log)
        peer.about = await peer.answer(limit_s=120.0)
        yield peer
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def serve(about: Mapping[str, Any], work: Callable[[dict[str, Any]], Mapping[str, Any]], lines: int) -> None:
    """The process's end: say what it is, then do jobs until there are no more. `lines` is from `quiet_stdout`."""
    with os.fdopen(lines, "w", encoding="utf-8") as out:
        print(json.dumps(about), file=out, flush=True)
        for line in sys.stdin:
            print(json.dumps(work(json.loads(line))), file=out, flush=True)


def quiet_stdout() -> int:
    """Keep standard output for the lines of `serve`: what a library prints goes to standard error from now on."""
    lines = os.dup(1)
    os.dup2(2, 1)
    return lines
