"""A run on the terminal: a bar while it goes on, tables when it is over; measures nothing."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from gateway.bench import words
from gateway.bench.columns import columns, heading, line, ratios
from gateway.bench.figures import duration, figure
from gateway.bench.result import Run, Stage


class StageBar:
    """A `gateway.bench.drive.Watcher`: a bar for each stage on a terminal, a line at its end everywhere."""

    def __init__(self, console: Console) -> None:
        self._console = console
        columns = TextColumn("{task.description}", markup=False), BarColumn(), TimeRemainingColumn()
        self._bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._task: TaskID | None = None
        self._name = ""

    def wait(self, what: str) -> None:
        """Show a bar without an end."""
        self._show(what, None)

    def begin(self, connections: int, seconds: float) -> None:
        """Show a bar."""
        self._name = words.connections(connections)
        self._show(self._name, seconds)

    def tick(self, elapsed_s: float, answered: int, failed: int) -> None:
        """Move it."""
        if self._task is not None:
            told = f"{self._name}: {answered:,} answers" + (f", {failed:,} failed" if failed else "")
            self._bar.update(self._task, completed=elapsed_s, description=told)

    def end(self, stage: Stage) -> None:
        """Leave a line."""
        latency = f", p50 {duration(stage.latency_s.p50)}" if stage.latency_s else ""
        failed = f", failed: {words.counts(stage.failed)}" if stage.failed else ""
        text = f"{self._name}: {figure(stage.answers_per_s)} answers/s{latency}{failed}"
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def close(self) -> None:
        """Leave the terminal as it was."""
        self._bar.stop()

    def _show(self, what: str, seconds: float | None) -> None:
        """One bar in place of the one before."""
        if self._task is not None:
            self._bar.remove_task(self._task)
        self._task = self._bar.add_task(what, total=seconds)
        self._bar.start()


def table_of_stages(stages: Sequence[Stage]) -> Table:
    """All figures, a row for each number of connections."""
    found = columns(stages)
    return _table(heading(found), [line(stage, found) for stage in stages])


def comparison(run: Run, other: Run) -> Table:
    """This run's figures divided by the other's."""
    names = ["connections", *(f"{column.name}\n({column.better})" for column in columns(run.stages))]
    table = _table(names, [[str(count), *cells] for count, cells in ratios(run, other).items()])
    table.title = f"divided by {other.subject.model} at {other.subject.url}"
    return table


def _table(names: Sequence[str], lines: Sequence[Sequence[str]]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in names:
        table.add_column(name, justify="right", overflow="fold")
    for cells in lines:
        table.add_row(*cells)
    return table
