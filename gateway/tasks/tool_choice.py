"""Which of the tools a model may call, and which it must, as callers of any family say it; knows no engine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import BeforeValidator

from gateway.tasks.tools import MAX_TOOLS, AnyTool, Tool, ToolChoice, as_function
from gateway.tasks.validation import parameter_error, schema_error

# The kinds of tools, and what messages call them.
_WORDS = {"function": "function", "custom": "custom tool"}


def _choice(value: Any) -> Any:
    """A mode's name, a tool's, or which tools are allowed: in OpenAI's form, or that of the Responses API."""
    if isinstance(value, str) and value in ("none", "auto", "required"):
        return value
    if isinstance(value, dict) and (named := _named(value)) is not None:
        return {"type": named["type"], named["type"]: {"name": named["name"]}}
    if isinstance(value, dict) and value.get("type") == "allowed_tools":
        allowed = value.get("allowed_tools", value)
        if isinstance(allowed, dict) and allowed.get("mode") in ("auto", "required"):
            return {"type": "allowed_tools", "mode": allowed["mode"], "tools": _all_named(allowed.get("tools"))}
    raise parameter_error(
        "must be 'none', 'auto', 'required', a tool's name as {type, function: {name}} or {type, custom: {name}}, or "
        "{type, allowed_tools: {mode, tools}}"
    )


def _named(value: dict[str, Any]) -> dict[str, str] | None:
    """The kind and name of a tool, in either form; None if it is not the name of one."""
    kind = value.get("type")
    if not isinstance(kind, str) or kind not in _WORDS:
        return None
    beside = value.get(kind)
    name = beside.get("name") if isinstance(beside, dict) else value.get("name")
    return {"type": kind, "name": name} if isinstance(name, str) and name else None


def _all_named(tools: Any) -> list[dict[str, str]]:
    """The tools that are allowed; raises a schema error if they are not 1 to `MAX_TOOLS` names."""
    if not isinstance(tools, list) or not 1 <= len(tools) <= MAX_TOOLS:
        raise schema_error(f"'/tools' of the allowed tools must be 1 to {MAX_TOOLS} tools")
    names = [named for tool in tools if isinstance(tool, dict) and (named := _named(tool)) is not None]
    if len(names) < len(tools):
        raise schema_error(
            "'/tools' of the allowed tools must be names, as {type, function: {name}} or {type, custom: {name}}"
        )
    return names


ToolChoiceField = Annotated[str | dict[str, Any], BeforeValidator(_choice)]


def callable_tools(value: str | dict[str, Any] | None, tools: Sequence[AnyTool]) -> tuple[Tool, ...]:
    """Those of the tools that a validated `tool_choice` leaves to the model, as functions."""
    if isinstance(value, dict) and value["type"] == "allowed_tools":
        _, allowed = _meaning(value)
        tools = [tool for tool in tools if (tool.kind, tool.name) in allowed]
    return tuple(map(as_function, tools))


def tool_choice(value: str | dict[str, Any] | None, tools: Sequence[AnyTool]) -> ToolChoice:
    """What a validated `tool_choice` means; without tools nothing can be called.

    Raises a schema error if it names a tool that is not there, or asks for one where there is none.
    """
    mode, named = _meaning(value)
    if missing := named - {(tool.kind, tool.name) for tool in tools}:
        kind, _ = min(missing)
        raise schema_error(f"'/tool_choice' names a {_WORDS[kind]} that is not in '/tools'")
    if isinstance(value, dict) and value["type"] in _WORDS:
        return ToolChoice("required", *(name for _, name in named))
    if mode == "required":
        if not tools:
            raise schema_error("'/tool_choice' is 'required', but '/tools' is empty")
        return ToolChoice("required")
    return ToolChoice("auto" if tools and mode != "none" else "none")


def _meaning(value: str | dict[str, Any] | None) -> tuple[str | None, set[tuple[str, str]]]:
    """The mode, and the kinds and names of the tools that it speaks of."""
    if not isinstance(value, dict):
        return value, set()
    if value["type"] in _WORDS:
        return "required", {(value["type"], value[value["type"]]["name"])}
    return value["mode"], {(tool["type"], tool["name"]) for tool in value["tools"]}
