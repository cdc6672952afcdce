"""`gateway top`: the models of a running gateway as a table that follows them; knows no HTTP."""

from __future__ import annotations

import os
import time
from collections import deque
from contextlib import closing
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli import terminal
from gateway.config import ConfigError

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

    from gateway.cli.looks import Counts, Look, Watcher

# Rates and percentiles are of this many looks.
WINDOW_LOOKS = 10
COLUMNS = ("model", "state", "device", "memory", "replicas", "waiting", "running", "req/s", "tok/s", "p50", "p99")
COLOURS = {"ready": "green", "loading": "yellow", "waiting": "yellow", "failed": "red", "silent": "red"}

Url = Annotated[str | None, typer.Option(help="The running gateway (default: where `gateway serve` would listen).")]
Every = Annotated[float, typer.Option(min=0.1, max=3600, help="Seconds between two looks.")]
Once = Annotated[bool, typer.Option("--once", help="Print the table once; rates are since the server's start.")]
All = Annotated[bool, typer.Option("--all", help="Also models that are not loaded and have had no requests.")]


def top(url: Url = None, every: Every = 1.0, once: Once = False, show_all: All = False) -> None:
    """Show the models of a running gateway: state, memory, queues, throughput. Its key, if any, is in GATEWAY_KEY."""
    from gateway.cli.address import default_url
    from gateway.cli.looks import Watcher

    console = terminal.console()
    with closing(Watcher(url or default_url(), os.environ.get("GATEWAY_KEY"))) as watcher:
        first = watcher.look()
        if once or not console.is_terminal:
            console.print(screen(first, None, show_all=show_all))
        else:
            _follow(watcher, first, every, console, show_all=show_all)


def _follow(watcher: Watcher, first: Look, every_s: float, console: Console, *, show_all: bool) -> None:
    """Show look after look until interrupted; a server that stops answering is said so, and waited for."""
    from rich.live import Live

    looks = deque([first], maxlen=WINDOW_LOOKS + 1)
    try:
        with Live(screen(first, None, show_all=show_all), console=console, auto_refresh=False, screen=True) as live:
            while True:
                time.sleep(every_s)
                try:
                    looks.append(watcher.look())
                    live.update(screen(looks[-1], looks[0], show_all=show_all), refresh=True)
                except ConfigError as error:
                    live.update(error.detail, refresh=True)
    except KeyboardInterrupt:
        return


def screen(look: Look, earlier: Look | None, *, show_all: bool) -> RenderableType:
    """The table of one look, with rates since `earlier` or, without it, since the server's start."""
    from rich.console import Group
    from rich.text import Text

    seconds, counts = look.span(earlier)
    models = look.ready["models"]
    shown = [one for one in models if show_all or one["state"] != "unloaded" or one["name"] in look.counts]
    lines: list[RenderableType] = [Text(_headline(look, seconds)), _table(shown, counts, seconds)]
    if len(shown) < len(models):
        lines.append(Text(f"{len(models) - len(shown)} more are not loaded (--all shows them)", style="dim"))
    lines += [Text(f"{one['name']}: {one['reason']}", style="red") for one in models if one["reason"]]
    return Group(*lines)


def _headline(look: Look, seconds: float) -> str:
    ready = look.ready
    memory = ", ".join(
        f"{device} {_gib(of['reserved'])} of {_gib(of['budget'])}" for device, of in ready["memory"].items()
    )
    state = "ready" if ready["ready"] else "not ready"
    return f"Gateway {ready['version']}, {state}; reserved: {memory or '-'}; rates of the last {seconds:.0f} s"


def _table(models: list[dict[str, Any]], counts: dict[str, Counts], seconds: float) -> Table:
    from rich.table import Table
    from rich.text import Text

    from gateway.cli.looks import Counts

    table = Table(box=None, pad_edge=False)
    for column in COLUMNS:
        table.add_column(column, justify="left" if column in COLUMNS[:3] else "right", overflow="fold")
    for one in sorted(models, key=lambda one: (one["state"] == "unloaded", one["name"])):
        counted = counts.get(one["name"], Counts())
        table.add_row(
            one["name"],
            Text(one["state"], style=COLOURS.get(one["state"], "dim")),
            one["device"] or "-",
            ", ".join(f"{device} {_gib(size)}" for device, size in one["memory"]["used"].items() if size) or "-",
            f"{one['loaded']}/{one['replicas']['max']}",
            str(one["waiting"]),
            str(one["running"]),
            f"{counted.requests / seconds:.1f}",
            f"{counted.tokens / seconds:.1f}",
            _duration(counted.quantile_s(0.5)),
            _duration(counted.quantile_s(0.99)),
        )
    return table


def _gib(size_bytes: int) -> str:
    return f"{size_bytes / 2**30:.2f} GiB"


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.1f} s"
