"""Checks the model store: whether it can be written to, has room, and holds what it says; knows no memory."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from gateway.cli.doctor.finding import Finding, fault, note, ok
from gateway.config import ConfigError, ModelSpec
from gateway.errors import GatewayError
from gateway.runtime.memory import readable
from gateway.weights.store import Store

# What a pull should leave: logs, measurements and other programs need some.
SPARE_BYTES = 1 << 30


def folder(home: Path) -> Iterator[Finding]:
    """Whether the home can be written to."""
    there = _existing(home)
    if not there.is_dir():
        yield fault("home", f"{there} is not a folder", "set GATEWAY_HOME to a folder, or move the file away")
    elif not os.access(there, os.R_OK | os.W_OK | os.X_OK):
        yield fault("home", f"{home} cannot be written to", f"`chown -R $USER {there}`, or set GATEWAY_HOME to another")
    else:
        yield ok("home", str(home))


def room(home: Path, store: Store, specs: Sequence[ModelSpec]) -> Iterator[Finding]:
    """Whether the starters that are missing fit on the disk."""
    free = shutil.disk_usage(_existing(home)).free
    missing = [spec for spec in specs if spec.starter and _is_missing(store, spec)]
    wanted = sum(_size(store, spec) for spec in missing)
    told = f"{readable(free)} free; " + (
        f"starters to fetch: {readable(wanted)}" if missing else "all starters are here"
    )
    if free < wanted:
        yield fault("disk", told, f"free {readable(wanted - free)} more, or set GATEWAY_HOME to a larger disk")
    elif free < wanted + SPARE_BYTES:
        yield note("disk", told, "make room: little would be left")
    else:
        yield ok("disk", told)


def integrity(store: Store, specs: Sequence[ModelSpec], *, deep: bool) -> Iterator[Finding]:
    """Whether the snapshots are as they were pulled: names and sizes, or with `deep` every byte."""
    here = 0
    are_bad = False
    for spec in specs:
        try:
            faults = _faults(store, spec, deep=deep)
        except ConfigError:
            continue  # told with the rows
        except (GatewayError, OSError) as error:
            faults = [error.detail if isinstance(error, GatewayError) else str(error)]
        else:
            here += store.was_pulled(spec)
        if faults:
            are_bad = True
            yield fault(f"weights of {spec.name}", "; ".join(faults), _fix(spec))
    if not are_bad:
        how = "every byte was read" if deep else "what was touched was read again; --verify reads every byte"
        yield ok("weights", f"{here} of {len(specs)} rows are here; {how}")


def _faults(store: Store, spec: ModelSpec, *, deep: bool) -> list[str]:
    if spec.source is None:
        return []
    if spec.source.startswith("file:") and store.find(spec) is None:
        return [f"nothing at {spec.source.removeprefix('file:')}"]
    if not store.was_pulled(spec):
        return []
    if store.find(spec) is None:
        return ["files are missing, are not whole, or are not those that models.lock pins"]
    store.path(spec)
    return store.verify(spec) if deep else []


def _fix(spec: ModelSpec) -> str:
    if (spec.source or "").startswith("file:"):
        return "put the files there, or correct the row's source"
    return f"`gateway models pull {spec.name}`"


def _is_missing(store: Store, spec: ModelSpec) -> bool:
    try:
        return spec.source is not None and store.find(spec) is None
    except GatewayError:
        return False


def _size(store: Store, spec: ModelSpec) -> int:
    try:
        return store.size_bytes(spec) or 0
    except GatewayError:
        return 0


def _existing(path: Path) -> Path:
    """The path, or the nearest folder above it that exists."""
    return next((folder for folder in (path, *path.absolute().parents) if folder.exists()), Path("/"))
