"""Chat streams over HTTP against OpenVINO GenAI called directly, and against llama.cpp's server on the same file."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from hashlib import md5
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
# The series of prompts of streams whose callers are new; the others are numbered by their streams.
NEW = 999
SLOTS = 16
TOKENS = 128
ENOUGH = 0.9


async def run(bench: Bench) -> list[Row]:
    """Tokens/s and the time to the first token; a number of streams whose answers are cut short is not measured."""
    threads = len(os.sched_getaffinity(0))
    spec = starter(MODEL, threads=threads, prefix_cache="account")
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
            await bench.attempt(f"{streams} streams", _compared(bench, _named(streams), streams, sides))
        count = bench.scaled(4)
        sides = {
            "gateway": partial(_over_http, NEWCOMERS, ours, 1, count, series=NEW),
            LLAMA: partial(_over_http, OPENAI, theirs, 1, count, series=NEW),
        }
        await bench.attempt("newcomers", _compared(bench, f"{_named(1)}, a new account for each", NEW, sides))
    return []


def _named(streams: int) -> str:
    return f"{streams} stream{'s' if streams > 1 else ''} of {TOKENS} tokens"


async def _compared(bench: Bench, name: str, streams: int, sides: dict[str, Side]) -> list[Row]:
    for side in sides.values():
        await side(-1)
    return _rows(name, streams, await bench.alternate(sides))


def _rows(name: str, streams: int, sides: dict[str, dict[str, Sample]]) -> list[Row]:
    """With the aims for that number of streams or series, if there are any."""
    ours = sides["gateway"]
    rates = {DIRECT: Aim("ratio", "≥", 0.9), LLAMA: STREAMS.get(streams)}
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
    """How a server is asked for a stream: its route in an account, what its body has besides, whether an event has
    text, and in whose account a prompt is sent.
    """

    path: Callable[[str], str]
    extra: dict[str, Any]
    has_text: Callable[[dict[str, Any]], bool]
    account: Callable[[str], str] = lambda text: ACCOUNT


def _of_its_own(text: str) -> str:
    """An account that has asked nothing before."""
    return md5(text.encode(), usedforsecurity=False).hexdigest()


NATIVE = Dialect(partial(run_path, MODEL), {}, lambda event: bool(event.get("response")))
# Nothing is known of what such callers were answered before.
NEWCOMERS = replace(NATIVE, account=_of_its_own)
OPENAI = Dialect(
    lambda account: "/v1/chat/completions",
    {"stream_options": {"include_usage": True}},
    lambda event: any(choice["delta"].get("content") for choice in event["choices"]),
)
# The gateway's own, whose answers run on to their last token whatever the model would do.
ENDLESS = Dialect(
    "/client/v4/accounts/{}/ai/v1/chat/completions".format,
    {**OPENAI.extra, "model": MODEL, "ignore_eos": True},
    OPENAI.has_text,
)


async def _over_http(
    dialect: Dialect, address: Address, streams: int, count: int, number: int, series: int | None = None
) -> Figures:
    return await ask(dialect, address, streams, _asked(series or streams, count, number))


async def ask(
    dialect: Dialect, address: Address, streams: int, texts: Sequence[str], tokens: int = TOKENS, **more: Any
) -> Figures:
    """`rate` in tokens/s and `first` in ms of answers of so many tokens to the texts, so many streams at once."""
    common = {"max_tokens": tokens, "temperature": 0, "stream": True, **dialect.extra, **more}
    requests = [
        post(
            address,
            dialect.path(dialect.account(text)),
            orjson.dumps({"messages": [{"role": "user", "content": text}], **common}),
        )
        for text in texts
    ]
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
    job = {"prompts": _asked(streams, count, number), "streams": streams, "tokens": TOKENS}
    answer = await direct.ask(job)
    return _figures(answer["tokens"], answer["seconds"], answer["firsts_s"])


def _asked(series: int, count: int, number: int) -> list[str]:
    """The prompts of a round: the same for every side, and new to every side's prefix cache."""
    return prompts(count, seed=1000 * (number + 1) + series)
