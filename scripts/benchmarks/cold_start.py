"""From an unloaded model to its first answer, in parts, with the fork server warm; its own start is apart."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from pathlib import Path

import orjson

from gateway.config import ModelSpec
from gateway.tasks import TASKS
from scripts.benchmarks.bench import Bench, Figures, fake_row, samples, starter, starters
from scripts.benchmarks.client import Address, get, post
from scripts.benchmarks.load import drive
from scripts.benchmarks.report import Aim, Row, Sample
from scripts.benchmarks.server import gateway, run_path
from scripts.benchmarks.speech import SPEAKER, spoken
from scripts.benchmarks.texts import SENTENCES

NAME = "cold start"
FAKE, TALKER = "@bench/fake", "@bench/talker"
SERVER = "gateway and fork server, to the first answer without weights"
AIMS = {"@local/all-minilm-l6-v2": Aim("value", "≤", 1.5)}
_LOAD_SECONDS = re.compile(rb'^gateway_load_seconds\{model="([^"]+)",part="([^"]+)"\} (\S+)$', re.MULTILINE)


async def run(bench: Bench) -> list[Row]:
    """Seconds to the first answer of each starter model, in a gateway of its own each round.

    A first round is not counted: it brings the files into the page cache and makes what engines keep beside them.
    """
    models = starters()
    rounds: list[dict[str, Figures]] = []
    for number in range(bench.rounds + 1):
        bench.say(f"round {number} of {bench.rounds}" if number else "warming the page cache")
        await bench.note_neighbours(f"round {number}")
        rounds.append(await _round(bench.folder / str(number), models))
    counted = rounds[1:]
    return [_row(name, samples([figures[name] for figures in counted])) for name in counted[0]]


async def _round(folder: Path, models: Sequence[ModelSpec]) -> dict[str, Figures]:
    fake = fake_row(FAKE)
    talker = starter(SPEAKER, name=TALKER)
    started = time.perf_counter()
    async with gateway(folder, [*models, fake, talker]) as address:
        listening_s = time.perf_counter() - started
        await drive(address, [_request(address, fake, b"")])
        server = {"whole": time.perf_counter() - started, "until it listens": listening_s}
        (clip,) = await spoken(address, SENTENCES[:1], TALKER)
        loads = {spec.name: await _first_answer(address, spec, clip) for spec in models}
    return {**loads, SERVER: server}


def _row(name: str, parts: dict[str, Sample]) -> Row:
    whole = parts.pop("whole")
    return Row(NAME, name, "s", whole, aim=AIMS.get(name), parts=parts)


def _request(address: Address, spec: ModelSpec, clip: bytes) -> bytes:
    """The task's smallest question, or for speech recognition a sentence."""
    task = TASKS.get(spec.task, spec.shape)
    if task.media_field is not None:
        return post(address, run_path(spec.name), clip, "audio/mpeg")
    return post(address, run_path(spec.name), orjson.dumps(task.canary))


async def _first_answer(address: Address, spec: ModelSpec, clip: bytes) -> Figures:
    load = await drive(address, [_request(address, spec, clip)])
    metrics = (await drive(address, [get(address, "/metrics")])).replies[0].body
    found = _LOAD_SECONDS.findall(metrics)
    parts = {part.decode(): float(value) for model, part, value in found if model == spec.name.encode()}
    return {"whole": load.seconds, **parts, "first run": load.seconds - sum(parts.values())}
