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
from scripts.benchmarks.server import ACCOUNT, NotRun, gateway, python, run_path, weights
from scripts.benchmarks.texts import prompts

NAME = "chat"
MODEL = "@local/smollm2-135m-instruct"
DIRECT, LLAMA = "OpenVINO GenAI", "llama.cpp server"
# For each number of streams, how far ahead of llama.cpp's server to be; None: not compared.
STREAMS: dict[int, Aim | None] = {
    1: Aim("ratio", "≥", 1.2),
    4: Aim("ratio", "≥", 2.0),
    16: Aim("ratio", "≥", 3.0),
    64: None,
}
SLOTS = 16
TOKENS = 128
ENOUGH = 0.9


async def run(bench: Bench) -> list[Row]:
    """Tokens/s and the time to the first token; a number of streams whose answers are cut short is not measured."""
    threads = len(os.sched_getaffinity(0))
    spec = starter(MODEL, threads=threads)
    gguf = weights(spec)
    llama = ["-m", "scripts.benchmarks.references.llama_server", str(gguf), str(SLOTS), str(threads)]
    arguments = spec.model_dump_json(), str(gguf)
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
            }
            if STREAMS[streams] is not None:
                sides[LLAMA] = partial(_over_http, OPENAI, theirs, streams, count)
            await bench.attempt(f"{streams} streams", _compared(bench, streams, sides))
    return []


async def _compared(bench: Bench, streams: int, sides: dict[str, Side]) -> list[Row]:
    for side in sides.values():
        await side(-1)
    return _rows(streams, await bench.alternate(sides))


def _rows(streams: int, sides: dict[str, dict[str, Sample]]) -> list[Row]:
    ours = sides["gateway"]
    name = f"{streams} stream{'s' if streams > 1 else ''} of {TOKENS} tokens"
    rates = {DIRECT: Aim("ratio", "≥", 0.9), LLAMA: STREAMS[streams]}
    firsts = {LLAMA: Aim("ratio", "≤", 1.0)} if streams == SLOTS else {}
    others = [side for side in sides if side != "gateway"]
    return [Row(NAME, name, "tokens/s", ours["rate"], side, sides[side]["rate"], rates[side]) for side in others] + [
        Row(NAME, f"{name}, first token", "ms", ours["first"], side, sides[side]["first"], firsts.get(side))
        for side in others
    ]


def _figures(tokens: Sequence[int], seconds: float, firsts_s: Sequence[float], each: int = TOKENS) -> Figures:
    """Rate and median time to the first token. Raises `NotRun` if the model stopped too early to compare sides."""
    if sum(tokens) < ENOUGH * each * len(tokens):
        raise NotRun(f"{sum(tokens)} tokens in {len(tokens)} answers of {each}: the prompts do not run on")
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
# The gateway's own, whose answers run on to their last token whatever the model would do.
ENDLESS = Dialect(
    f"/client/v4/accounts/{ACCOUNT}/ai{OPENAI.path}",
    {**OPENAI.extra, "model": MODEL, "ignore_eos": True},
    OPENAI.has_text,
)


async def _over_http(dialect: Dialect, address: Address, streams: int, count: int, number: int) -> Figures:
    return await ask(dialect, address, streams, _asked(count, number))


async def ask(
    dialect: Dialect, address: Address, streams: int, texts: Sequence[str], tokens: int = TOKENS, **more: Any
) -> Figures:
    """`rate` in tokens/s and `first` in ms of answers of so many tokens to the texts, so many streams at once."""
    common = {"max_tokens": tokens, "temperature": 0, "stream": True, **dialect.extra, **more}
    bodies = [{"messages": [{"role": "user", "content": text}], **common} for text in texts]
    requests = [post(address, dialect.path, orjson.dumps(body)) for body in bodies]
    # llama.cpp's server promises to keep a connection and closes it after a stream all the same.
    load = await drive(address, requests, streams, reuse=False)
    counts, firsts_s = zip(*(_read(dialect, reply) for reply in load.replies), strict=True)
    return _figures(counts, load.seconds, firsts_s, tokens)


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
