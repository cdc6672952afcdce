"""SHA-256 sums of files, remembered until a file is touched; knows neither models nor what the sums should be."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from pydantic import Field, ValidationError

from gateway.config import Frozen
from gateway.weights.content import pin_of
from gateway.weights.lock import Pin


class Seen(Frozen):
    """What a file was when it was read. Whoever writes to it changes its `ctime_ns`, which nobody can set back."""

    pin: Pin
    inode: int
    mtime_ns: int
    ctime_ns: int


class Seens(Frozen):
    """The files of one snapshot by name."""

    files: dict[str, Seen] = Field(default_factory=dict)


class Digests:
    """One small JSON file per snapshot below `folder`; where that cannot be written, memory has to do."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[str, Seens] = {}

    def of(self, snapshot: str, files: Mapping[str, Path], *, afresh: bool = False) -> dict[str, Pin]:
        """The files' sums and sizes. Only what was touched since it was last read is read, or all of it if `afresh`.

        Raises `OSError` if a file cannot be read.
        """
        known = Seens() if afresh else self._recall(snapshot)
        seen = Seens(files={name: _see(path, known.files.get(name)) for name, path in files.items()})
        if seen != known:
            self._keep(snapshot, seen)
        return {name: file.pin for name, file in seen.files.items()}

    def forget(self, snapshot: str) -> None:
        """The snapshot is gone."""
        self._known.pop(snapshot, None)
        with suppress(OSError):
            self._file(snapshot).unlink()

    def _recall(self, snapshot: str) -> Seens:
        try:
            return Seens.model_validate_json(self._file(snapshot).read_bytes())
        except (OSError, ValidationError):
            return self._known.get(snapshot, Seens())

    def _keep(self, snapshot: str, seen: Seens) -> None:
        self._known[snapshot] = seen
        scratch = self._file(snapshot).with_suffix(f".{os.getpid()}")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            scratch.write_text(seen.model_dump_json())
            scratch.replace(self._file(snapshot))
        except OSError:
            with suppress(OSError):
                scratch.unlink()

    def _file(self, snapshot: str) -> Path:
        return self._folder / f"{snapshot}.json"


def _see(path: Path, before: Seen | None) -> Seen:
    stat = path.stat()
    now = (stat.st_size, stat.st_ino, stat.st_mtime_ns, stat.st_ctime_ns)
    if before is not None and (before.pin.size, before.inode, before.mtime_ns, before.ctime_ns) == now:
        return before
    return Seen(pin=pin_of(path), inode=stat.st_ino, mtime_ns=stat.st_mtime_ns, ctime_ns=stat.st_ctime_ns)
