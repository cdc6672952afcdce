"""Brings a JSON Schema into the form that answers are kept to, much as OpenAI's strict form is; knows no grammar.

A schema that is silent about other properties allows any, and a model that may write any seldom comes to an end. So
objects are closed to what is named, and integers have an end. Formats that nothing here can keep to are left out: JSON
Schema (2020-12, Validation, 7.2) has them as annotations, and pydantic writes such as `path` and `password`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Schema = dict[str, Any]

# Whose values are schemas, lists of them, or schemas by name.
ONE = ("items", "additionalProperties", "additionalItems", "contains", "not", "if", "then", "else", "propertyNames")
SEVERAL = ("prefixItems", "items")
NAMED = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
TOGETHER = ("allOf", "anyOf", "oneOf")
FORMATS = ("date", "time", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "uri", "uuid")
# About what 64 bits hold; llguidance takes no bounds that are nearer to that.
LARGEST = 9 * 10**18
# Each of them says something about the properties that are not named.
SAYS = ("additionalProperties", "patternProperties", "unevaluatedProperties")


def strict(schema: Schema) -> Schema:
    """`schema`, with no other properties where some are named and nothing is said about others, and known formats only.

    Parts that share a value, under `allOf` or beside properties, are left open: each names a part of what there is.
    """
    shared = {part["$ref"] for part in _shared(schema, alone=True) if isinstance(part.get("$ref"), str)}
    return _strict(schema, "#", shared, alone=True)


def _strict(schema: Schema, where: str, shared: set[str], *, alone: bool) -> Schema:
    alone = alone and where not in shared
    combined = any(name in schema for name in TOGETHER) or "$ref" in schema
    parts = {
        (name, key): _strict(part, f"{where}/{name}/{key}", shared, alone=_is_alone(schema, name, alone))
        for name, key, part in _parts(schema)
    }
    result: Schema = {name: _put(value, name, parts) for name, value in schema.items()}
    if isinstance(schema.get("format"), str) and schema["format"] not in FORMATS:
        del result["format"]
    if alone and not combined and "properties" in schema and not any(name in schema for name in SAYS):
        result["additionalProperties"] = False
    return result | _ends(schema)


def _ends(schema: Schema) -> Schema:
    """The bounds of an integer that has none: a model that repeats a digit would go on to the end of its tokens."""
    kinds = schema.get("type")
    is_whole = kinds == "integer" or (isinstance(kinds, list) and "integer" in kinds and "number" not in kinds)
    if not is_whole or "enum" in schema or "const" in schema:
        return {}
    least, most = (
        [bound for name in names if isinstance(bound := schema.get(name), int | float)]
        for names in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum"))
    )
    lower = {} if least or min(most, default=0) <= -LARGEST else {"minimum": -LARGEST}
    return lower | ({} if most or max(least, default=0) >= LARGEST else {"maximum": LARGEST})


def _put(value: Any, name: str, parts: Mapping[tuple[str, Any], Schema]) -> Any:
    if isinstance(value, list):
        return [parts.get((name, key), part) for key, part in enumerate(value)]
    if isinstance(value, dict) and name in NAMED:
        return {key: parts.get((name, key), part) for key, part in value.items()}
    return parts.get((name, None), value)


def _parts(schema: Schema) -> Iterator[tuple[str, Any, Schema]]:
    """The schemas in it: under which keyword, at which key, if it holds several."""
    for name, value in schema.items():
        if name in ONE and isinstance(value, dict):
            yield name, None, value
        elif name in (*SEVERAL, *TOGETHER) and isinstance(value, list):
            yield from ((name, key, part) for key, part in enumerate(value) if isinstance(part, dict))
        elif name in NAMED and isinstance(value, dict):
            yield from ((name, key, part) for key, part in value.items() if isinstance(part, dict))


def _is_alone(schema: Schema, name: str, alone: bool) -> bool:
    """Whether what stands under this keyword says all that is said about its value; `alone`: `schema` does."""
    if name not in TOGETHER:
        return True
    return alone and name != "allOf" and "properties" not in schema and sum(other in schema for other in TOGETHER) == 1


def _shared(schema: Schema, *, alone: bool) -> Iterator[Schema]:
    """The parts that share their value with others, and those that refer to another beside properties of their own."""
    if not alone or "properties" in schema:
        yield schema
    for name, _, part in _parts(schema):
        yield from _shared(part, alone=_is_alone(schema, name, alone))
