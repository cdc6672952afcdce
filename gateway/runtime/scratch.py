"""Folders for workers' temporary files, which outlive neither them nor, for long, a killed gateway; knows no worker."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from pathlib import Path


class Scratch:
    """One worker's folder, empty at first. It is locked while this process lives, or until `remove`."""

    def __init__(self, root: Path) -> None:
        """Make it below `root`, and delete there what is locked by nobody; raises `OSError`."""
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Held meanwhile: another gateway of the same home must not find the new folder before it is locked.
        making = _lock(root, fcntl.LOCK_EX)
        try:
            _sweep(root)
            self.path = Path(tempfile.mkdtemp(dir=root))
            self._held = _lock(self.path, fcntl.LOCK_EX)
        finally:
            os.close(making)

    def remove(self) -> None:
        """Delete it with all that is in it; nobody may use it any more."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._held)


def _sweep(root: Path) -> None:
    for folder in root.iterdir():
        try:
            held = _lock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            continue  # in use, or gone just now
        shutil.rmtree(folder, ignore_errors=True)
        os.close(held)


def _lock(folder: Path, operation: int) -> int:
    """A descriptor that holds the lock until it is closed; raises `OSError`."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, operation)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
