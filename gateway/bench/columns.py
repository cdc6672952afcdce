"""Which figures of a stage are shown, how they are called and written; knows no page and no terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gateway.bench.figures import duration, figure
from gateway.bench.result import Run, Spread, Stage
from gateway.bench.words import counts, first_name


@dataclass(frozen=True)
class Column:
    """A figure: its name, its value in a stage (None where there is none), how it is written; what is better."""

    name: str
    value: Callable[[Stage], float | None]
    write: Callable[[float], str]
    more_is_better: bool = True

    @property
    def better(self) -> str:
        """Which ratio is good."""
        return "more is better" if self.more_is_better else "less is better"


def columns(stages: Sequence[Stage]) -> list[Column]:
    """Those that some stage has."""
    first = first_name(stages)
    every = [
        Column("answers/s", lambda stage: stage.answers_per_s, figure),
        Column("p50", lambda stage: _of(stage.latency_s, "p50"), duration, more_is_better=False),
        Column("p99", lambda stage: _of(stage.latency_s, "p99"), duration, more_is_better=False),
        Column(f"{first} p50", lambda stage: _of(stage.first_s, "p50"), duration, more_is_better=False),
        Column(f"{first} p99", lambda stage: _of(stage.first_s, "p99"), duration, more_is_better=False),
        Column("tokens/s", lambda stage: stage.tokens_per_s, figure),
        Column("tokens/s, one stream", lambda stage: _of(stage.stream_tokens_per_s, "p50"), figure),
        Column("tokens read/s", lambda stage: stage.input_tokens_per_s, figure),
        Column("s of sound/s", lambda stage: stage.audio_per_s, figure),
        Column("real-time factor p50", lambda stage: _of(stage.real_time_factor, "p50"), figure, more_is_better=False),
    ]
    return [column for column in every if any(column.value(stage) is not None for stage in stages)]


def heading(found: Sequence[Column]) -> list[str]:
    """The names of a table's columns."""
    return ["connections", *(column.name for column in found), "answered", "failed", "asked to wait"]


def line(stage: Stage, found: Sequence[Column]) -> list[str]:
    """A stage as the cells of a table."""
    cells = [cell(column, stage) for column in found]
    return [str(stage.connections), *cells, f"{stage.answered:,}", counts(stage.failed), counts(stage.waited)]


def cell(column: Column, stage: Stage) -> str:
    """One figure of a stage."""
    value = column.value(stage)
    return "-" if value is None else column.write(value)


def ratios(run: Run, other: Run) -> dict[int, list[str]]:
    """The figures of each number of connections that both runs have, divided by the other's; `-` where one lacks."""
    found = columns(run.stages)
    theirs = {stage.connections: stage for stage in other.stages}
    return {
        stage.connections: [_ratio(column.value(stage), column.value(theirs[stage.connections])) for column in found]
        for stage in run.stages
        if stage.connections in theirs
    }


def _ratio(ours: float | None, theirs: float | None) -> str:
    return f"{figure(ours / theirs)} ×" if ours is not None and theirs else "-"


def _of(spread: Spread | None, name: str) -> float | None:
    return None if spread is None else float(getattr(spread, name))
