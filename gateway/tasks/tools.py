"""Tools that a model may call, and which of them it must; knows no template and no engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from gateway.tasks.json_schema import BoundedSchema
from gateway.tasks.validation import Text, schema_error

MAX_TOOLS = 128
Mode = Literal["none", "auto", "required"]


class Tool(BaseModel):
    """A function: flat, or in OpenAI's form. `parameters` is the JSON Schema of its one argument, an object.

    `strict` asks for arguments of that schema even where the model is free to call or not.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    name: Annotated[Text, Field(min_length=1, max_length=256)]
    description: Text = ""
    parameters: BoundedSchema = Field(default_factory=lambda: {"type": "object", "properties": {}})
    strict: bool = False

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
    """A mode's name, a function in OpenAI's form, or in the flat form of the Responses API."""
    if isinstance(value, str) and value in ("none", "auto", "required"):
        return value
    if isinstance(value, dict) and value.get("type") == "function":
        function = value.get("function")
        name = function.get("name") if isinstance(function, dict) else value.get("name")
        if isinstance(name, str) and name:
            return {"type": "function", "function": {"name": name}}
    raise schema_error("must be 'none', 'auto', 'required' or a function's name as {type, function: {name}}")


ToolChoiceField = Annotated[str | dict[str, Any], BeforeValidator(_choice)]


def tool_choice(value: str | dict[str, Any] | None, tools: list[Tool]) -> ToolChoice:
    """What a validated `tool_choice` means; without tools nothing can be called.

    Raises a schema error if it names a tool that is not there, or asks for one where there is none.
    """
    if isinstance(value, dict):
        name = value["function"]["name"]
        if name not in {tool.name for tool in tools}:
            raise schema_error("'/tool_choice' names a function that is not in '/tools'")
        return ToolChoice("required", name)
    if value == "required":
        if not tools:
            raise schema_error("'/tool_choice' is 'required', but '/tools' is empty")
        return ToolChoice("required")
    return ToolChoice("auto" if tools and value != "none" else "none")
