"""The plots of a run, and of another beside it: throughput and times by the number of connections."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from gateway.bench.figures import duration, figure
from gateway.bench.report.chart import Series, bars
from gateway.bench.report.element import Node, element
from gateway.bench.result import Run, Spread, Stage
from gateway.bench.words import first_name

Value = Callable[[Stage], float | None]


def plots(runs: Sequence[Run]) -> Iterator[Node]:
    """A figure for each kind of value that a run has."""
    yield _plot("Answers per second", runs, {"": lambda stage: stage.answers_per_s}, figure)
    yield _plot("Latency", runs, _percentiles(lambda stage: stage.latency_s), duration)
    if any(stage.first_s for run in runs for stage in run.stages):
        title = f"Time to the {first_name(runs[0].stages)}"
        yield _plot(title, runs, _percentiles(lambda stage: stage.first_s), duration)
    if any(stage.tokens_per_s for run in runs for stage in run.stages):
        yield _plot("Tokens per second, all streams", runs, {"": lambda stage: stage.tokens_per_s}, figure)
    if any(stage.audio_per_s for run in runs for stage in run.stages):
        yield _plot("Seconds of sound per second", runs, {"": lambda stage: stage.audio_per_s}, figure)


def _percentiles(spread: Callable[[Stage], Spread | None]) -> dict[str, Value]:
    return {
        "p50": lambda stage: None if (found := spread(stage)) is None else found.p50,
        "p99": lambda stage: None if (found := spread(stage)) is None else found.p99,
    }


def _plot(title: str, runs: Sequence[Run], values: dict[str, Value], write: Callable[[float], str]) -> Node:
    connections = sorted({stage.connections for run in runs for stage in run.stages})
    series = []
    for number, run in enumerate(runs):
        stages = {stage.connections: stage for stage in run.stages}
        whose = ("this run", "the other")[number] if len(runs) > 1 else ""
        for position, (name, value) in enumerate(values.items()):
            found = [value(stages[count]) if count in stages else None for count in connections]
            series.append(
                Series(" ".join(part for part in (whose, name) if part) or title.lower(), found, 2 * number + position)
            )
    chart = bars(title, [str(count) for count in connections], "connections", series, write)
    return element("figure", element("h3", title), chart, style="margin:0")
