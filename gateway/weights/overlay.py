"""Single files of other sources that join a row's snapshot under names the row gives them; knows no store."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from gateway.config import ConfigError, ModelSpec
from gateway.weights.local import LocalSource
from gateway.weights.parse import parse_source
from gateway.weights.pypi import PackageSource
from gateway.weights.source import Job


def origin(spec: ModelSpec) -> str:
    """Where the snapshot of a row comes from, in one line: its source and what is laid over it."""
    return "".join([spec.source or "", *(f" + {name}={text}" for name, text in spec.overlay.items())])


def source_of(text: str) -> str:
    """The source in an `origin`."""
    return text.partition(" + ")[0]


def lay_over(overlay: Mapping[str, str], job: Job) -> list[str]:
    """Put the files into `job.files`, all or none, and return the revisions they came from.

    Each is fetched in a folder of its own beside `job.partial`, where a later try, and the next file of the same wheel,
    find what has arrived. Raises like a source's `fetch`, and `ConfigError` for a source that is not one file to be
    fetched.
    """
    job.admit(list(overlay))
    fetched = {name: _fetch(text, job) for name, text in overlay.items()}
    for name, (file, _) in fetched.items():
        target = job.files / name
        target.parent.mkdir(parents=True, exist_ok=True)
        file.replace(target)
    return [revision for _, revision in fetched.values()]


def _fetch(text: str, job: Job) -> tuple[Path, str]:
    source = parse_source(text)
    if isinstance(source, LocalSource) or not source.path:
        raise ConfigError(f"{job.model}: overlay: `{text}` must name one file of a source that is fetched")
    shared = f"{source.dist}=={source.version}" if isinstance(source, PackageSource) else text
    own = replace(job, globs=(), files=_place(job, text) / "files", partial=_place(job, shared) / "partial")
    for place in (own.files, own.partial):
        place.mkdir(parents=True, exist_ok=True)
    fetched = source.fetch(own)
    file = own.files / source.path
    if not file.is_file():
        raise ConfigError(f"{job.model}: overlay: `{text}` is not one file")
    return file, fetched.revision


def _place(job: Job, text: str) -> Path:
    return job.partial.parent / "overlay" / hashlib.sha256(text.encode()).hexdigest()[:16]
