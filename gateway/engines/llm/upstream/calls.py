"""Brings the tool calls of other servers into one form, whether they come in parts or whole; knows no server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from gateway.engines.llm.upstream.events import Unreadable
from gateway.tasks.conversation import new_call_id
from gateway.tasks.pieces import ToolCallDelta

MAX_CALLS = 1024
MAX_ARGUMENTS_CHARACTERS = 1 << 20


@dataclass(slots=True)
class _Call:
    number: int | None = None
    id: str | None = None
    arguments: str = ""
    given: bool = False


class Calls:
    """The calls of one choice. Numbers count from 0 without gaps; the first delta of a call has its id and name."""

    def __init__(self) -> None:
        self._by_index: dict[int, _Call] = {}
        self._last: int = -1
        self._count = 0

    @property
    def any(self) -> bool:
        """Whether there is a call."""
        return self._count > 0

    def take(self, items: Any) -> list[ToolCallDelta]:
        """The deltas of one chunk's `tool_calls`; raises `Unreadable` if they are no list of objects."""
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise Unreadable("tool_calls that are no list of objects")
        return [delta for item in items if (delta := self._take(item)) is not None]

    def end(self) -> list[ToolCallDelta]:
        """What makes the arguments of calls that have none an object."""
        empty = [call for call in self._by_index.values() if call.number is not None and not call.given]
        return [ToolCallDelta(call.number, arguments="{}") for call in empty if call.number is not None]

    def _take(self, item: dict[str, Any]) -> ToolCallDelta | None:
        function = item.get("function") or {}
        if not isinstance(function, dict):
            raise Unreadable("a tool call whose function is no object")
        name, id = function.get("name"), item.get("id")
        call = self._find(item.get("index"), name, id)
        call.arguments += _text(function.get("arguments"))
        if len(call.arguments) > MAX_ARGUMENTS_CHARACTERS or len(self._by_index) > MAX_CALLS:
            raise Unreadable("tool calls of unbounded number or length")
        call.id = call.id or (id if isinstance(id, str) else None)
        opens = call.number is None
        if opens and not (isinstance(name, str) and name):
            return None
        if opens:
            call.number, call.id = self._count, call.id or new_call_id()
            self._count += 1
        elif not call.arguments:
            return None
        arguments, call.arguments = call.arguments, ""
        call.given = call.given or bool(arguments.strip())
        assert call.number is not None
        return ToolCallDelta(call.number, call.id if opens else None, name if opens else None, arguments)

    def _find(self, index: Any, name: Any, id: Any) -> _Call:
        """By its index. Servers that send whole calls leave it out, or give the same to each."""
        if not isinstance(index, int):
            index = self._last + 1 if name or self._last < 0 else self._last
        known = self._by_index.get(index)
        if known is not None and name and id and known.id not in (None, id):
            index = max(self._by_index) + 1
        self._last = index
        return self._by_index.setdefault(index, _Call())


def _text(arguments: Any) -> str:
    if arguments is None:
        return ""
    return arguments if isinstance(arguments, str) else orjson.dumps(arguments).decode()
