"""Writes the table of tasks, engines and rows in docs/models.md from models.yaml; `--check` only compares."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path

from gateway.config import ModelSpec
from gateway.models_file import load_specs
from gateway.runtime.registry import task_of

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = ROOT / "docs" / "models.md"
BEGIN, END = "<!-- rows of models.yaml, written by scripts/model_table.py -->\n", "<!-- end of rows -->\n"


def main() -> int:
    """Write the table, or with `--check` say whether it is as it would be written."""
    old = DOCUMENT.read_text(encoding="utf-8")
    head, _, rest = old.partition(BEGIN)
    tail = rest.partition(END)[2]
    new = head + BEGIN + "".join(table(load_specs(ROOT / "models.yaml"))) + END + tail
    if "--check" in sys.argv[1:]:
        if old != new:
            print("docs/models.md does not have the rows of models.yaml: run scripts/fix", file=sys.stderr)
        return int(old != new)
    DOCUMENT.write_text(new, encoding="utf-8")
    return 0


def table(specs: Iterable[ModelSpec]) -> Iterator[str]:
    """The lines: one heading for each task, one table row for each row, in the file's order."""
    ordered = sorted(specs, key=lambda spec: task_of(spec).title)
    for title, rows in groupby(ordered, key=lambda spec: task_of(spec).title):
        yield f"\n### {title}\n\n| name | form | engine | weights | licence |\n|---|---|---|---|---|\n"
        for spec in rows:
            yield f"| {names(spec)} | {task_of(spec).shape} | {spec.engine} | {weights(spec)} | {spec.license} |\n"
    yield "\n"


def names(spec: ModelSpec) -> str:
    """The row's name and, after it, its aliases."""
    return "<br>".join([f"`{spec.name}`", *(f"also `{alias}`" for alias in spec.aliases)])


def weights(spec: ModelSpec) -> str:
    """Where the weights come from, without the revision: the row has it."""
    source = (spec.source or "none").partition("@")[0]
    return f"{source} (starter)" if spec.starter else source


if __name__ == "__main__":
    sys.exit(main())
