"""Weights that are already on this machine, used where they lie; knows nothing of stores."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gateway.weights.content import files_below


@dataclass(frozen=True)
class LocalSource:
    """A file or folder of the operator's own: never copied, never removed."""

    text: str
    location: Path

    def files(self) -> dict[str, Path]:
        """Every file by its name below `location`; a lone file by its own."""
        return files_below(self.location)
