"""Whether one row's files may be loaded: what could run code, and what models.lock pins; knows no protocol."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from gateway.config import ModelSpec
from gateway.weights import refusals
from gateway.weights.content import pins_of
from gateway.weights.errors import WeightsRefused
from gateway.weights.local import LocalSource
from gateway.weights.lock import Lock, Snapshot


class Guard:
    """Raises `WeightsRefused`, naming the model and the file, for whatever must not be loaded.

    A native library passes only if the row vouches for it and the lock pins it, or under `trust`, which
    also sets the pins aside: the caller is about to write them.
    """

    def __init__(self, spec: ModelSpec, pinned: Lock, *, trust: bool = False) -> None:
        self._name = spec.name
        self._pinned = Lock() if trust else pinned
        self._native = spec.native_library and (trust or bool(pinned.pins(spec.source or "")))

    def names(self, names: Sequence[str]) -> None:
        """Judge files that have not been fetched yet."""
        self._refuse(refusals.name_faults(names, native=self._native))

    def contents(self, files: Mapping[str, Path]) -> None:
        """Judge the bytes of files that are here."""
        self._refuse(refusals.content_faults(files, native=self._native))

    def snapshot(self, snapshot: Snapshot) -> None:
        """Judge hashes against the pins."""
        self._refuse(self._pinned.faults(snapshot))

    def local(self, source: LocalSource) -> None:
        """Judge a `file:` source cheaply: of hashes, only those of native libraries are computed."""
        files = source.files()
        self._refuse(refusals.link_faults(source.location, files))
        self.names(list(files))
        self.contents(files)
        if self._native:
            libraries = {name: path for name, path in files.items() if refusals.is_native(name, path)}
            self._refuse(self.local_faults(source, libraries))

    def local_faults(self, source: LocalSource, files: Mapping[str, Path]) -> list[str]:
        """How these files of a `file:` source depart from the pins, if it has any, as sentences."""
        if not self._pinned.pins(source.text):
            return []
        return self._pinned.faults(Snapshot(source=source.text, revision="", files=pins_of(files)))

    def _refuse(self, faults: Iterable[str]) -> None:
        first = next(iter(faults), None)
        if first is not None:
            raise WeightsRefused(f"the weights of {self._name} are refused: {first}")
