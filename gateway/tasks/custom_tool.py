"""Tools that take free text in place of arguments, and how that text is bounded; knows no answer and no engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from gateway.tasks.json_schema import MAX_PATTERN_CHARACTERS
from gateway.tasks.validation import Text, schema_error

# Models know functions alone: to them a custom tool is one with this argument.
ARGUMENT = "input"
# Not every server behind a row reads groups that capture nothing.
_WHOLE = "^({})$"
# With what makes it match from end to end, a definition is no longer than other patterns may be.
MAX_DEFINITION_CHARACTERS = MAX_PATTERN_CHARACTERS - len(_WHOLE.format(""))


def either_form(kind: str) -> Callable[[dict[str, Any]], None]:
    """A `json_schema_extra` for a tool that may be written flat or, in chat completions, under the name of its kind."""

    def extend(schema: dict[str, Any]) -> None:
        flat = {key: schema.pop(key) for key in ("type", "properties", "required")}
        told = {key: value for key, value in flat["properties"].items() if key != "type"}
        under = {"type": "object", "properties": told, "required": ["name"]}
        named = {"type": {"const": kind, "type": "string"}}
        required = [key for key in flat["required"] if key == "type"]
        schema["anyOf"] = [
            {"type": "object", "properties": {**named, kind: under}, "required": [*required, kind]},
            {**flat, "properties": {**named, **told}},
        ]

    return extend


def _either_grammar(schema: dict[str, Any]) -> None:
    properties = schema["properties"]
    grammar = {key: properties[key] for key in ("syntax", "definition")}
    properties["grammar"] = {"type": "object", "properties": grammar, "required": list(grammar)}


class InputFormat(BaseModel):
    """What a tool's text must be: anything, or a whole match of a regular expression.

    A grammar is written flat, as the Responses API does, or under `grammar`, as in chat completions.
    """

    model_config = ConfigDict(extra="ignore", frozen=True, json_schema_extra=_either_grammar)

    type: Literal["text", "grammar"]
    syntax: Literal["regex"] | None = None
    definition: Annotated[Text, Field(min_length=1, max_length=MAX_DEFINITION_CHARACTERS)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _flat(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        if value.get("type") != "grammar":
            return {key: item for key, item in value.items() if key == "type"}
        grammar = value.get("grammar")
        beside = grammar if isinstance(grammar, dict) else value
        if beside.get("syntax") == "lark":
            raise schema_error("'/syntax' of a grammar must be 'regex': 'lark' is not supported")
        told = {"type": "grammar", "syntax": beside.get("syntax"), "definition": beside.get("definition")}
        return {key: item for key, item in told.items() if item is not None}

    @model_validator(mode="after")
    def _whole(self) -> InputFormat:
        if self.type == "grammar" and (self.syntax is None or self.definition is None):
            raise schema_error("a grammar needs '/syntax' and '/definition'")
        return self

    @property
    def pattern(self) -> str | None:
        """The regular expression of the whole text, anchored as JSON Schema's `pattern` needs it to be."""
        return _WHOLE.format(self.definition) if self.type == "grammar" else None


class CustomTool(BaseModel):
    """A tool that takes free text: flat, or in the form of chat completions."""

    model_config = ConfigDict(extra="ignore", frozen=True, json_schema_extra=either_form("custom"))
    kind: ClassVar = "custom"

    type: Literal["custom"]
    name: Annotated[Text, Field(min_length=1, max_length=256)]
    description: Text = ""
    format: InputFormat = Field(default_factory=lambda: InputFormat(type="text"))

    @model_validator(mode="before")
    @classmethod
    def _flat(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        custom = value.get("custom")
        flat = {**(custom if isinstance(custom, dict) else value), "type": "custom"}
        return {key: item for key, item in flat.items() if item is not None}

    @property
    def parameters(self) -> dict[str, Any]:
        """The JSON Schema of the function's argument."""
        text = {"type": "string"} if self.format.pattern is None else {"type": "string", "pattern": self.format.pattern}
        properties = {ARGUMENT: text}
        return {"type": "object", "properties": properties, "required": [ARGUMENT], "additionalProperties": False}
