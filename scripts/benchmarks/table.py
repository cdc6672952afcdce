"""How rows are shown in a terminal and kept as JSON; knows no measurement."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from scripts.benchmarks.report import Row, Sample, figure


def _cell(sample: Sample | None, unit: str = "") -> str:
    if sample is None:
        return ""
    text = f"{figure(sample.median)} {unit}".strip()
    if len(sample.values) == 1:
        return text
    return f"{text}\n[dim]{figure(min(sample.values))}–{figure(max(sample.values))}[/]"


def _verdict(row: Row) -> str:
    if row.aim is None:
        return ""
    if row.is_disturbed:
        return f"{row.aim}\n[yellow]disturbed[/]"
    return f"{row.aim}\n" + ("[green]met[/]" if row.is_met else "[red]not met[/]")


def table(rows: Sequence[Row]) -> Table:
    """The rows for a terminal: medians, and below them the rounds' lowest and highest."""
    shown = Table(title="Medians, and the lowest–highest of the rounds")
    for heading in ("", "value", "reference", "ratio", "aim"):
        shown.add_column(heading, justify="right" if heading in ("value", "ratio") else "left", overflow="fold")
    previous = ""
    for row in rows:
        if row.benchmark != previous:
            shown.add_section()
            shown.add_row(f"[bold]{row.benchmark}[/]")
            previous = row.benchmark
        reference = f"{row.against}\n{_cell(row.reference)}" if row.reference else ""
        shown.add_row(row.name, _cell(row.value, row.unit), reference, _cell(row.ratio), _verdict(row))
        for name, part in row.parts.items():
            shown.add_row(f"[dim]  {name}[/]", f"[dim]{figure(part.median)} {row.unit}[/]")
    return shown


def notes(rows: Sequence[Row]) -> list[str]:
    """What the benchmarks say about their sides, once each."""
    return [f"{row.benchmark}: {row.note}" for row in rows if row.note]


def write(path: Path, rows: Sequence[Row], failures: Mapping[str, str], about: Mapping[str, Any]) -> None:
    """Everything as JSON at `path`, whose folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {**about, "rows": [row.as_dict() for row in rows], "failures": failures}
    path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
