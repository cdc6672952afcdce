"""Cuts a streamed body into the JSON objects of its server-sent events, in bounded memory; knows no model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

MAX_LINE_BYTES = 1 << 20
DONE = b"[DONE]"


class Unreadable(Exception):
    """What the server sent is not what its route is for; the text is for the operator's log."""


class Events:
    """Feed it bytes as they come. `done` is set by the end mark, after which everything is ignored."""

    def __init__(self) -> None:
        self.done = False
        self._line = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[dict[str, Any], int]]:
        """The objects that `data` completed, with their sizes in bytes.

        Raises `Unreadable`, also for a line beyond `MAX_LINE_BYTES`.
        """
        *lines, rest = data.split(b"\n")
        for line in lines:
            self._line += line
            whole, self._line = bytes(self._line), bytearray()
            if (event := self._event(whole)) is not None:
                yield event, len(whole)
        self._line += rest
        if len(self._line) > MAX_LINE_BYTES:
            raise Unreadable(f"a line of more than {MAX_LINE_BYTES} bytes")

    def _event(self, line: bytes) -> dict[str, Any] | None:
        if len(line) > MAX_LINE_BYTES:
            raise Unreadable(f"a line of more than {MAX_LINE_BYTES} bytes")
        name, _, value = line.rstrip(b"\r").partition(b":")
        value = value.strip()
        if self.done or name not in (b"data", b"error") or not value:
            return None
        if value == DONE:
            self.done = True
            return None
        event = read_object(value)
        return {"error": event} if name == b"error" else event


def read_object(data: bytes) -> dict[str, Any]:
    """The JSON object in `data`; raises `Unreadable`."""
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise Unreadable(f"no JSON: {error}") from None
    if not isinstance(value, dict):
        raise Unreadable("JSON that is no object")
    return value


def text_of(value: Any) -> str:
    """A string of an event, empty for null; raises `Unreadable` for anything else."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise Unreadable("text that is no string")
    return value
