"""The form that an answer's text must have: free, any JSON object, or JSON of a schema; knows no engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from gateway.tasks.json_schema import BoundedSchema
from gateway.tasks.validation import Boolean, Text, schema_error

OBJECT: dict[str, Any] = {"type": "object"}


class ResponseFormat(BaseModel):
    """`response_format`: a type and, for `json_schema`, the schema, bare or in OpenAI's `{name, schema, strict}`.

    An answer is always held to the schema; what a caller says of `strict` is only repeated.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    type: Literal["text", "json_object", "json_schema"]
    json_schema: BoundedSchema | None = Field(default=None, description="bare, or as {name, schema, strict}")
    name: Text | None = None
    description: Text | None = None
    strict: Boolean | None = None

    @model_validator(mode="before")
    @classmethod
    def _unwrap(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        # The Responses API puts the schema and what belongs to it beside the type.
        schema, beside = value.get("json_schema", value.get("schema")), value
        if isinstance(schema, dict) and isinstance(schema.get("schema"), dict):
            schema, beside = schema["schema"], schema
        told = {key: beside.get(key) for key in ("name", "description", "strict")}
        return {"type": value.get("type"), "json_schema": schema, **told}

    @model_validator(mode="after")
    def _whole(self) -> ResponseFormat:
        if self.type == "json_schema" and self.json_schema is None:
            raise schema_error("'json_schema' is required for this type")
        return self


@dataclass(frozen=True, slots=True)
class OutputFormat:
    """`schema` is the JSON Schema of the answer's text, None if it is free; `named` says that the caller wrote it."""

    schema: dict[str, Any] | None = None
    named: bool = False

    @property
    def is_json(self) -> bool:
        """Whether the text must be JSON."""
        return self.schema is not None


FREE = OutputFormat()


def output_format(response_format: ResponseFormat | None, guided_json: dict[str, Any] | None = None) -> OutputFormat:
    """What the two ways to ask for JSON mean; a schema outdoes `json_object`."""
    if response_format is not None and response_format.type != "text" and response_format.json_schema is not None:
        return OutputFormat(response_format.json_schema, named=True)
    if guided_json is not None:
        return OutputFormat(guided_json, named=True)
    if response_format is not None and response_format.type == "json_object":
        return OutputFormat(OBJECT)
    return FREE
