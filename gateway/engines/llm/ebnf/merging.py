"""One schema that says what two say together, as `allOf` asks for; knows no grammar."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gateway.engines.llm.ebnf.rules import Unsupported

Schema = dict[str, Any]

# They describe and demand nothing.
ANNOTATIONS = frozenset(
    (
        *("title", "description", "default", "examples", "example", "deprecated", "readOnly", "writeOnly"),
        *("$schema", "$id", "$comment", "$defs", "definitions"),
        *("contentMediaType", "contentEncoding", "contentSchema"),
    )
)
_LARGER = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_SMALLER = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")


def merged(one: Schema, other: Schema, where: str) -> Schema:
    """The schema of what fits both; raises `Unsupported` where that cannot be said."""
    one, other = _without_strays(one, other, where), _without_strays(other, one, where)
    result = dict(one)
    for keyword, value in other.items():
        if keyword not in result or result[keyword] == value:
            result[keyword] = value
        elif keyword in _RULES:
            result[keyword] = _RULES[keyword](result[keyword], value)
        elif keyword not in ANNOTATIONS:
            raise Unsupported(where, f"two different '{keyword}' for one value are not supported")
    return result


def _without_strays(schema: Schema, other: Schema, where: str) -> Schema:
    """`schema` less the properties that `other` forbids by allowing no additional ones."""
    allowed = other.get("additionalProperties", True)
    if allowed is True or not isinstance(schema.get("properties", {}), dict):
        return schema
    known = other.get("properties", {})
    strays = {name for name in (*schema.get("properties", ()), *schema.get("required", ())) if name not in known}
    if not strays:
        return schema
    if allowed is not False or strays & set(schema.get("required", ())):
        raise Unsupported(where, "'additionalProperties' together with properties from elsewhere is not supported")
    properties = {name: value for name, value in schema["properties"].items() if name not in strays}
    return {**schema, "properties": properties}


def _all_properties(one: Schema, other: Schema) -> Schema:
    both = {name: {"allOf": [one[name], other[name]]} for name in one if name in other and one[name] != other[name]}
    return one | other | both


def types_of(value: Any) -> list[str]:
    """The value of `type` as a list."""
    return list(value) if isinstance(value, list) else [value]


def _common_types(one: Any, other: Any) -> list[str]:
    ours, theirs = types_of(one), types_of(other)
    common = [name for name in ours if name in theirs or (name == "integer" and "number" in theirs)]
    return common + [name for name in theirs if name == "integer" and "number" in ours and name not in common]


_RULES: dict[str, Callable[[Any, Any], Any]] = {
    "properties": _all_properties,
    "required": lambda one, other: [*one, *(name for name in other if name not in one)],
    "type": _common_types,
    "enum": lambda one, other: [value for value in one if any(_same(value, known) for known in other)],
    "additionalProperties": lambda one, other: False if False in (one, other) else {"allOf": [one, other]},
    "items": lambda one, other: {"allOf": [one, other]},
    **dict.fromkeys(_LARGER, max),
    **dict.fromkeys(_SMALLER, min),
}


def _same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and bool(one == other)
