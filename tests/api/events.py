"""Reads server-sent events as a strict client does."""

from __future__ import annotations

import json
import re
from typing import Any

DONE = "[DONE]"


def events(body: str) -> list[tuple[str, Any]]:
    """Name and data of each event; the data is parsed, but for the terminator."""
    blocks = body.split("\n\n")
    assert blocks.pop() == "", "the stream does not end with a blank line"
    found = []
    for block in blocks:
        match = re.fullmatch(r"(?:event: (\S+)\n)?data: ([^\n]+)", block)
        assert match, block
        found.append((match[1] or "", match[2] if match[2] == DONE else json.loads(match[2])))
    return found


def frames(body: str) -> list[Any]:
    """The data of events that have no names."""
    found = events(body)
    assert not any(name for name, _ in found)
    return [data for _, data in found]
