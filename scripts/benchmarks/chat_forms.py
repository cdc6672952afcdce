"""What forms and habits of chat cost: a schema, sampling, prompts that begin alike, one more stream; knows no rival."""

from __future__ import annotations

import asyncio
import os
from functools import partial
from typing import Any

from scripts.benchmarks import machine
from scripts.benchmarks.bench import Bench, Figures, Side, starter
from scripts.benchmarks.chat import ENDLESS, MODEL, ask
from scripts.benchmarks.client import Address
from scripts.benchmarks.report import Aim, Row, Sample
from scripts.benchmarks.server import gateway
from scripts.benchmarks.texts import passages, prompts

NAME = "chat-forms"
STREAMS, MANY = 16, 64
SHARED_WORDS, OWN_WORDS, SHORT = 540, 30, 8
HEAT, SHARE = 0.6, 0.9
SCENE = {
    "type": "object",
    "properties": {"title": {"type": "string"}, "story": {"type": "string"}, "year": {"type": "integer"}},
    "required": ["title", "story", "year"],
}
# Longer than any answer measured here, so that every answer runs on to its last token.
SCHEMA = {"type": "array", "items": SCENE, "minItems": 100}


async def run(bench: Bench) -> list[Row]:
    """Tokens/s with and without a schema, sampling and a shared beginning; bytes of one more stream."""
    spec = starter(MODEL, threads=len(os.sched_getaffinity(0)), prefix_cache="shared")
    async with gateway(bench.folder, [spec]) as address:
        await bench.attempt("memory", _memory(address))
        schema = _pair(bench, "with a JSON Schema", "without", 0.8, _constrained(address))
        await bench.attempt("JSON Schema", schema)
        sampled = _pair(bench, f"temperature {HEAT}, top_p {SHARE}", "greedy", 0.8, _sampled(address))
        await bench.attempt("sampling", sampled)
        await bench.attempt("alike", _pair(bench, "prompts 90 % alike", "not alike", 2.0, _alike(bench, address)))
    return []


async def _pair(bench: Bench, one: str, other: str, least: float, sides: dict[str, Side]) -> list[Row]:
    for side in sides.values():
        await side(-1)
    ours, theirs = (await bench.alternate(sides)).values()
    name = f"{STREAMS} streams {one}"
    return [
        Row(NAME, name, "tokens/s", ours["rate"], other, theirs["rate"], Aim("ratio", "≥", least)),
        Row(NAME, f"{name}, first token", "ms", ours["first"], other, theirs["first"]),
    ]


def _constrained(address: Address) -> dict[str, Side]:
    async def side(number: int, **more: Any) -> Figures:
        return await ask(ENDLESS, address, STREAMS, prompts(STREAMS, seed=1000 + number), **more)

    wanted = {"type": "json_schema", "json_schema": {"name": "story", "schema": SCHEMA}}
    return {"schema": partial(side, response_format=wanted), "free": side}


def _sampled(address: Address) -> dict[str, Side]:
    async def side(number: int, **more: Any) -> Figures:
        return await ask(ENDLESS, address, STREAMS, prompts(STREAMS, seed=3000 + number), **more)

    return {"sampled": partial(side, temperature=HEAT, top_p=SHARE, seed=1), "greedy": side}


def _alike(bench: Bench, address: Address) -> dict[str, Side]:
    count = bench.scaled(4 * STREAMS)

    async def side(number: int, *, is_shared: bool) -> Figures:
        seed = 2 * number + 5000 + is_shared
        (common,) = passages(1, seed, SHARED_WORDS, SHARED_WORDS)
        others = [common] * count if is_shared else passages(count, seed + 100, SHARED_WORDS, SHARED_WORDS)
        own = passages(count, seed + 200, OWN_WORDS, OWN_WORDS)
        wishes = prompts(count, seed + 300)
        texts = [" ".join(parts) for parts in zip(others, own, wishes, strict=True)]
        if is_shared:  # as with instructions that every prompt begins with: somebody has sent them before
            await ask(ENDLESS, address, 1, [f"{common} {wishes[0]}"], SHORT)
        return await ask(ENDLESS, address, STREAMS, texts, SHORT)

    return {"alike": partial(side, is_shared=True), "different": partial(side, is_shared=False)}


async def _memory(address: Address) -> list[Row]:
    """MB that each of many streams needs beyond the first, at their peak, of prompt and answer together."""

    async def peak(streams: int) -> int:
        asking = asyncio.ensure_future(ask(ENDLESS, address, streams, prompts(streams, seed=9000 + streams)))
        most = 0
        while not asking.done():
            most = max(most, await asyncio.to_thread(machine.memory_of_children))
            await asyncio.wait([asking], timeout=0.1)
        await asking
        return most

    await peak(1)
    alone, together = await peak(1), await peak(MANY)
    needed = Sample(((together - alone) / (MANY - 1) / 1e6,))
    return [Row(NAME, f"memory of one more stream, {MANY} at once", "MB", needed)]
