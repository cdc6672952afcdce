"""Embeddings, reranking and classification against infinity-emb's own server, on the same weights and number type."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from gateway.config import ModelSpec
from scripts.benchmarks.bench import Bench, Figures, starter
from scripts.benchmarks.client import Address, get, post
from scripts.benchmarks.encoders import CONTEXTS, MINILM, checkpoint, rankings
from scripts.benchmarks.load import Refused, drive
from scripts.benchmarks.machine import ROOT
from scripts.benchmarks.references.peer import Peer, peer
from scripts.benchmarks.report import Aim, Row, percentile
from scripts.benchmarks.server import NotRun, gateway, run_path, weights
from scripts.benchmarks.texts import passages

NAME = "infinity"
VERSION = "0.0.78"
ENVIRONMENT = ROOT / ".venv-infinity"
CONNECTIONS, PORT = 32, 7997
DTYPES = ("float32", "bfloat16")
PRODUCTS = "scripts.benchmarks.references.products"
READY_LIMIT_S, LOOK_S = 180.0, 0.2


@dataclass(frozen=True)
class Kind:
    """One task: the engine here, infinity's route, and how an input is written for each."""

    engine: str
    route: str
    count: int
    inputs: Callable[[int, int], list[Any]]
    ours: Callable[[Any], dict[str, Any]]
    theirs: Callable[[Any], dict[str, Any]]
    per_request: int = 1


KINDS = {
    "text-embeddings": Kind(
        "embedder", "/embeddings", 256, passages, lambda text: {"text": text}, lambda text: {"input": [text]}
    ),
    "reranking": Kind(
        "reranker",
        "/rerank",
        32,
        rankings,
        lambda request: request,
        lambda request: {"query": request["query"], "documents": [item["text"] for item in request["contexts"]]},
        per_request=CONTEXTS,
    ),
    "text-classification": Kind(
        "classifier", "/classify", 256, passages, lambda text: {"text": text}, lambda text: {"input": [text]}
    ),
}


async def run(bench: Bench) -> list[Row]:
    """Both servers on each task; raises `NotRun` if infinity cannot be installed or started."""
    await asyncio.to_thread(_install)
    minilm = weights(starter(MINILM))
    return [row for dtype in DTYPES for name in KINDS for row in await _measure(bench, name, dtype, minilm)]


def _install() -> None:
    """infinity-emb in an environment of its own: it needs older libraries than the gateway."""
    if (ENVIRONMENT / "bin" / "infinity_emb").exists():
        return
    pins = (f"infinity-emb[server,torch]=={VERSION}", "torch==2.13.0", "transformers<4.49", "typer<0.13", "click<8.2")
    commands = (
        (sys.executable, "-m", "venv", str(ENVIRONMENT)),
        (str(ENVIRONMENT / "bin" / "python"), "-m", "pip", "install", "--quiet", *pins, "optimum<2", "numpy<2"),
    )
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise NotRun(f"infinity-emb is not installed: {done.stderr[-500:]}")


@asynccontextmanager
async def _infinity(folder: Path, model: Path, dtype: str) -> AsyncIterator[Address]:
    """infinity's server on one model; ends with the block."""
    address = Address("127.0.0.1", PORT)
    command = [str(ENVIRONMENT / "bin" / "infinity_emb"), "v2", "--model-id", str(model), "--served-model-name", "m"]
    command += ["--host", address.host, "--port", str(PORT), "--device", "cpu", "--engine", "torch"]
    command += ["--dtype", dtype, "--batch-size", "32", "--no-bettertransformer", "--url-prefix", ""]
    quiet = {"DO_NOT_TRACK": "1", "HF_HUB_OFFLINE": "1", "INFINITY_ANONYMOUS_USAGE_STATS": "0"}
    log = folder / "infinity.log"
    process = await asyncio.to_thread(_start, command, log, quiet)
    try:
        await _until_ready(address, process, log)
        yield address
    finally:
        process.terminate()
        try:
            await asyncio.to_thread(process.wait, 20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _start(command: Sequence[str], log: Path, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    with log.open("wb") as file:
        return subprocess.Popen(command, stdout=file, stderr=file, env={**os.environ, **environment})


def _tail(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace")[-1000:]


async def _until_ready(address: Address, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(round(READY_LIMIT_S / LOOK_S)):
        if process.poll() is not None:
            raise NotRun(f"infinity-emb ended: {_tail(log)}")
        try:
            await drive(address, [get(address, "/health")], limit_s=5.0)
        except (OSError, Refused, TimeoutError):
            await asyncio.sleep(LOOK_S)
        else:
            return
    raise NotRun(f"infinity-emb was not ready within {READY_LIMIT_S:g} s")


async def _measure(bench: Bench, name: str, dtype: str, minilm: Path) -> list[Row]:
    kind, folder = KINDS[name], bench.folder / f"{name}-{dtype}"
    files = minilm
    if name != "text-embeddings":
        files = folder / "weights"
        await checkpoint(name, files, minilm)
    row = {"name": f"@bench/{name}", "task": name, "engine": kind.engine, "source": f"file:{files}"}
    spec = ModelSpec.model_validate({**row, "device": "cpu", "dtype": dtype})
    path = run_path(spec.name)
    async with (
        gateway(folder, [spec]) as ours,
        _infinity(folder, files, dtype) as theirs,
        peer(PRODUCTS, folder / "products.log", spec.model_dump_json(), str(files)) as products,
    ):
        sides = {
            "gateway": partial(_turn, kind, ours, path, kind.ours, bench.scaled(kind.count)),
            "infinity": partial(_turn, kind, theirs, kind.route, kind.theirs, bench.scaled(kind.count)),
            "products": partial(_products, kind, products, bench.scaled(kind.count)),
        }
        for side in sides.values():
            await side(99)
        figures = await bench.alternate(sides)
    mine, other, against = figures["gateway"], figures["infinity"], f"infinity-emb {VERSION}"
    unit, label = "pairs/s" if kind.per_request > 1 else "texts/s", f"{name} in {dtype}"
    many, alone = f"{label}, {CONNECTIONS} connections", f"{label}, 1 connection, p50"
    return [
        Row(NAME, many, unit, mine["rate"], against, other["rate"], Aim("ratio", "≥", 2.5)),
        Row(NAME, f"{label}, nothing but its products", unit, figures["products"]["rate"], against, other["rate"]),
        Row(NAME, alone, "ms", mine["p50"], against, other["p50"], Aim("ratio", "≤", 0.5)),
    ]


async def _turn(
    kind: Kind, address: Address, path: str, body: Callable[[Any], dict[str, Any]], count: int, number: int
) -> Figures:
    def requests(inputs: Sequence[Any]) -> list[bytes]:
        return [post(address, path, orjson.dumps({**body(item), "model": "m"})) for item in inputs]

    many = await drive(address, requests(kind.inputs(count, number)), CONNECTIONS)
    alone = await drive(address, requests(kind.inputs(max(8, count // 8), number + 1000)))
    p50 = percentile([reply.seconds * 1000 for reply in alone.replies], 50)
    return {"rate": count * kind.per_request / many.seconds, "p50": p50}


async def _products(kind: Kind, products: Peer, count: int, number: int) -> Figures:
    """As `_turn`'s first figure, if there were nothing to do but to multiply."""
    answer = await products.ask({"inputs": kind.inputs(count, number)})
    return {"rate": count * kind.per_request / answer["seconds"]}
