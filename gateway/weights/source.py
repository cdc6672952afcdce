"""What a source of weights is and what it is asked for; knows neither the store nor any one protocol."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Protocol

from gateway.weights.content import size_below
from gateway.weights.errors import PullFailed
from gateway.weights.progress import Progress


@dataclass(frozen=True)
class Fetched:
    """What a source gave: the revision it resolved to, and the platform's archive if there was one."""

    revision: str
    archive: str | None = None


@dataclass(frozen=True)
class Job:
    """One fetch: `files` becomes the snapshot, `partial` survives a failure so that the next try resumes."""

    model: str
    purpose: str
    globs: tuple[str, ...]
    files: Path
    partial: Path
    progress: Progress
    admit: Callable[[Sequence[str]], None]
    """Raises `WeightsRefused` if a name among those about to be fetched is refused."""

    def held_bytes(self) -> int:
        """What earlier tries have left to go on from."""
        return size_below(self.files) + size_below(self.partial)

    def need(self, size_bytes: int) -> None:
        """Raise `PullFailed` if the disk has not that much room."""
        free = shutil.disk_usage(self.partial).free
        if size_bytes > free:
            raise PullFailed(
                f"{self.model} needs {size_bytes / 1e6:,.0f} MB and {free / 1e6:,.0f} MB are free: "
                "make room, or set GATEWAY_HOME to a larger disk"
            )


class Source(Protocol):
    """A place that weights are fetched from. Names keep the layout they have there; `path` is what is loaded."""

    @property
    def text(self) -> str:
        """The source as models.yaml spells it."""

    @property
    def path(self) -> str:
        """The file or folder inside the source, with `/`; empty: all of it."""

    def fetch(self, job: Job) -> Fetched:
        """Put the wanted files below `job.files`; raises `PullFailed`."""


def select(members: Iterable[str], path: str, globs: Sequence[str], where: str) -> list[str]:
    """The members to take: the one at `path`, or those below it that a glob matches (`*` also matches `/`).

    Raises `PullFailed` naming `where` if nothing matches, or nothing has a name that was given without wildcards.
    """
    names = sorted(members)
    if path in names:
        return [path]
    prefix = f"{path}/" if path else ""
    below = [name for name in names if name.startswith(prefix)]
    for glob in globs:
        if not set(glob) & set("*?[") and prefix + glob not in below:
            raise PullFailed(f"{where} has no file {prefix}{glob}: correct `files` in models.yaml")
    taken = [name for name in below if not globs or any(fnmatchcase(name[len(prefix) :], glob) for glob in globs)]
    if not taken:
        raise PullFailed(f"{where} has no file at {path or '/'} {' '.join(globs)}: correct the row in models.yaml")
    return taken
