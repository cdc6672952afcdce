"""The command: which checks there are, and their findings as a table; knows no check from inside."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli import terminal
from gateway.cli.doctor.finding import Finding, fault
from gateway.config import ConfigError, Settings

if TYPE_CHECKING:
    from gateway.runtime.memory import Ledger
    from gateway.weights.footprint import Footprints

COLOURS = {"ok": "green", "note": "yellow", "fault": "red"}

Models = Annotated[Path | None, typer.Option("--models", metavar="FILE", help="The models.yaml to use.")]
Home = Annotated[Path | None, typer.Option(help="The model store and keys (default: the user's data directory).")]
Port = Annotated[int | None, typer.Option(help="The port that the gateway would listen on.")]
Verify = Annotated[bool, typer.Option("--verify", help="Read every byte of the weights that are here.")]
Online = Annotated[bool, typer.Option("--online", help="Also ask whether the hub can be reached.")]


def doctor(
    models: Models = None, home: Home = None, port: Port = None, verify: Verify = False, online: Online = False
) -> None:
    """Look for what keeps a gateway from serving well, with a fix for each fault; exit status 1 if there is one."""
    from gateway.cli.serve import read_settings

    given = {"models": models, "home": home, "port": port}
    settings = read_settings({name: value for name, value in given.items() if value is not None})
    findings = list(examine(settings, verify=verify, online=online))
    _print(findings)
    if any(finding.level == "fault" for finding in findings):
        raise typer.Exit(1)


def examine(settings: Settings, *, verify: bool, online: bool) -> Iterator[Finding]:
    """All findings, in the order in which one depends on another."""
    from gateway.app import new_steward
    from gateway.cli.doctor import access, machine, software, weights
    from gateway.cli.open_files import allowed_files
    from gateway.runtime.nursery import Nursery

    gpus = asyncio.run(Nursery([]).gpu_budgets())
    yield from software.check()
    yield from machine.instructions()
    yield from machine.gpus(gpus, machine.torch_build())
    yield from machine.memory(settings)
    yield from weights.folder(settings.home)
    steward = new_steward(settings)
    steward.open(gpus)
    yield from _rows(settings, steward.ledger, steward.footprints, verify=verify)
    yield from access.port(settings)
    yield from access.connections(settings, allowed_files())
    yield from access.keys(settings)
    yield from access.hub(settings, online=online)


def _rows(settings: Settings, ledger: Ledger, footprints: Footprints, *, verify: bool) -> Iterator[Finding]:
    from gateway.cli.doctor import quantized, rows, sandbox, weights
    from gateway.models_file import find_models_file, load_specs, with_file_settings
    from gateway.runtime.sandbox import gaps
    from gateway.weights.lock import FILE_NAME, Lock
    from gateway.weights.store import Store

    try:
        path = find_models_file(settings)
        specs = load_specs(path)
        settings = with_file_settings(settings, path)
    except ConfigError as error:
        yield fault("models.yaml", error.detail, "correct the file; docs/models.md describes its fields")
        return
    yield from sandbox.check(settings.sandbox, gaps())
    yield from rows.check(settings, path, specs)
    try:
        store = Store(settings.home, offline=settings.offline, pinned=Lock.for_models(path))
        Lock.load(settings.home / FILE_NAME)
    except (ConfigError, OSError) as error:
        yield fault(
            "models.lock",
            getattr(error, "detail", str(error)),
            "restore it, or delete it and run `gateway models pull` again",
        )
        return
    yield from weights.room(settings.home, store, specs)
    yield from weights.integrity(store, specs, deep=verify)
    yield from quantized.check(store, specs, ledger.budgets)
    yield from rows.fit(ledger, store, footprints, specs)


def _print(findings: list[Finding]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for heading in ("checked", "", "found", "fix"):
        table.add_column(heading, overflow="fold")
    for finding in findings:
        table.add_row(
            Text(finding.subject),
            Text(finding.level, style=COLOURS[finding.level]),
            Text(finding.text),
            Text(finding.fix),
        )
    terminal.console().print(table)
