"""The run itself: models, callers, looks at the gateway once a second, and what is left behind; knows no table."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from gateway.config import ModelSpec
from scripts.benchmarks.bench import starter, starters
from scripts.benchmarks.encoders import KINDS, MINILM, checkpoint
from scripts.benchmarks.machine import descendants, is_alive
from scripts.benchmarks.server import Server, gateway, weights
from scripts.benchmarks.soak.book import Book, Tally
from scripts.benchmarks.soak.caller import Caller
from scripts.benchmarks.soak.kinds import kinds
from scripts.benchmarks.soak.malformed import malformed
from scripts.benchmarks.soak.watch import Counts, Look, counts, look
from scripts.benchmarks.speech import spoken
from scripts.benchmarks.texts import SENTENCES

# Tasks that no starter has: checkpoints of usual size with random weights.
MADE = ("reranking", "image-classification")
SPEAKING = "text-to-speech"
LOOK_S, SURVIVAL_S = 1.0, 20.0


@dataclass(frozen=True)
class Plan:
    """How long, with how many callers at once, on how little memory for models, and the seed of all that is sent.

    The gateway's memory is judged after the share `warm_up` of the time: until then it grows by design.
    """

    minutes: float
    connections: int
    memory_gib: float
    seed: int
    warm_up: float = 0.2

    @property
    def seconds(self) -> float:
        """How long callers begin new requests."""
        return self.minutes * 60


@dataclass
class Course:
    """What was seen; `left_behind` names processes and temporary files that outlived the gateway."""

    plan: Plan
    models: list[str]
    book: Book
    seconds: float = 0.0
    looks: list[Look] = field(default_factory=list)
    counts: Counts = field(default_factory=Counts)
    left_behind: list[str] = field(default_factory=list)

    @property
    def judged(self) -> list[Look]:
        """The looks after the warm-up, while there was traffic."""
        return [look for look in self.looks if look.at_s >= self.plan.warm_up * self.plan.seconds]

    def faults(self) -> list[str]:
        """What may not be, one line each; empty if all is well."""
        lost = [f"workers ended unasked: {count} × {reason}" for reason, count in self.counts.restarts.items()]
        return [*self.book.faults(), *lost, *(f"left behind: {what}" for what in self.left_behind)]


async def models(folder: Path) -> list[ModelSpec]:
    """All starters, and a model for each task of `MADE`; raises `NotRun` or `WeightsMissing`."""
    rows = starters()
    minilm = weights(starter(MINILM))
    for task in MADE:
        await checkpoint(task, folder / task, minilm)
        row = {"name": f"@bench/{task}", "task": task, "engine": KINDS[task].engine, "source": f"file:{folder / task}"}
        rows.append(ModelSpec.model_validate({**row, "device": "cpu"}))
    return rows


async def soak(plan: Plan, rows: Sequence[ModelSpec], folder: Path, show: Callable[[Course], None]) -> Course:
    """Run the plan against a gateway of its own; `show` is called at each look. One of the rows must speak.

    Raises `NotRun`, `Refused`, `ConnectionError`, and `OSError` if the gateway ends on its own.
    """
    scratch = folder / "tmp"
    scratch.mkdir(parents=True)
    environment = {"GATEWAY_MEMORY_GIB": f"{plan.memory_gib:g}", "TMPDIR": str(scratch)}
    async with gateway(folder, rows, environment=environment) as server:
        course = await _traffic(plan, rows, server, show)
        processes = [server.pid, *descendants(server.pid)]
    course.left_behind += await asyncio.to_thread(_survivors, processes)
    course.left_behind += [f"file {path.relative_to(scratch)}" for path in scratch.rglob("*") if path.is_file()]
    return course


def _survivors(processes: Sequence[int]) -> list[str]:
    """Those that are there still `SURVIVAL_S` after the front has ended: the fork server only ends because it has."""
    deadline = time.monotonic() + SURVIVAL_S
    while (alive := [pid for pid in processes if is_alive(pid)]) and time.monotonic() < deadline:
        time.sleep(0.05)
    return [f"process {pid}" for pid in alive]


async def _traffic(plan: Plan, rows: Sequence[ModelSpec], server: Server, show: Callable[[Course], None]) -> Course:
    speaker = next(row.name for row in rows if row.task == SPEAKING)
    asked = kinds(rows, await spoken(server, SENTENCES[:3], speaker))
    course = Course(plan, [row.name for row in rows], Book({name: Tally() for name in asked}))
    offences = malformed(server, rows)
    started = time.monotonic()
    try:
        async with asyncio.TaskGroup() as group:
            looking = group.create_task(_look_on(course, server, started, show))
            async with asyncio.TaskGroup() as callers:
                for number in range(plan.connections):
                    caller = Caller(server, asked, offences, course.book, Random(f"{plan.seed} {number}"))
                    callers.create_task(caller.call(started + plan.seconds))
            looking.cancel()
    except ExceptionGroup as group_error:
        raise group_error.exceptions[0] from None
    course.seconds = time.monotonic() - started
    course.counts = await counts(server)
    return course


async def _look_on(course: Course, server: Server, started: float, show: Callable[[Course], None]) -> None:
    while True:
        course.looks.append(look(server.pid, time.monotonic() - started, course.book.settled))
        show(course)
        await asyncio.sleep(LOOK_S)
