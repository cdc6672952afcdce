"""What every benchmark is given: rounds, a folder, the starter rows, progress; knows no benchmark."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.config import ModelSpec
from gateway.errors import GatewayError
from gateway.models_file import load_specs
from scripts.benchmarks.load import Refused
from scripts.benchmarks.machine import busy_cores
from scripts.benchmarks.references.peer import PeerFailed
from scripts.benchmarks.report import Row, Sample
from scripts.benchmarks.server import MODELS, NotRun

Figures = Mapping[str, float]
PEEK_S, BUSY_CORES = 0.25, 0.25
Side = Callable[[int], Awaitable[Figures]]
# What a benchmark may end with; anything else is a mistake in it.
FAILURES = (GatewayError, NotRun, PeerFailed, Refused, OSError, TimeoutError)


@dataclass(frozen=True)
class Bench:
    """One run. `quick` is for trying the script out: a round, and a fraction of the work."""

    rounds: int
    quick: bool
    folder: Path
    say: Callable[[str], None]
    disturbances: list[str] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)

    async def attempt(self, part: str, measuring: Awaitable[list[Row]]) -> None:
        """Keep the rows of one part of the benchmark; if it fails, why, so that the other parts are measured still."""
        try:
            self.rows.extend(await measuring)
        except FAILURES as error:
            self.failures[part] = str(error) or type(error).__name__

    def scaled(self, count: int) -> int:
        """`count`, or a quarter of it in a quick run."""
        return max(1, count // 4) if self.quick else count

    async def alternate(self, sides: Mapping[str, Side]) -> dict[str, dict[str, Sample]]:
        """Run the sides in turn, once a round (A B A B …), and collect each one's figures; a side is told its round."""
        figures: dict[str, list[Figures]] = {side: [] for side in sides}
        for number in range(self.rounds):
            for side, run in sides.items():
                turn = f"round {number + 1} of {self.rounds}: {side}"
                self.say(turn)
                await self.note_neighbours(turn)
                figures[side].append(await run(number))
        return {side: samples(of_rounds) for side, of_rounds in figures.items()}

    async def note_neighbours(self, turn: str) -> None:
        """Between two turns nothing of ours runs: what is busy then is somebody else's."""
        busy = await asyncio.to_thread(busy_cores, PEEK_S)
        if busy is not None and busy > BUSY_CORES:
            self.disturbances.append(f"{self.folder.name}, {turn}: {busy:g} cores busy before it")


def samples(rounds: list[Figures]) -> dict[str, Sample]:
    """One sample per figure, from all rounds."""
    return {name: Sample(tuple(figures[name] for figures in rounds)) for name in rounds[0]}


def starter(name: str, /, **changes: Any) -> ModelSpec:
    """A row of the project's models.yaml, on the CPU and loaded by its first request unless `changes` say otherwise."""
    spec = next(spec for spec in load_specs(MODELS) if spec.name == name)
    return spec.model_copy(update={"preload": False, "device": "cpu", **changes})


def starters() -> list[ModelSpec]:
    """All rows that the first `gateway serve` fetches."""
    return [starter(spec.name) for spec in load_specs(MODELS) if spec.starter]


def fake_row(name: str) -> ModelSpec:
    """A classifier without weights, which answers at once."""
    return ModelSpec.model_validate({"name": name, "task": "text-classification", "engine": "fake"})
