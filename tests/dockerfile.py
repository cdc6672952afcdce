"""Reads a Dockerfile into its instructions; knows nothing of what they build."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Instruction:
    """One instruction in the build stage that it belongs to; `text` is on one line, without its flags."""

    stage: str
    name: str
    flags: tuple[str, ...]
    text: str

    def words(self) -> list[str]:
        """The words of an exec form; raises `ValueError` for a shell form."""
        words: Any = json.loads(self.text.removeprefix("CMD").strip())
        if not isinstance(words, list):
            raise ValueError(f"{self.name} is not in exec form: {self.text}")
        return words


def read(path: Path) -> list[Instruction]:
    """The instructions of the file at `path`, in order; the stage without a name is called `final`."""
    lines = [line for line in path.read_text().splitlines() if not line.lstrip().startswith("#")]
    logical = re.sub(r"\s*\\\n\s*", " ", "\n".join(lines)).splitlines()
    found, stage = [], ""
    for line in filter(None, map(str.strip, logical)):
        name, rest = line.split(maxsplit=1)
        if name == "FROM":
            named = re.search(r" AS (\S+)$", rest)
            stage = named[1] if named else "final"
        flags = re.match(r"(?:--\S+\s+)*", rest)
        assert flags is not None
        found.append(Instruction(stage, name, tuple(flags[0].split()), rest[flags.end() :]))
    return found
