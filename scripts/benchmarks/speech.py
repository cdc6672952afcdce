"""Speech recognition over HTTP against faster-whisper called directly on the same clips."""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from functools import partial

import orjson

from scripts.benchmarks.bench import Bench, Figures, starter
from scripts.benchmarks.client import Address, post
from scripts.benchmarks.load import drive
from scripts.benchmarks.references.peer import Peer, peer
from scripts.benchmarks.report import Aim, Row
from scripts.benchmarks.server import gateway, run_path, weights
from scripts.benchmarks.texts import SENTENCES

NAME = "speech"
MODEL, SPEAKER = "@cf/openai/whisper-tiny-en", "@local/espeak-ng"
AGAINST = "faster-whisper"


async def run(bench: Bench) -> list[Row]:
    """Seconds of audio transcribed per second, one clip after the other; raises `NotRun` without weights."""
    threads = len(os.sched_getaffinity(0))
    heard = starter(MODEL, dtype="int8", threads=threads)
    sentences = SENTENCES[: bench.scaled(len(SENTENCES))]
    module, arguments = "scripts.benchmarks.references.speech", (str(weights(heard)), "int8", str(threads))
    async with (
        gateway(bench.folder, [heard, starter(SPEAKER)]) as address,
        peer(module, bench.folder / "direct.log", *arguments) as direct,
    ):
        clips = await spoken(address, sentences)
        job = {"clips": [base64.b64encode(clip).decode() for clip in clips]}
        requests = [post(address, run_path(MODEL), clip, "audio/mpeg") for clip in clips]
        await drive(address, requests[:1])
        audio_s = (await direct.ask(job))["audio_s"]
        sides = await bench.alternate(
            {"gateway": partial(_over_http, address, requests, audio_s), AGAINST: partial(_direct, direct, job)}
        )
    ours, theirs = sides["gateway"]["rate"], sides[AGAINST]["rate"]
    note = f"{MODEL}, int8, {threads} threads, {len(clips)} clips of {audio_s / len(clips):.1f} s, word times"
    aim = Aim("ratio", "≥", 0.9)
    return [Row(NAME, "one clip after the other", "s of audio/s", ours, AGAINST, theirs, aim, note=note)]


async def spoken(address: Address, sentences: Sequence[str], speaker: str = SPEAKER) -> list[bytes]:
    """MP3 files of the sentences, from the gateway's own speech synthesis."""
    requests = [post(address, run_path(speaker), orjson.dumps({"prompt": text})) for text in sentences]
    load = await drive(address, requests)
    return [base64.b64decode(orjson.loads(reply.body)["result"]["audio"]) for reply in load.replies]


async def _over_http(address: Address, requests: Sequence[bytes], audio_s: float, _: int) -> Figures:
    load = await drive(address, requests)
    return {"rate": audio_s / load.seconds}


async def _direct(direct: Peer, job: dict[str, list[str]], _: int) -> Figures:
    answer = await direct.ask(job)
    return {"rate": answer["audio_s"] / answer["seconds"]}
