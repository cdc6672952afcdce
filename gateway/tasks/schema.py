"""JSON Schemas of what a task takes and gives, derived from its own types; knows no route and no model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import TypeAdapter, WithJsonSchema
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, JsonSchemaValue
from pydantic_core import core_schema

from gateway.tasks.base import JSON, Task

_DEFINITION = "#/$defs/"
_BOUNDS = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"}
_EVENTS = {"type": "string", "contentType": "text/event-stream", "format": "binary"}


def raw_media(media_type: str) -> Any:
    """The output type of a task that answers with media instead of JSON; `media_type` is the usual one."""
    return Annotated[bytes, WithJsonSchema({"type": "string", "contentType": media_type, "format": "binary"})]


def forms(**required: str) -> Callable[[dict[str, Any]], None]:
    """A `json_schema_extra` for a model of which exactly one of some fields is needed.

    Gives one form per title and field in `required`, under `oneOf`: it needs its field and lacks the others'.
    """

    def split(schema: dict[str, Any]) -> None:
        properties = schema.pop("properties")
        schema["oneOf"] = [
            {
                "title": title,
                "properties": {
                    key: value for key, value in properties.items() if key == field or key not in required.values()
                },
                "required": [field],
            }
            for title, field in required.items()
        ]

    return split


def input_schema(task: Task) -> dict[str, Any]:
    """What a request may be: a JSON object or, for a task that takes media, its bytes."""
    schema = _schema(task.input, "validation")
    if task.variants:
        schema["oneOf"] += [{"title": key.title(), **input_schema(form)} for key, form in task.variants.items()]
    if task.media_field is None:
        return schema
    return {"oneOf": [{"type": "string", "format": "binary"}, schema]}


def output_schema(task: Task) -> dict[str, Any]:
    """What `result` is, or the media in its place; a stream is one of two forms."""
    schema = _schema(task.output, "serialization")
    if schema.get("format") == "binary":
        return schema
    forms = [schema, *(_schema(form.output, "serialization") for form in task.variants.values())]
    for form in forms:
        form["contentType"] = JSON
    if task.collect is not None and "stream" in task.input.model_fields:
        forms.append(_EVENTS)
    return {"oneOf": forms} if len(forms) > 1 else schema


def with_batch_input(schema: dict[str, Any]) -> dict[str, Any]:
    """What a request may be where a batch of them may stand in its place."""
    requests = {"type": "array", "items": schema, "minItems": 1}
    batch = {"title": "Batch", "type": "object", "properties": {"requests": requests}, "required": ["requests"]}
    return {"anyOf": [schema, batch]}


def with_batch_output(schema: dict[str, Any]) -> dict[str, Any]:
    """What `result` is where it may also name a batch that was taken."""
    taken = {"title": "Async response", "type": "object", "properties": {"request_id": {"type": "string"}}}
    return {"anyOf": [schema, {**taken, "required": ["request_id"], "contentType": JSON}]}


class _Plain(GenerateJsonSchema):
    """Pydantic's schemas without field titles and, in inputs, without the null that stands for an absent field."""

    def generate_inner(self, schema: Any) -> JsonSchemaValue:
        found = super().generate_inner(schema)
        if found.get("type") not in ("integer", "number"):
            return found
        # Pydantic leaves the bounds of a number with a validator before it under its own names.
        return {_BOUNDS.get(key, key): value for key, value in found.items()}

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        if self.mode == "validation":
            return self.generate_inner(schema["schema"])
        return super().nullable_schema(schema)

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        found = super().default_schema(schema)
        if "default" in found and found["default"] is None:
            del found["default"]
        return found


def _schema(type_: Any, mode: JsonSchemaMode) -> dict[str, Any]:
    """Complete in itself: many readers of the catalogue do not follow references."""
    schema = TypeAdapter(type_).json_schema(schema_generator=_Plain, mode=mode)
    definitions = schema.pop("$defs", {})
    schema.pop("title", None)
    plain: dict[str, Any] = _inline(schema, definitions)
    return plain


def _inline(node: Any, definitions: dict[str, Any]) -> Any:
    """`node` with each reference replaced by what it refers to; no type of a task contains itself."""
    if isinstance(node, list):
        return [_inline(item, definitions) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        target = definitions[node["$ref"].removeprefix(_DEFINITION)]
        beside = {key: value for key, value in node.items() if key != "$ref"}
        return _inline({key: value for key, value in target.items() if key != "title"} | beside, definitions)
    return {key: _inline(value, definitions) for key, value in node.items()}
