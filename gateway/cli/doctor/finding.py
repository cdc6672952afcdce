"""One thing that was looked at, how it is, and what mends it; knows no check."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "note", "fault"]


@dataclass(frozen=True)
class Finding:
    """A `fault` keeps something from working and must be mended; a `note` costs speed, or will matter later."""

    subject: str
    level: Level
    text: str
    fix: str = ""


def ok(subject: str, text: str) -> Finding:
    """Nothing to do."""
    return Finding(subject, "ok", text)


def note(subject: str, text: str, fix: str = "") -> Finding:
    """Works, but not as well as it could."""
    return Finding(subject, "note", text, fix)


def fault(subject: str, text: str, fix: str) -> Finding:
    """Does not work."""
    return Finding(subject, "fault", text, fix)
