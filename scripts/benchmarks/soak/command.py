"""`scripts/bench soak`: its options, its progress bar, and where its results go; measures nothing itself."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
import uvloop
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from scripts.benchmarks import machine
from scripts.benchmarks.bench import FAILURES
from scripts.benchmarks.soak import chart, report
from scripts.benchmarks.soak.soak import Course, Plan, models, soak

Minutes = Annotated[float, typer.Option(min=0.05, max=24 * 60, help="How long callers begin new requests.")]
Connections = Annotated[int, typer.Option(min=1, max=256, help="How many callers there are at once.")]
MemoryGib = Annotated[float, typer.Option(min=0.1, help="Memory for all models together; too little for all of them.")]
Seed = Annotated[int, typer.Option(help="Of everything that is sent.")]
Results = Annotated[Path, typer.Option(help="The folder for JSON, chart and text.")]


def command(
    minutes: Minutes = 20.0,
    connections: Connections = 12,
    memory_gib: MemoryGib = 1.1,
    seed: Seed = 1,
    results: Results = Path("bench-results"),
) -> None:
    """Mixed traffic while models are swapped on too little memory; any error but 3040 fails it."""
    about = machine.about()
    plan = Plan(minutes, connections, memory_gib, seed)
    results.mkdir(parents=True, exist_ok=True)
    path = results / f"soak-{datetime.now():%Y%m%d-%H%M%S}.json"
    with tempfile.TemporaryDirectory(prefix="gateway-soak-") as folder:
        course: Course | None = None
        try:
            course = uvloop.run(_run(plan, Path(folder)))
            faults = course.faults()
        except FAILURES as error:
            faults = [f"the soak could not be run: {error}"]
        if faults and (log := Path(folder) / "gateway.log").exists():
            shutil.copyfile(log, path.with_suffix(".log"))
    if course is not None:
        keep(course, about, path)
        Console().print(report.table(course))
        print(f"\n{report.markdown(course, about)}")
    print(f"Chart, text for docs/reliability.md, and everything else: {path.with_suffix('')}.*")
    print("".join(f"fault: {fault}\n" for fault in faults), end="")
    sys.exit(1 if faults else 0)


def keep(course: Course, about: dict[str, Any], path: Path) -> None:
    """Write the JSON at `path`, and the chart and the text beside it."""
    text = json.dumps(report.document(course, about), indent=2, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")
    path.with_suffix(".md").write_text(report.markdown(course, about), encoding="utf-8")
    chart.draw(course, path.with_suffix(".svg"))


async def _run(plan: Plan, folder: Path) -> Course:
    columns = BarColumn(), TimeElapsedColumn(), TextColumn("{task.fields[now]}")
    with Progress(*columns, console=Console(stderr=True), refresh_per_second=2) as progress:
        task = progress.add_task("soak", total=plan.seconds, now="making models, starting the gateway")
        return await soak(plan, await models(folder), folder, partial(_show, progress, task))


def _show(progress: Progress, task: TaskID, course: Course) -> None:
    now, book = course.looks[-1], course.book
    faults = sum(tally.errors.total() for tally in book.tallies.values()) + book.misjudged.total()
    said = f"{book.answered:,} answered, {book.refused:,} × 3040, {faults} faults, {now.front_bytes / 1e6:.0f} MB"
    progress.update(task, completed=now.at_s, now=f"{said}, {now.processes} processes")
