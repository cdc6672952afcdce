"""What the gateway adds to a model that takes no time, beside a bare FastAPI application on the same server."""

from __future__ import annotations

import os
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import orjson

from scripts.benchmarks.bench import Bench, Figures, fake_row
from scripts.benchmarks.client import Address, post
from scripts.benchmarks.load import drive
from scripts.benchmarks.report import Aim, Row, Sample, percentile
from scripts.benchmarks.server import gateway, pinned, python, run_path
from scripts.benchmarks.texts import passages

NAME = "overhead"
MODEL = "@bench/fake"
ECHO = ["-m", "scripts.benchmarks.references.echo"]
AGAINST = "FastAPI echo"
CONNECTIONS = 32


async def run(bench: Bench) -> list[Row]:
    """Latency over one connection on all cores; requests/s over 32 with the whole server on one core."""
    cores = sorted(os.sched_getaffinity(0))
    async with AsyncExitStack() as stack:
        free = await _pair(stack, bench.folder / "free", None)
        one_core = await _pair(stack, bench.folder / "one-core", cores[0])
        for address in (*free.values(), *one_core.values()):
            await drive(address, _requests(address, 200))
        count, many = bench.scaled(1000), bench.scaled(4000)
        alone = await bench.alternate({side: partial(_latency, at, count) for side, at in free.items()})
        full = await bench.alternate({side: partial(_rate, at, many, cores[-1]) for side, at in one_core.items()})
    return [
        _row("1 connection, p50", "ms", alone, "p50", Aim("value", "≤", 1.5)),
        _row("1 connection, p99", "ms", alone, "p99", None),
        _row(f"{CONNECTIONS} connections, server on one core", "requests/s", full, "rate", Aim("value", "≥", 1500)),
    ]


async def _pair(stack: AsyncExitStack, folder: Path, core: int | None) -> dict[str, Address]:
    rows = [fake_row(MODEL)]
    return {
        "gateway": await stack.enter_async_context(gateway(folder, rows, core)),
        AGAINST: await stack.enter_async_context(python(ECHO, folder / "echo.log", core)),
    }


async def _latency(address: Address, count: int, _: int) -> Figures:
    load = await drive(address, _requests(address, count))
    times_ms = [reply.seconds * 1000 for reply in load.replies]
    return {"p50": percentile(times_ms, 50), "p99": percentile(times_ms, 99)}


async def _rate(address: Address, count: int, client_core: int, _: int) -> Figures:
    requests = _requests(address, count)
    with pinned(client_core):
        load = await drive(address, requests, CONNECTIONS)
    return {"rate": count / load.seconds}


def _requests(address: Address, count: int) -> list[bytes]:
    bodies = [orjson.dumps({"text": text}) for text in passages(50)]
    return [post(address, run_path(MODEL), bodies[index % len(bodies)]) for index in range(count)]


def _row(name: str, unit: str, sides: dict[str, dict[str, Sample]], figure: str, aim: Aim | None) -> Row:
    return Row(NAME, name, unit, sides["gateway"][figure], AGAINST, sides[AGAINST][figure], aim)
