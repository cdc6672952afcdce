"""Calls that an assistant made earlier, in every form that clients send them back in; knows no answer."""

from __future__ import annotations

from typing import Annotated, Any

import orjson
from pydantic import BaseModel, ConfigDict, Field, model_validator

from gateway.tasks.custom_tool import ARGUMENT
from gateway.tasks.validation import Text, schema_error


def _every_form(schema: dict[str, Any]) -> None:
    """A `json_schema_extra`: flat, as a function's call or as a custom tool's."""
    flat: dict[str, Any] = {key: schema.pop(key) for key in ("type", "properties", "required")}
    id, name, arguments = (flat["properties"][key] for key in ("id", "name", "arguments"))
    arguments = {"anyOf": [arguments, {"type": "string"}]}
    inside = {
        "function": {"type": "object", "properties": {"name": name, "arguments": arguments}, "required": ["name"]},
        "custom": {
            "type": "object",
            "properties": {"name": name, ARGUMENT: {"type": "string"}},
            "required": ["name", ARGUMENT],
        },
    }
    schema["anyOf"] = [
        {
            "type": "object",
            "properties": {"id": id, "type": {"const": kind, "type": "string"}, kind: called},
            "required": ["type", kind] if kind == "custom" else [kind],
        }
        for kind, called in inside.items()
    ]
    schema["anyOf"].append({**flat, "properties": {"id": id, "name": name, "arguments": arguments}})


class ToolCall(BaseModel):
    """A call that the assistant made earlier: flat, or in OpenAI's form with its arguments as text.

    That of a custom tool is one of the function that models know it as.
    """

    model_config = ConfigDict(extra="ignore", frozen=True, json_schema_extra=_every_form)

    id: Text = ""
    name: Annotated[Text, Field(min_length=1, max_length=256)]
    arguments: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _flat(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        if value.get("type") == "custom" and isinstance(value.get("custom"), dict):
            return {"id": value.get("id") or "", **_of_text(value["custom"])}
        function = value.get("function")
        call = {**value, **function} if isinstance(function, dict) else dict(value)
        call = {key: item for key, item in call.items() if item is not None}
        if isinstance(call.get("arguments"), str):
            call["arguments"] = _object(call["arguments"])
        return call


def _of_text(call: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(call.get("input"), str):
        raise schema_error("'/custom/input' of a tool call must be string")
    return {**({"name": call["name"]} if "name" in call else {}), "arguments": {ARGUMENT: call["input"]}}


def _object(text: str) -> Any:
    try:
        found = orjson.loads(text or "{}")
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, dict):
        raise schema_error("Assistant tool call function.arguments must be a JSON object.")
    return found
