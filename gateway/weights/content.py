"""Files as bytes: sizes, hashes, removal; knows no model and no source."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path

from gateway.weights.lock import Pin


def files_below(root: Path) -> dict[str, Path]:
    """Every file by its name below `root` (a lone file by its own), links to folders listed but not followed."""
    if root.is_file():
        return {root.name: root}
    found = (path for path in sorted(root.rglob("*")) if path.is_symlink() or not path.is_dir())
    return {path.relative_to(root).as_posix(): path for path in found}


def size_below(root: Path) -> int:
    """Bytes of all files below `root`, links not followed; 0 if there is no such folder."""
    return sum(path.lstat().st_size for path in files_below(root).values())


def size_of(path: Path) -> int | None:
    """The file's bytes, or None if there is no such file."""
    try:
        return path.stat().st_size
    except OSError:
        return None


def pin_of(path: Path) -> Pin:
    """The file's SHA-256 and size, from its bytes."""
    with path.open("rb") as file:
        return Pin(sha256=hashlib.file_digest(file, "sha256").hexdigest(), size=path.stat().st_size)


def pins_of(files: Mapping[str, Path]) -> dict[str, Pin]:
    """`pin_of` for each file."""
    return {name: pin_of(path) for name, path in files.items()}


def discard(*folders: Path) -> None:
    """Delete whole folders; those that are not there are gone already."""
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
