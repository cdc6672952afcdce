"""Tools that a model may call, and which of them it must; knows no template and no engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from gateway.tasks.json_schema import BoundedSchema
from gateway.tasks.validation import Boolean, Text, parameter_error, schema_error

MAX_TOOLS = 128
Mode = Literal["none", "auto", "required"]


def _of_object(parameters: dict[str, Any]) -> dict[str, Any]:
    """The schema of an object: one that is silent of its type, as `{}` is, or allows further ones, means that here."""
    kinds = parameters.get("type", "object")
    if kinds != "object" and not (isinstance(kinds, list) and "object" in kinds):
        raise schema_error("'type' must be 'object'")
    return {**parameters, "type": "object"} if "type" in parameters else {"type": "object", **parameters}


class Tool(BaseModel):
    """A function: flat, or in OpenAI's form. `parameters` is the JSON Schema of its one argument, an object.

    `strict` asks for arguments of that schema even where the model is free to call or not.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    name: Annotated[Text, Field(min_length=1, max_length=256)]
    description: Text = ""
    parameters: Annotated[BoundedSchema, AfterValidator(_of_object)] = Field(
        default_factory=lambda: {"type": "object", "properties": {}}
    )
    strict: Boolean = False

    @model_validator(mode="before")
    @classmethod
    def _flat(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        if value.get("type", "function") != "function" and not isinstance(value.get("function"), dict):
            raise schema_error("'/type' of a tool must be 'function'")
        function = value.get("function")
        flat = function if isinstance(function, dict) else value
        return {key: item for key, item in flat.items() if item is not None}

    def as_openai(self) -> dict[str, Any]:
        """The form that chat templates are written for."""
        function = {"name": self.name, "description": self.description, "parameters": self.parameters}
        return {"type": "function", "function": function}


Tools = Annotated[list[Tool], Field(max_length=MAX_TOOLS)]


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """`name` is the one tool that must be called, if it is `required` and not any will do."""

    mode: Mode = "auto"
    name: str | None = None


def _choice(value: Any) -> Any:
    """A mode's name, a function's, or which functions are allowed: in OpenAI's form, or that of the Responses API."""
    if isinstance(value, str) and value in ("none", "auto", "required"):
        return value
    if isinstance(value, dict) and value.get("type") == "function" and (name := _name(value)) is not None:
        return {"type": "function", "function": {"name": name}}
    if isinstance(value, dict) and value.get("type") == "allowed_tools":
        allowed = value.get("allowed_tools", value)
        if isinstance(allowed, dict) and allowed.get("mode") in ("auto", "required"):
            return {"type": "allowed_tools", "mode": allowed["mode"], "tools": _named(allowed.get("tools"))}
    raise parameter_error(
        "must be 'none', 'auto', 'required', a function's name as {type, function: {name}}, or {type, allowed_tools: "
        "{mode, tools}}"
    )


def _name(value: dict[str, Any]) -> str | None:
    function = value.get("function")
    name = function.get("name") if isinstance(function, dict) else value.get("name")
    return name if isinstance(name, str) and name else None


def _named(tools: Any) -> list[dict[str, str]]:
    """The functions that are allowed; raises a schema error if they are not 1 to `MAX_TOOLS` names."""
    if not isinstance(tools, list) or not 1 <= len(tools) <= MAX_TOOLS:
        raise schema_error(f"'/tools' of the allowed tools must be 1 to {MAX_TOOLS} functions")
    names = [_name(tool) if isinstance(tool, dict) and tool.get("type") == "function" else None for tool in tools]
    if None in names:
        raise schema_error("'/tools' of the allowed tools must be functions, as {type, function: {name}}")
    return [{"type": "function", "name": str(name)} for name in names]


ToolChoiceField = Annotated[str | dict[str, Any], BeforeValidator(_choice)]


def callable_tools(value: str | dict[str, Any] | None, tools: list[Tool]) -> tuple[Tool, ...]:
    """Those of the tools that a validated `tool_choice` leaves to the model."""
    if isinstance(value, dict) and value["type"] == "allowed_tools":
        allowed = {tool["name"] for tool in value["tools"]}
        return tuple(tool for tool in tools if tool.name in allowed)
    return tuple(tools)


def tool_choice(value: str | dict[str, Any] | None, tools: list[Tool]) -> ToolChoice:
    """What a validated `tool_choice` means; without tools nothing can be called.

    Raises a schema error if it names a tool that is not there, or asks for one where there is none.
    """
    mode, names = _meaning(value)
    if not names <= {tool.name for tool in tools}:
        raise schema_error("'/tool_choice' names a function that is not in '/tools'")
    if isinstance(value, dict) and value["type"] == "function":
        return ToolChoice("required", *names)
    if mode == "required":
        if not tools:
            raise schema_error("'/tool_choice' is 'required', but '/tools' is empty")
        return ToolChoice("required")
    return ToolChoice("auto" if tools and mode != "none" else "none")


def _meaning(value: str | dict[str, Any] | None) -> tuple[str | None, set[str]]:
    """The mode, and the names that it speaks of."""
    if not isinstance(value, dict):
        return value, set()
    if value["type"] == "function":
        return "required", {value["function"]["name"]}
    return value["mode"], {tool["name"] for tool in value["tools"]}
