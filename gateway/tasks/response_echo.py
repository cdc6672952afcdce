"""What a response object repeats of its request's tools and text, in its own form; knows no answer."""

from __future__ import annotations

from typing import Any

from gateway.tasks.output_format import ResponseFormat
from gateway.tasks.tools import AnyTool, Tool


def echoed_tools(tools: list[AnyTool] | None) -> list[dict[str, Any]]:
    """The tools that were offered, flat."""
    return [_echoed_tool(tool) for tool in tools or ()]


def _echoed_tool(tool: AnyTool) -> dict[str, Any]:
    if isinstance(tool, Tool):
        return {"type": "function", **tool.model_dump()}
    return tool.model_dump(exclude_none=True)


def echoed_choice(value: str | dict[str, Any] | None, tools: list[AnyTool] | None) -> str | dict[str, Any]:
    """A validated `tool_choice`; without tools there is none to make."""
    if value is None or not tools:
        return "auto"
    if isinstance(value, dict) and value["type"] != "allowed_tools":
        return {"type": value["type"], **value[value["type"]]}
    return value


def echoed_format(format: ResponseFormat | None) -> dict[str, Any]:
    """The form of the text."""
    if format is None or format.type == "text" or format.json_schema is None:
        return {"type": "text" if format is None else format.type}
    named = {"name": format.name or "answer", "schema": format.json_schema, "strict": format.strict}
    described = {} if format.description is None else {"description": format.description}
    return {"type": "json_schema", **named, **described}
