"""models.lock: which bytes a snapshot consists of; knows no network and does not read the files it lists."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from gateway.config import ConfigError, Frozen, describe

FILE_NAME = "models.lock"


class Pin(Frozen):
    """One file's content."""

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    size: int = Field(ge=0, description="bytes")


class Snapshot(Frozen):
    """The files that one source gave: for a wheel they depend on the platform, hence `archive`, its file name.

    `replaced` names the source's own files that others were laid over; None where nothing was, or nobody noted it.
    """

    source: str
    revision: str
    archive: str | None = None
    files: dict[str, Pin]
    replaced: tuple[str, ...] | None = None

    @property
    def size_bytes(self) -> int:
        """All files together."""
        return sum(pin.size for pin in self.files.values())


class Lock(Frozen):
    """Snapshots by key. The store's own lock records what was pulled; the one beside models.yaml says what may be."""

    version: Literal[1] = 1
    snapshots: dict[str, Snapshot] = Field(default_factory=dict)

    @classmethod
    def load(cls, path: Path) -> Lock:
        """The lock at `path`, empty if there is none; raises `ConfigError` if it cannot be read."""
        try:
            return cls.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return cls()
        except ValidationError as error:
            raise ConfigError(f"{path} is not a lock file: {describe(error)}; restore it or delete it") from error

    @classmethod
    def for_models(cls, models_file: Path) -> Lock:
        """The pins for the rows of `models_file`: the shipped ones, and above them those of the lock beside it."""
        package = Path(__file__).resolve().parent.parent
        merged: dict[str, Snapshot] = {}
        for candidate in (package / FILE_NAME, package.parent / FILE_NAME, models_file.parent / FILE_NAME):
            own = cls.load(candidate).snapshots
            replaced = {(snapshot.source, snapshot.archive) for snapshot in own.values()}
            merged = {key: old for key, old in merged.items() if (old.source, old.archive) not in replaced} | own
        return cls(snapshots=merged)

    def save(self, path: Path) -> None:
        """Write atomically: a reader sees the old lock or the new one."""
        document = self.model_dump(mode="json", exclude_none=True)
        scratch = path.with_name(f".{path.name}.{os.getpid()}")
        scratch.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        scratch.replace(path)

    def with_snapshot(self, key: str, snapshot: Snapshot) -> Lock:
        """This lock and one snapshot more (or instead)."""
        return Lock(snapshots=self.snapshots | {key: snapshot})

    def without(self, key: str) -> Lock:
        """This lock less one snapshot."""
        return Lock(snapshots={other: snapshot for other, snapshot in self.snapshots.items() if other != key})

    def pins(self, source: str) -> list[Snapshot]:
        """What is pinned for a source: one snapshot, or one per platform's archive."""
        return [snapshot for snapshot in self.snapshots.values() if snapshot.source == source]

    def faults(self, snapshot: Snapshot) -> list[str]:
        """How `snapshot` departs from the pins, as sentences; a source without pins has no faults.

        A source with pins admits only the archives they name: a package index prefers the most specific
        wheel, so an unknown one must not slip past the pins of the known ones.
        """
        pinned = self.pins(snapshot.source)
        if not pinned:
            return []
        same = [candidate for candidate in pinned if candidate.archive == snapshot.archive]
        if not same:
            known = ", ".join(sorted(candidate.archive or "no archive" for candidate in pinned))
            return [
                f"{snapshot.archive} is not among the archives that {FILE_NAME} pins for {snapshot.source} ({known}): "
                "this platform has no pins yet"
            ]
        return [fault for name, pin in snapshot.files.items() if (fault := _departure(name, pin, same[0]))]


def _departure(name: str, found: Pin, pinned: Snapshot) -> str | None:
    wanted = pinned.files.get(name)
    if wanted is None:
        return f"{name} is not among the files that {FILE_NAME} pins for {pinned.source}"
    if wanted != found:
        return (
            f"{name} is not the file that {FILE_NAME} pins: "
            f"SHA-256 {found.sha256}, {found.size} bytes instead of {wanted.sha256}, {wanted.size} bytes"
        )
    return None
