"""`gateway models`: list, pull, verify, remove and pin weights; knows nothing of how models run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli import terminal
from gateway.cli.progress import TransferBar, megabytes
from gateway.cli.serve import read_settings
from gateway.config import ConfigError, ModelSpec, Settings
from gateway.errors import GatewayError
from gateway.models_file import find_models_file, load_specs, similar
from gateway.weights.lock import FILE_NAME, Lock
from gateway.weights.store import Store

app = typer.Typer(no_args_is_help=True, help="The weights of the rows of models.yaml: what is here, and what is not.")

Names = Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Names or aliases of rows.")]
ModelsFile = Annotated[Path | None, typer.Option("--models", metavar="FILE", help="The models.yaml to use.")]
Home = Annotated[Path | None, typer.Option(help="The model store (default: the user's data directory).")]


@dataclass(frozen=True)
class Catalog:
    """The rows of one models.yaml and the store that keeps their weights."""

    specs: list[ModelSpec]
    store: Store
    lock_file: Path

    def named(self, names: Sequence[str]) -> list[ModelSpec]:
        """The rows with these names or aliases; raises `ConfigError` with near matches for an unknown one."""
        owners = {name: spec for spec in self.specs for name in (spec.name, *spec.aliases)}
        for name in names:
            if name not in owners:
                raise ConfigError(f"no model {name} in models.yaml{similar(name, owners)}")
        return [owners[name] for name in names]


def open_catalog(models: Path | None, home: Path | None) -> Catalog:
    """The catalog of `models` in `home`, or of what the settings choose; raises `ConfigError`."""
    given = {"models": models, "home": home}
    settings = read_settings({name: value for name, value in given.items() if value is not None})
    path = find_models_file(settings)
    return Catalog(load_specs(path), _store(settings, path), path.parent / FILE_NAME)


@app.command("list")
def list_models(models: ModelsFile = None, home: Home = None) -> None:
    """Show each row: task, engine, size, whether its weights are here, license, source."""
    from rich.table import Table

    catalog = open_catalog(models, home)
    table = Table(box=None, pad_edge=False)
    for heading in ("name", "task", "engine", "size", "here", "license", "source"):
        table.add_column(heading, overflow="fold")
    for spec in catalog.specs:
        size = megabytes(catalog.store.size_bytes(spec)) if spec.source else "-"
        here = ("yes" if catalog.store.find(spec) else "no") if spec.source else "-"
        table.add_row(spec.name, spec.task, spec.engine, size, here, spec.license, spec.source or "-")
    terminal.console().print(table)


@app.command()
def pull(
    names: Names = None,
    starters: Annotated[bool, typer.Option("--starters", help="Every row marked `starter`.")] = False,
    every: Annotated[bool, typer.Option("--all", help="Every row with a source.")] = False,
    models: ModelsFile = None,
    home: Home = None,
) -> None:
    """Fetch weights, check every file, and repair what is damaged."""
    catalog = open_catalog(models, home)
    chosen = catalog.named(names or [])
    chosen += [spec for spec in catalog.specs if spec.source and (every or (starters and spec.starter))]
    if not chosen:
        raise ConfigError("nothing to pull: give names, --starters or --all (`gateway models list` shows the rows)")
    bar = TransferBar(terminal.console())
    try:
        _each(chosen, lambda spec: f"{spec.name} is here: {catalog.store.pull(spec, bar)}")
    except KeyboardInterrupt:
        terminal.say("interrupted: what has arrived is kept; pull again to go on from there", stderr=True)
        raise


@app.command()
def verify(names: Names = None, models: ModelsFile = None, home: Home = None) -> None:
    """Read every byte of the named rows, or of all that are here, and compare."""
    catalog = open_catalog(models, home)
    chosen = catalog.named(names) if names else [spec for spec in catalog.specs if catalog.store.was_pulled(spec)]
    if not chosen:
        terminal.say("no weights are here: `gateway models pull` fetches some", stderr=True)

    def report(spec: ModelSpec) -> str:
        faults = catalog.store.verify(spec)
        if faults:
            told = "; ".join(faults)
            if not catalog.store.was_pulled(spec):
                raise ConfigError(told)
            raise ConfigError(f"{spec.name}: {told} (repair: `gateway models pull {spec.name}`)")
        return f"{spec.name} is intact"

    _each(chosen, report)


@app.command()
def remove(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Names or aliases of rows.")],
    models: ModelsFile = None,
    home: Home = None,
) -> None:
    """Delete weights from the store."""
    catalog = open_catalog(models, home)

    def drop(spec: ModelSpec) -> str:
        if (spec.source or "file:").startswith("file:"):
            return f"{spec.name} keeps no weights in the store: nothing removed"
        if not (freed_bytes := catalog.store.remove(spec)):
            return f"no weights of {spec.name} are here: nothing removed"
        others = [other.name for other in catalog.specs if other != spec and catalog.store.is_shared(spec, other)]
        shared = f"; so are those of {', '.join(others)}, which are the same" if others else ""
        return f"the weights of {spec.name} are removed, {megabytes(freed_bytes)} freed{shared}"

    _each(catalog.named(names), drop)


@app.command()
def lock(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Names or aliases of rows.")],
    models: ModelsFile = None,
    home: Home = None,
) -> None:
    """Pin what the sources give today in the models.lock beside models.yaml. You vouch for the files."""
    catalog = open_catalog(models, home)
    bar = TransferBar(terminal.console())

    def pin(spec: ModelSpec) -> str:
        snapshot = catalog.store.pin(spec, bar)
        key = f"{snapshot.source}#{snapshot.archive}" if snapshot.archive else snapshot.source
        Lock.load(catalog.lock_file).with_snapshot(key, snapshot).save(catalog.lock_file)
        return f"{spec.name}: {len(snapshot.files)} files pinned in {catalog.lock_file}"

    _each(catalog.named(names), pin)


def ensure_starters(settings: Settings, specs: Sequence[ModelSpec]) -> None:
    """Pull the starter rows that are missing, with progress on standard error; a failure is told and passed over.

    Raises `ConfigError` only for a models.lock that cannot be read.
    """
    store = _store(settings, find_models_file(settings))
    console = terminal.console(stderr=True)
    missing = [spec for spec in specs if spec.starter and spec.source and _is_missing(store, spec)]
    if missing and settings.offline:
        names = ", ".join(spec.name for spec in missing)
        terminal.say(f"GATEWAY_OFFLINE: not fetching {names}; requests to them will be refused", stderr=True)
        return
    bar = TransferBar(console)
    for spec in missing:
        try:
            store.pull(spec, bar)
        except GatewayError as error:
            terminal.say(f"error: {error.detail}", stderr=True)


def _is_missing(store: Store, spec: ModelSpec) -> bool:
    try:
        return store.find(spec) is None
    except ConfigError:
        return True


def _store(settings: Settings, models_file: Path) -> Store:
    return Store(settings.home, offline=settings.offline, pinned=Lock.for_models(models_file))


def _each(specs: Sequence[ModelSpec], act: Callable[[ModelSpec], str]) -> None:
    """Act on each row once, go on after a failure, and exit with 1 if there was one."""
    has_failed = False
    for spec in {spec.name: spec for spec in specs}.values():
        try:
            terminal.say(act(spec))
        except GatewayError as error:
            has_failed = True
            terminal.say(f"error: {error.detail}", stderr=True)
    if has_failed:
        raise typer.Exit(1)
