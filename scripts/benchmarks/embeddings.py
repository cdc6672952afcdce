"""Embeddings over HTTP against sentence-transformers called directly on the same texts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import orjson

from scripts.benchmarks.bench import Bench, Figures, starter
from scripts.benchmarks.client import Address, post
from scripts.benchmarks.load import drive
from scripts.benchmarks.references.peer import Peer, peer
from scripts.benchmarks.report import Aim, Row, percentile
from scripts.benchmarks.server import NotRun, gateway, run_path, weights
from scripts.benchmarks.texts import passages

NAME = "embeddings"
MODEL = "@local/all-minilm-l6-v2"
AGAINST = "sentence-transformers, batch 32"
CONNECTIONS = 32


async def run(bench: Bench) -> list[Row]:
    """Texts/s of both sides; raises `NotRun` if they disagree about the vectors."""
    spec = starter(MODEL)
    count = bench.scaled(512)
    arguments = spec.model_dump_json(), str(weights(spec))
    async with peer("scripts.benchmarks.references.embeddings", bench.folder / "direct.log", *arguments) as direct:
        same = spec.model_copy(update={"dtype": direct.about["dtype"], "threads": direct.about["threads"]})
        async with gateway(bench.folder, [same]) as address:
            await _compare(address, direct)
            sides = await bench.alternate(
                {"gateway": partial(_over_http, address, count), AGAINST: partial(_direct, direct, count)}
            )
    ours, theirs = sides["gateway"], sides[AGAINST]
    note = f"{spec.name}, {direct.about['dtype']}, {direct.about['threads']} threads, texts of 5–120 words"
    name = f"{CONNECTIONS} connections, one text each"
    return [
        Row(NAME, name, "texts/s", ours["rate"], AGAINST, theirs["rate"], Aim("ratio", "≥", 0.85), note=note),
        Row(NAME, f"{name}, p50", "ms", ours["p50"]),
        Row(NAME, f"{name}, p99", "ms", ours["p99"]),
    ]


def _requests(address: Address, texts: Sequence[str]) -> list[bytes]:
    return [post(address, run_path(MODEL), orjson.dumps({"text": text})) for text in texts]


async def _over_http(address: Address, count: int, number: int) -> Figures:
    load = await drive(address, _requests(address, passages(count, seed=number)), CONNECTIONS)
    times_ms = [reply.seconds * 1000 for reply in load.replies]
    return {"rate": count / load.seconds, "p50": percentile(times_ms, 50), "p99": percentile(times_ms, 99)}


async def _direct(direct: Peer, count: int, number: int) -> Figures:
    answer = await direct.ask({"texts": passages(count, seed=number)})
    return {"rate": count / answer["seconds"]}


async def _compare(address: Address, direct: Peer) -> None:
    """Warm both sides up, and see that they compute the same."""
    texts = passages(64, seed=99)
    load = await drive(address, _requests(address, texts), CONNECTIONS)
    ours = orjson.loads(load.replies[0].body)["result"]["data"][0]
    theirs = (await direct.ask({"texts": texts}))["first"]
    product = sum(a * b for a, b in zip(ours, theirs, strict=True))
    cosine = product / math.hypot(*ours) / math.hypot(*theirs)
    if cosine < 0.99:
        raise NotRun(f"the two sides give different vectors for one text (cosine {cosine:.3f})")
