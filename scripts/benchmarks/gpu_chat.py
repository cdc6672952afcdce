"""Many streams of an 8B-shaped Llama on a GPU: tokens/s beside plain `generate` and beside the memory's roofline."""

from __future__ import annotations

import random
import shutil
import string
from collections.abc import Sequence
from functools import partial

import orjson

from gateway.config import ModelSpec
from scripts.benchmarks.bench import Bench, Figures
from scripts.benchmarks.client import Address, post
from scripts.benchmarks.load import drive
from scripts.benchmarks.references.peer import Peer, peer
from scripts.benchmarks.report import Row, Sample
from scripts.benchmarks.server import NotRun, gateway, run_path

NAME = "gpu-chat"
MODEL = "@bench/big"
STREAMS = (1, 64, 256)
PROMPT, TOKENS = 512, 128
# The two ways to keep keys and values, one gateway after the other.
CACHES = ("merged", "paged")
# Random weights end a text by chance, once in as many tokens as the vocabulary has.
ENOUGH = 0.9


async def run(bench: Bench) -> list[Row]:
    """The 8B shape on the first CUDA device; raises `NotRun` on a machine without one."""
    if shutil.which("nvidia-smi") is None:
        raise NotRun("there is no CUDA device on this machine")
    return await measure(bench, "8b", "cuda", STREAMS)


async def measure(bench: Bench, size: str, device: str, streams: Sequence[int]) -> list[Row]:
    """That shape, on that device, with these numbers of streams."""
    folder = bench.folder / "weights"
    rows: list[Row] = []
    reference, log = "scripts.benchmarks.references.big_model", bench.folder / "direct.log"
    async with peer(reference, log, str(folder), size, device) as direct:
        for cache in CACHES:
            spec = _row(f"file:{folder}", device, max(streams), cache)
            async with gateway(bench.folder, [spec]) as address:
                for count in streams:
                    await _over_http(address, count, 99)
                    ours, theirs = partial(_over_http, address, count), partial(_direct, direct, count)
                    figures = await bench.alternate({"gateway": ours, "generate": theirs})
                    rows += _rows(count, cache, figures["gateway"]["rate"], figures["generate"]["rate"], direct)
    return rows


def _row(source: str, device: str, streams: int, cache: str) -> ModelSpec:
    return ModelSpec.model_validate(
        {
            "name": MODEL,
            "task": "text-generation",
            "engine": "llm",
            "source": source,
            "device": device,
            "dtype": "bfloat16",
            "max_streams": streams,
            "max_queue_items": 2 * streams,
            "context_window": 2 * (PROMPT + TOKENS),
            "timeout_s": 600,
            "prefix_cache": "off",
            "options": {"cache": cache},
        }
    )


def _rows(streams: int, cache: str, ours: Sample, theirs: Sample, direct: Peer) -> list[Row]:
    name = f"{streams} stream{'s' if streams > 1 else ''}, {PROMPT} in, {TOKENS} out, {cache}"
    bound = Sample(tuple(roofline(direct, streams) for _ in ours.values))
    return [
        Row(NAME, name, "tokens/s", ours, "transformers generate", theirs),
        Row(NAME, name, "tokens/s", ours, "what the memory's bandwidth allows", bound),
    ]


def roofline(direct: Peer, streams: int) -> float:
    """Tokens a second if a step took no longer than reading the weights once and every stream's keys and values.

    A stream's are as long as its prompt and, on average, half of its answer; two bytes a number.
    """
    config = direct.about["config"]
    head_size = config["hidden_size"] // config["num_attention_heads"]
    token_bytes = 2 * config["num_hidden_layers"] * config["num_key_value_heads"] * head_size * 2
    step_bytes = direct.about["weights_bytes"] + streams * token_bytes * (PROMPT + TOKENS / 2)
    return float(streams * direct.about["bandwidth"] / step_bytes)


async def _over_http(address: Address, streams: int, number: int) -> Figures:
    chance = random.Random(number)
    prompts = ["".join(chance.choices(string.ascii_lowercase, k=PROMPT - 1)) for _ in range(streams)]
    bodies = [{"prompt": prompt, "raw": True, "max_tokens": TOKENS, "temperature": 0} for prompt in prompts]
    requests = [post(address, run_path(MODEL), orjson.dumps(body)) for body in bodies]
    load = await drive(address, requests, streams, limit_s=600.0)
    usage = [orjson.loads(reply.body)["result"]["usage"] for reply in load.replies]
    tokens = sum(counts["completion_tokens"] for counts in usage)
    if tokens < ENOUGH * streams * TOKENS:
        raise NotRun(f"{tokens} tokens in {streams} answers of {TOKENS}: the weights end their texts too soon")
    return {"rate": tokens / load.seconds}


async def _direct(direct: Peer, streams: int, number: int) -> Figures:
    answer = await direct.ask({"streams": streams, "prompt": PROMPT, "tokens": TOKENS}, limit_s=600.0)
    return {"rate": streams * TOKENS / answer["seconds"]}
