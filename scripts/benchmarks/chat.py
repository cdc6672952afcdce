"""Chat streams over HTTP against OpenVINO GenAI called directly, and against llama.cpp's server on the same file."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import orjson

from scripts.benchmarks.bench import Bench, Figures, Side, starter
from scripts.benchmarks.client import Address, Reply, post
from scripts.benchmarks.load import drive
from scripts.benchmarks.references.peer import Peer, peer
from scripts.benchmarks.report import Aim, Row, Sample, percentile
from scripts.benchmarks.server import NotRun, gateway, python, run_path, weights
from scripts.benchmarks.texts import prompts

NAME = "chat"
MODEL = "@local/smollm2-135m-instruct"
DIRECT, LLAMA = "OpenVINO GenAI", "llama.cpp server"
STREAMS = (1, 16)
TOKENS = 128
ENOUGH = 0.9


async def run(bench: Bench) -> list[Row]:
    """Tokens/s and the time to the first token, at 1 and 16 streams; raises `NotRun` if the answers are cut short."""
    threads = len(os.sched_getaffinity(0))
    spec = starter(MODEL, threads=threads)
    gguf = weights(spec)
    llama = ["-m", "scripts.benchmarks.references.llama_server", str(gguf), str(max(STREAMS)), str(threads)]
    arguments = spec.model_dump_json(), str(gguf)
    rows: list[Row] = []
    async with (
        gateway(bench.folder, [spec]) as ours,
        peer("scripts.benchmarks.references.chat", bench.folder / "direct.log", *arguments) as direct,
        python(llama, bench.folder / "llama.log") as theirs,
    ):
        for streams in STREAMS:
            count = streams if streams > 1 else bench.scaled(4)
            sides: dict[str, Side] = {
                "gateway": partial(_over_http, NATIVE, ours, streams, count),
                DIRECT: partial(_direct, direct, streams, count),
                LLAMA: partial(_over_http, OPENAI, theirs, streams, count),
            }
            for side in sides.values():
                await side(-1)
            rows += _rows(streams, await bench.alternate(sides))
    return rows


def _rows(streams: int, sides: dict[str, dict[str, Sample]]) -> list[Row]:
    ours = sides["gateway"]
    name = f"{streams} stream{'s' if streams > 1 else ''} of {TOKENS} tokens"
    aims = {DIRECT: Aim("ratio", "≥", 0.9), LLAMA: Aim("ratio", ">", 1.0)}
    rates = [
        Row(NAME, name, "tokens/s", ours["rate"], against, sides[against]["rate"], aim) for against, aim in aims.items()
    ]
    first = f"{name}, first token"
    return rates + [Row(NAME, first, "ms", ours["first"], side, sides[side]["first"]) for side in aims]


def _figures(tokens: Sequence[int], seconds: float, firsts_s: Sequence[float]) -> Figures:
    """Rate and median time to the first token. Raises `NotRun` if the model stopped too early to compare sides."""
    if sum(tokens) < ENOUGH * TOKENS * len(tokens):
        raise NotRun(f"{sum(tokens)} tokens in {len(tokens)} answers of {TOKENS}: the prompts do not run on")
    return {"rate": sum(tokens) / seconds, "first": percentile(firsts_s, 50) * 1000}


@dataclass(frozen=True)
class Dialect:
    """How a server is asked for a stream: its route, what its body has besides, and whether an event has text."""

    path: str
    extra: dict[str, Any]
    has_text: Callable[[dict[str, Any]], bool]


NATIVE = Dialect(run_path(MODEL), {}, lambda event: bool(event.get("response")))
OPENAI = Dialect(
    "/v1/chat/completions",
    {"stream_options": {"include_usage": True}},
    lambda event: any(choice["delta"].get("content") for choice in event["choices"]),
)


async def _over_http(dialect: Dialect, address: Address, streams: int, count: int, number: int) -> Figures:
    common = {"max_tokens": TOKENS, "temperature": 0, "stream": True, **dialect.extra}
    bodies = [{"messages": [{"role": "user", "content": text}], **common} for text in _asked(count, number)]
    requests = [post(address, dialect.path, orjson.dumps(body)) for body in bodies]
    # llama.cpp's server promises to keep a connection and closes it after a stream all the same.
    load = await drive(address, requests, streams, reuse=False)
    tokens, firsts_s = zip(*(_read(dialect, reply) for reply in load.replies), strict=True)
    return _figures(tokens, load.seconds, firsts_s)


def _read(dialect: Dialect, reply: Reply) -> tuple[int, float]:
    """The tokens of one stream by its own account, and the seconds to its first text; raises `NotRun`."""
    tokens, first_s = None, None
    for seconds, data in reply.events():
        event = {} if data == b"[DONE]" else orjson.loads(data)
        if first_s is None and event and dialect.has_text(event):
            first_s = seconds
        if event.get("usage"):
            tokens = event["usage"]["completion_tokens"]
    if tokens is None or first_s is None:
        raise NotRun(f"a stream without text or usage: {reply.body[-300:]!r}")
    return tokens, first_s


async def _direct(direct: Peer, streams: int, count: int, number: int) -> Figures:
    job = {"prompts": _asked(count, number), "streams": streams, "tokens": TOKENS}
    answer = await direct.ask(job)
    return _figures(answer["tokens"], answer["seconds"], answer["firsts_s"])


def _asked(count: int, number: int) -> list[str]:
    """The prompts of a round: the same for every side, and new to every side's prefix cache."""
    return prompts(count, seed=100 * number + count)
