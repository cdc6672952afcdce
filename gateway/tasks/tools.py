"""Tools that a model may call, of every kind that callers offer; knows no template and no engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, model_validator

from gateway.tasks.custom_tool import CustomTool, either_form
from gateway.tasks.json_schema import BoundedSchema
from gateway.tasks.validation import Boolean, Text, schema_error

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

    model_config = ConfigDict(extra="ignore", frozen=True, json_schema_extra=either_form("function"))
    kind: ClassVar = "function"

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


def _kind(value: Any) -> str:
    kind = value.get("type") if isinstance(value, dict) else getattr(value, "kind", None)
    return "<custom>" if kind == "custom" else "<function>"


def _check_kind(value: Any) -> Any:
    is_known = not isinstance(value, dict) or value.get("type", "function") in ("function", "custom")
    if not is_known and not isinstance(value.get("function"), dict):
        raise schema_error("'/type' of a tool must be 'function' or 'custom'")
    return value


def _check_names(tools: list[AnyTool]) -> list[AnyTool]:
    """A model calls tools by their names alone, so the name must say which kind of tool is called."""
    names = [tool.name for tool in tools]
    if any(tool.kind == "custom" and names.count(tool.name) > 1 for tool in tools):
        raise schema_error("the name of a custom tool must not be another tool's as well")
    return tools


AnyTool = Tool | CustomTool
Tools = Annotated[list[Tool], Field(max_length=MAX_TOOLS)]
AnyTools = Annotated[
    list[
        Annotated[
            Annotated[Tool, Tag("<function>")] | Annotated[CustomTool, Tag("<custom>")],
            Discriminator(_kind),
            BeforeValidator(_check_kind),
        ]
    ],
    Field(max_length=MAX_TOOLS),
    AfterValidator(_check_names),
]


def as_function(tool: AnyTool) -> Tool:
    """The tool as models know it. One with a grammar is strict: its text is to be held to it."""
    if isinstance(tool, Tool):
        return tool
    is_strict = tool.format.pattern is not None
    return Tool(name=tool.name, description=tool.description, parameters=tool.parameters, strict=is_strict)


def custom_names(tools: Sequence[AnyTool]) -> frozenset[str]:
    """The names of those tools that take text."""
    return frozenset(tool.name for tool in tools if tool.kind == "custom")


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """`name` is the one tool that must be called, if it is `required` and not any will do."""

    mode: Mode = "auto"
    name: str | None = None
