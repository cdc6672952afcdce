"""Every encoder task over HTTP against its library called directly on the same inputs, in its best batches."""

from __future__ import annotations

import asyncio
import base64
import io
import random
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import orjson
from PIL import Image

from gateway.config import ModelSpec
from scripts.benchmarks.bench import Bench, Figures, starter
from scripts.benchmarks.client import Address, post
from scripts.benchmarks.load import drive
from scripts.benchmarks.references.peer import Peer, peer
from scripts.benchmarks.report import Aim, Row, percentile
from scripts.benchmarks.server import NotRun, gateway, run_path, weights
from scripts.benchmarks.texts import passages

NAME = "encoders"
CONNECTIONS = 32
MINILM = "@local/all-minilm-l6-v2"
CONTEXTS = 8
TOLERANCE = 0.05


@dataclass(frozen=True)
class Kind:
    """One task: how many requests, what they are, as bytes on the wire, and a number from an answer to compare."""

    engine: str
    count: int
    unit: str
    inputs: Callable[[int, int], list[Any]]
    body: Callable[[Any], tuple[bytes, str]]
    score: Callable[[Any], float]
    per_request: int = 1
    dtype: str = "auto"


def _json(key: str, value: Any) -> tuple[bytes, str]:
    return orjson.dumps({key: value}), "application/json"


def _photo(text: Any) -> tuple[bytes, str]:
    return base64.b64decode(text), "image/jpeg"


def photos(count: int, seed: int) -> list[Any]:
    """JPEGs of 640 by 480 pixels with about the detail of a photograph, in base64."""
    chance = random.Random(seed)
    found = []
    for _ in range(count):
        coarse = Image.frombytes("RGB", (80, 60), chance.randbytes(80 * 60 * 3))
        buffer = io.BytesIO()
        coarse.resize((640, 480), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=88)
        found.append(base64.b64encode(buffer.getvalue()).decode())
    return found


def rankings(count: int, seed: int) -> list[Any]:
    """Requests to rank `CONTEXTS` texts each."""
    texts = passages(count * (CONTEXTS + 1), seed)
    return [
        {"query": texts[at], "contexts": [{"text": text} for text in texts[at + 1 : at + 1 + CONTEXTS]]}
        for at in range(0, len(texts), CONTEXTS + 1)
    ]


KINDS: dict[str, Kind] = {
    "text-classification": Kind(
        "classifier", 512, "texts/s", passages, partial(_json, "text"), lambda result: result[0]["score"]
    ),
    "reranking": Kind(
        "reranker",
        64,
        "pairs/s",
        rankings,
        lambda request: (orjson.dumps(request), "application/json"),
        lambda result: next(item["score"] for item in result["response"] if item["id"] == 0),
        per_request=CONTEXTS,
    ),
    "image-classification": Kind(
        "image_classifier", 128, "pictures/s", photos, _photo, lambda result: max(item["score"] for item in result)
    ),
    "object-detection": Kind(
        "object_detector", 12, "pictures/s", photos, _photo, lambda result: float(len(result)), dtype="float32"
    ),
    "multimodal-embeddings": Kind(
        "image_text_embedder", 128, "pictures/s", photos, partial(_json, "image"), lambda result: result["data"][0][0]
    ),
}


async def run(bench: Bench) -> list[Row]:
    """Requests/s of both sides for each task; raises `NotRun` if a checkpoint cannot be made."""
    minilm = weights(starter(MINILM))
    return [row for kind in KINDS for row in await _measure(bench, kind, minilm)]


async def checkpoint(kind: str, folder: Path, minilm: Path) -> None:
    """Have a checkpoint of that kind made in `folder`; raises `NotRun`."""
    command = (sys.executable, "-m", "scripts.benchmarks.references.checkpoints", kind, str(folder), str(minilm))
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    _, said = await process.communicate()
    if process.returncode:
        raise NotRun(f"no checkpoint for {kind}: {said.decode()[-500:]}")


async def _measure(bench: Bench, name: str, minilm: Path) -> list[Row]:
    kind, folder = KINDS[name], bench.folder / name
    await checkpoint(name, folder / "weights", minilm)
    row = {"name": f"@bench/{name}", "task": name, "engine": kind.engine, "source": f"file:{folder / 'weights'}"}
    spec = ModelSpec.model_validate({**row, "device": "cpu", "dtype": kind.dtype})
    count = bench.scaled(kind.count)
    arguments = name, spec.model_dump_json(), str(folder / "weights")
    async with peer("scripts.benchmarks.references.encoders", folder / "direct.log", *arguments) as direct:
        same = spec.model_copy(update={"dtype": direct.about["dtype"], "threads": direct.about["threads"]})
        async with gateway(folder, [same]) as address:
            await _compare(address, direct, name, kind)
            sides = await bench.alternate(
                {
                    "gateway": partial(_over_http, address, name, kind, count),
                    "direct": partial(_direct, direct, kind, count),
                }
            )
    ours, theirs = sides["gateway"], sides["direct"]
    note = f"{direct.about['dtype']}, {direct.about['threads']} threads, {CONNECTIONS} connections"
    aim = Aim("ratio", "≥", 0.85)
    return [
        Row(NAME, name, kind.unit, ours["rate"], "library, best batch", theirs["rate"], aim, note=note),
        Row(NAME, f"{name}, p50", "ms", ours["p50"]),
    ]


def _requests(address: Address, name: str, kind: Kind, inputs: Sequence[Any]) -> list[bytes]:
    return [post(address, run_path(f"@bench/{name}"), *kind.body(input)) for input in inputs]


async def _over_http(address: Address, name: str, kind: Kind, count: int, number: int) -> Figures:
    load = await drive(address, _requests(address, name, kind, kind.inputs(count, number)), CONNECTIONS)
    times_ms = [reply.seconds * 1000 for reply in load.replies]
    return {"rate": count * kind.per_request / load.seconds, "p50": percentile(times_ms, 50)}


async def _direct(direct: Peer, kind: Kind, count: int, number: int) -> Figures:
    answer = await direct.ask({"inputs": kind.inputs(count, number)})
    return {"rate": count * kind.per_request / answer["seconds"]}


async def _compare(address: Address, direct: Peer, name: str, kind: Kind) -> None:
    """Warm both sides up, and see that they compute the same; a detector's boxes are not compared, only given."""
    inputs = kind.inputs(4, 99)
    load = await drive(address, _requests(address, name, kind, inputs), CONNECTIONS)
    ours = [kind.score(orjson.loads(reply.body)["result"]) for reply in load.replies]
    theirs = (await direct.ask({"inputs": inputs}))["scores"][:: kind.per_request]
    if name == "object-detection":
        return
    for one, other in zip(ours, theirs, strict=True):
        if abs(one - other) > TOLERANCE * max(1.0, abs(other)):
            raise NotRun(f"the two sides of {name} give {one} and {other}")
