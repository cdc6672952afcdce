"""The layout of the store on disk and who may write to it; knows neither where weights come from nor what they are.

HOME/models.lock                 what was pulled: snapshot → source, revision, files
HOME/weights/snapshots/NAME/     one whole snapshot, in the layout of its source
HOME/weights/work/NAME/files/    a snapshot in the making; becomes the above by one rename
HOME/weights/work/NAME/partial/  transfers that broke off
HOME/weights/converted/NAME/     forms of it that an engine made for faster loading
HOME/weights/digests/NAME.json   the sums of its files, and when they were read
HOME/weights/locks/NAME.lock     held while NAME is pulled or removed
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from gateway.config import ModelSpec
from gateway.weights.content import discard, size_below
from gateway.weights.digests import Digests
from gateway.weights.lock import FILE_NAME, Lock, Snapshot
from gateway.weights.overlay import origin
from gateway.weights.progress import Progress

ABANDONED_S = 7 * 86400.0
SNAPSHOTS, CONVERTED = "snapshots", "converted"


def converted_folder(file: Path) -> Path:
    """Where an engine may keep another form of `file`: snapshots hold nothing but what was pulled.

    For a file that is not in a store it is a folder beside it.
    """
    for folder in file.parents:
        if folder.parent.name == SNAPSHOTS:
            return folder.parent.parent / CONVERTED / folder.name
    return file.parent / ".openvino"


class Shelf:
    """A snapshot counts as there when models.lock records it and its folder exists: both or neither, to a reader."""

    def __init__(self, home: Path) -> None:
        self.index = home / FILE_NAME
        self.root = home / "weights"
        self.digests = Digests(self.root / "digests")

    def name(self, spec: ModelSpec) -> str:
        """Readable, and different for every source, choice of files and overlay."""
        source = spec.source or ""
        digest = _digest(origin(spec), spec.files)
        readable = re.sub(r"[^A-Za-z0-9.]+", "-", source.partition(":")[2]).strip("-.")[:80]
        return f"{readable}-{digest}"

    def folder(self, spec: ModelSpec) -> Path:
        """Where the snapshot is, once it is whole."""
        return self.kept(self.name(spec))

    def kept(self, name: str) -> Path:
        """Where the snapshot of that name is."""
        return self.root / SNAPSHOTS / name

    def is_choice(self, name: str, snapshot: Snapshot, globs: Sequence[str]) -> bool:
        """Whether the snapshot of that name is what these globs chose of its source."""
        return name.endswith(f"-{_digest(snapshot.source, globs)}")

    def work(self, spec: ModelSpec) -> Path:
        """Where it is made."""
        return self.root / "work" / self.name(spec)

    def recorded(self, spec: ModelSpec) -> Snapshot | None:
        """What was pulled, if it was."""
        return Lock.load(self.index).snapshots.get(self.name(spec)) if self.folder(spec).is_dir() else None

    def put(self, spec: ModelSpec, files: Path, snapshot: Snapshot) -> None:
        """Record the snapshot and rename `files` into its place; the caller holds its lock."""
        folder = self.folder(spec)
        discard(folder)
        folder.parent.mkdir(parents=True, exist_ok=True)
        self._record(lambda lock: lock.with_snapshot(folder.name, snapshot))
        files.replace(folder)
        discard(self.work(spec))

    def drop(self, spec: ModelSpec) -> int:
        """Forget the snapshot and delete it, with what an unfinished pull left; the bytes freed."""
        with self.held(spec):
            folders = (self.folder(spec), self.work(spec), self.root / CONVERTED / self.name(spec))
            freed = sum(map(size_below, folders))
            self._record(lambda lock: lock.without(self.name(spec)))
            discard(*folders)
            self.digests.forget(self.name(spec))
        return freed

    @contextmanager
    def held(self, spec: ModelSpec, progress: Progress | None = None, *, name: str | None = None) -> Iterator[None]:
        """Hold the snapshot's lock across processes, or that called `name`; `progress` tells of the wait for it."""
        lock = self._lock(name or self.name(spec))
        try:
            lock.acquire(timeout=0)
        except Timeout:
            if progress:
                progress.begin(spec.name, "waiting for another process that is pulling it", None)
            try:
                lock.acquire()
            finally:
                if progress:
                    progress.end()
        try:
            yield
        finally:
            lock.release()

    def sweep(self) -> None:
        """Delete what broken-off pulls left that nobody took up again within a week and nobody is at work on."""
        for work in (self.root / "work").glob("*"):
            with suppress(Timeout, OSError):
                if time.time() - work.stat().st_mtime > ABANDONED_S:
                    with self._lock(work.name).acquire(timeout=0):
                        discard(work)

    def _lock(self, name: str) -> FileLock:
        folder = self.root / "locks"
        folder.mkdir(parents=True, exist_ok=True)
        return FileLock(folder / f"{name}.lock")

    def _record(self, change: Callable[[Lock], Lock]) -> None:
        with self._lock(FILE_NAME):
            change(Lock.load(self.index)).save(self.index)


def _digest(origin: str, files: Sequence[str]) -> str:
    return hashlib.sha256("\n".join((origin, *files)).encode()).hexdigest()[:10]
