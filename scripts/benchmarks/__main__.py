"""`scripts/bench`: chooses and runs the benchmarks, shows the table and keeps the JSON; measures nothing itself."""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
import uvloop
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from scripts.benchmarks import (
    chat,
    chat_forms,
    cold_start,
    embeddings,
    encoders,
    gpu_chat,
    infinity,
    large_bodies,
    machine,
    overhead,
    speech,
)
from scripts.benchmarks.bench import FAILURES, Bench
from scripts.benchmarks.report import Row
from scripts.benchmarks.soak.command import command as soak_command
from scripts.benchmarks.table import notes, table, write

Benchmark = Callable[[Bench], Awaitable[list[Row]]]
BENCHMARKS: dict[str, Benchmark] = {
    "overhead": overhead.run,
    "large-bodies": large_bodies.run,
    "embeddings": embeddings.run,
    "encoders": encoders.run,
    "infinity": infinity.run,
    "chat": chat.run,
    "chat-forms": chat_forms.run,
    "gpu-chat": gpu_chat.run,
    "speech": speech.run,
    "cold-start": cold_start.run,
}
# They need what a machine may not have, or time to install it.
ASKED_FOR = ("infinity", "gpu-chat")
LIMIT_S = 900.0

Only = Annotated[str, typer.Option(help=f"Of {', '.join(BENCHMARKS)}; comma-separated; default: all.")]
Rounds = Annotated[int, typer.Option(min=1, max=20, help="How often the sides take turns.")]
Quick = Annotated[bool, typer.Option("--quick", help="One round of a fraction of the work: to try it out.")]
Results = Annotated[Path, typer.Option(help="The folder for the JSON.")]


app = typer.Typer(add_completion=False)
app.command("soak")(soak_command)


@app.callback(invoke_without_command=True)
def main(
    context: typer.Context,
    only: Only = "",
    rounds: Rounds = 3,
    quick: Quick = False,
    results: Results = Path("bench-results"),
) -> None:
    """Measure the gateway against the libraries it runs, called directly, in one run on this machine."""
    if context.invoked_subcommand is None:
        measure(only, rounds, quick, results)


def measure(only: str, rounds: int, quick: bool, results: Path) -> None:
    """Run the benchmarks named in `only`, comma-separated, and exit; raises `BadParameter` for an unknown one."""
    names = [name for name in only.split(",") if name] or [name for name in BENCHMARKS if name not in ASKED_FOR]
    if unknown := [name for name in names if name not in BENCHMARKS]:
        raise typer.BadParameter(f"no benchmark {unknown[0]} (there are: {', '.join(BENCHMARKS)})")
    console = Console()
    about = {**machine.about(), "rounds": 1 if quick else rounds, "quick": quick, "disturbances": []}
    path = results / f"{datetime.now():%Y%m%d-%H%M%S}.json"
    with tempfile.TemporaryDirectory(prefix="gateway-bench-") as folder:
        rows, failures = uvloop.run(_run(names, about, Path(folder)))
        write(path, rows, failures, about)
        for name in {failed.partition(":")[0] for failed in failures}:
            if (logs := Path(folder) / name).is_dir():
                shutil.copytree(logs, path.with_suffix("") / name)
    console.print(table(rows))
    for note in notes(rows):
        console.print(note, highlight=False)
    for name, reason in failures.items():
        console.print(f"[red]{name} was not measured:[/] {reason} (logs: {path.with_suffix('')})", highlight=False)
    if disturbed := about["disturbances"]:
        console.print(f"[yellow]Other processes were busy before {len(disturbed)} turns: measure again when quiet.[/]")
    console.print(f"Everything, with machine and versions: {path}", highlight=False)
    sys.exit(1 if failures else 0)


def _show(progress: Progress, task: TaskID, now: str) -> None:
    progress.update(task, now=now)


async def _run(names: list[str], about: dict[str, Any], folder: Path) -> tuple[list[Row], dict[str, str]]:
    rows: list[Row] = []
    failures: dict[str, str] = {}
    text = TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TextColumn("{task.fields[now]}")
    # Drawn twice a second only: the client shares the machine with what it measures.
    with Progress(SpinnerColumn(), *text, console=Console(stderr=True), refresh_per_second=2) as progress:
        whole = progress.add_task("benchmarks", total=len(names), now="")
        for name in names:
            progress.update(whole, description=name, now="starting")
            bench = Bench(about["rounds"], about["quick"], folder / name, partial(_show, progress, whole))
            try:
                async with asyncio.timeout(LIMIT_S):
                    bench.rows.extend(await BENCHMARKS[name](bench))
            except FAILURES as error:
                failures[name] = str(error) or type(error).__name__
            rows += [replace(row, is_disturbed=bool(bench.disturbances)) for row in bench.rows]
            failures |= {f"{name}: {part}": reason for part, reason in bench.failures.items()}
            about["disturbances"] += bench.disturbances
            progress.advance(whole)
    return rows, failures


if __name__ == "__main__":
    app()
