"""A forced tool call as JSON of a schema, and back, for servers that take `tool_choice` but do not hold to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from gateway.errors import BadInput
from gateway.tasks.conversation import new_call_id
from gateway.tasks.pieces import ToolCallDelta
from gateway.tasks.tools import Tool

_SHARED = ("$defs", "definitions")


def call_schema(tools: Sequence[Tool]) -> dict[str, Any]:
    """The JSON Schema of one call of one of the tools.

    What their schemas refer to is moved to the top, where the references lead; raises `BadInput` where two tools
    give one name to different things.
    """
    shared: dict[str, dict[str, Any]] = {}
    calls = []
    for tool in tools:
        parameters = dict(tool.parameters)
        for group in _SHARED:
            for name, schema in (parameters.pop(group, None) or {}).items():
                if shared.setdefault(group, {}).setdefault(name, schema) != schema:
                    raise BadInput(f"'/tools' say different things of '{group}/{name}': use different names")
        calls.append(
            {
                "type": "object",
                "properties": {"name": {"const": tool.name}, "arguments": parameters},
                "required": ["name", "arguments"],
                "additionalProperties": False,
            }
        )
    return {**(calls[0] if len(calls) == 1 else {"anyOf": calls}), **shared}


def call_of(text: str) -> ToolCallDelta | None:
    """The whole call that the text describes; None if it was cut short."""
    try:
        call = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(call, dict) or not isinstance(call.get("name"), str):
        return None
    return ToolCallDelta(0, new_call_id(), call["name"], orjson.dumps(call.get("arguments") or {}).decode())
