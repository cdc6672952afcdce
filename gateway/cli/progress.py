"""Transfers on the terminal: name, size, speed, time left and what the model is for; knows no source."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID


def megabytes(size_bytes: int | None) -> str:
    """A size as people read it; `?` if unknown."""
    if size_bytes is None:
        return "?"
    return f"{size_bytes / 1e6:,.0f} MB" if size_bytes >= 1e6 else f"{size_bytes / 1e3:,.1f} kB"


class TransferBar:
    """A `gateway.weights.progress.Progress`: a bar on a terminal, a line at the start and the end elsewhere."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._name = ""
        self._arrived_bytes = 0
        self._started_s = 0.0

    def begin(self, name: str, purpose: str, total_bytes: int | None) -> None:
        """Say what comes and how large it is."""
        self._name, self._arrived_bytes, self._started_s = name, 0, monotonic()
        size = f" ({megabytes(total_bytes)})" if total_bytes is not None else ""
        self._console.print(f"{name}{size}: {purpose}", markup=False, highlight=False, soft_wrap=True)
        if self._console.is_terminal:
            self._bar = _bar(self._console)
            self._task = self._bar.add_task(name, total=total_bytes)
            self._bar.start()

    def advance(self, size_bytes: int) -> None:
        """Move the bar."""
        self._arrived_bytes += size_bytes
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, advance=size_bytes)

    def end(self) -> None:
        """Leave a line that says how much came how fast."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
        if self._arrived_bytes:
            took_s = max(monotonic() - self._started_s, 1e-3)
            speed = megabytes(int(self._arrived_bytes / took_s))
            text = f"{self._name}: {megabytes(self._arrived_bytes)} in {took_s:.1f} s ({speed}/s)"
            self._console.print(text, markup=False, highlight=False, soft_wrap=True)


def _bar(console: Console) -> Progress:
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=console, transient=True)
