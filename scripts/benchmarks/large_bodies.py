"""How long the event loop keeps others waiting while megabytes of media pour in as JSON numbers."""

from __future__ import annotations

import asyncio
import random
from functools import partial

import orjson

from gateway.config import ModelSpec
from scripts.benchmarks.bench import Bench, Figures
from scripts.benchmarks.client import Address, Connection, get, post
from scripts.benchmarks.load import drive
from scripts.benchmarks.report import Aim, Row, percentile
from scripts.benchmarks.server import gateway, run_path

NAME = "large bodies"
MODEL = "@bench/listener"
MEDIA_BYTES, BODIES, CONNECTIONS = 1_000_000, 60, 4


async def run(bench: Bench) -> list[Row]:
    """The time that `/health`, asked again and again, takes to answer meanwhile, and alone."""
    spec = ModelSpec(name=MODEL, task="automatic-speech-recognition", shape="whisper", engine="fake")
    body = orjson.dumps({"audio": list(random.Random(1).randbytes(MEDIA_BYTES))})
    async with gateway(bench.folder, [spec]) as address:
        request = post(address, run_path(MODEL), body)
        await drive(address, [request])
        sides = await bench.alternate(
            {
                "pouring": partial(_pouring, address, request, bench.scaled(BODIES)),
                "quiet": partial(_quiet, address),
            }
        )
    pouring, quiet = sides["pouring"], sides["quiet"]
    name = f"/health beside {MEDIA_BYTES // 1_000_000} MB in numbers on {CONNECTIONS} connections"
    return [
        Row(NAME, f"{name}, p99", "ms", pouring["p99"], "alone", quiet["p99"], Aim("value", "≤", 5.0)),
        Row(NAME, f"{name}, p50", "ms", pouring["p50"], "alone", quiet["p50"]),
        Row(NAME, "bodies", "1/s", pouring["rate"]),
    ]


async def _pouring(address: Address, request: bytes, count: int, number: int) -> Figures:
    load = asyncio.create_task(drive(address, [request] * count, CONNECTIONS))
    times_ms = await _ask_until(load, address)
    return {**_percentiles(times_ms), "rate": count / (await load).seconds}


async def _quiet(address: Address, number: int) -> Figures:
    return _percentiles(await _ask_until(asyncio.create_task(asyncio.sleep(1.0)), address))


async def _ask_until(end: asyncio.Task[object], address: Address) -> list[float]:
    connection, times_ms = await Connection.open(address), []
    while not end.done():
        times_ms.append((await connection.exchange(get(address, "/health"))).seconds * 1000)
    connection.close()
    return times_ms


def _percentiles(times_ms: list[float]) -> Figures:
    return {"p50": percentile(times_ms, 50), "p99": percentile(times_ms, 99)}
