"""Puts a GGUF where OpenVINO can open it: it opens for writing what it only reads; knows nothing of the contents."""

from __future__ import annotations

import shutil
from pathlib import Path


def openable(gguf: Path, folder: Path) -> Path:
    """`gguf` under its name in `folder`: a link if this process may write to it, else a copy; raises `OSError`."""
    placed = folder / gguf.name
    try:
        gguf.open("r+b").close()
    except PermissionError:
        shutil.copyfile(gguf, placed)
    else:
        placed.symlink_to(gguf.resolve())
    return placed
