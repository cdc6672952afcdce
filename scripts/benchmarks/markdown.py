"""`python -m scripts.benchmarks.markdown FILE.json`: one run as text for the documentation; measures nothing."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scripts.benchmarks.report import figure


def page(document: dict[str, Any]) -> Iterator[str]:
    """The lines: what it was taken on and with, then a table of medians with lowest and highest."""
    machine, versions = document["machine"], document["versions"]
    flags = ", ".join(machine["flags"])
    yield f"{document['at'][:10]}, commit `{document['commit'][:12]}`{' with changes' if document['changed'] else ''}, "
    yield f"`{document['command']}`, rounds: {document['rounds']}, on {machine['cores']} cores of {machine['model']} "
    yield f"({flags}), {machine['memory_gib']:g} GiB, Linux {machine['kernel']}. "
    yield ", ".join(f"{name} {version}" for name, version in versions.items() if version) + "."
    if document["disturbances"]:
        turns = len(document["disturbances"])
        yield f"\nOther processes kept cores busy before {turns} turn{'s' if turns > 1 else ''} of this run."
    yield "\n| row | value | reference | ratio | aim | |\n|---|---|---|---|---|---|"
    for row in document["rows"]:
        yield _line(row)


def _line(row: dict[str, Any]) -> str:
    parts = " · ".join(f"{name} {figure(part['median'])}" for name, part in row["parts"].items())
    name = f"{row['benchmark']}: {row['name']}" + (f" ({parts})" if parts else "")
    reference = f"{row['against']}: {_cell(row['reference'])}" if row["reference"] else ""
    aim = f"{row['aim']['sign']} {row['aim']['bound']:g}{' ×' * (row['aim']['of'] == 'ratio')}" if row["aim"] else ""
    met = {None: "", True: "met", False: "**not met**"}[row["met"]]
    met = "disturbed" if row["disturbed"] and row["aim"] else met
    cells = name, f"{_cell(row['value'])} {row['unit']}", reference, _cell(row["ratio"]), aim, met
    return f"| {' | '.join(cells)} |"


def _cell(sample: dict[str, Any] | None) -> str:
    if sample is None:
        return ""
    return f"{figure(sample['median'])} ({figure(sample['lowest'])}–{figure(sample['highest'])})"


if __name__ == "__main__":
    print("\n".join(page(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))))
