"""Whether two schemas can be seen to fit no value together, as `oneOf` needs; knows no grammar."""

from __future__ import annotations

from typing import Any

from gateway.engines.llm.ebnf.merging import Schema, types_of

_TYPE_NAMES = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}


def are_disjoint(one: Schema, other: Schema) -> bool:
    """True only if it is certain: their types differ, or their values, or those of a property that both require."""
    ours, theirs = _types(one), _types(other)
    if ours is not None and theirs is not None and not ours & theirs:
        return True
    mine, yours = _values(one), _values(other)
    if mine is not None and yours is not None:
        return not any(value == known for value in mine for known in yours)
    return ours == theirs == {"object"} and (_properties_differ(one, other) or _excludes(one, other))


def _types(schema: Schema) -> set[str] | None:
    if "type" in schema:
        names = set(types_of(schema["type"]))
    elif (values := _values(schema)) is not None:
        names = {_TYPE_NAMES.get(type(value), "null") for value in values}
    else:
        return None
    # Every integer is a number.
    return names | {"number"} if "integer" in names else names


def _values(schema: Schema) -> list[Any] | None:
    if "const" in schema:
        return [schema["const"]]
    values = schema.get("enum")
    return values if isinstance(values, list) else None


def _properties_differ(one: Schema, other: Schema) -> bool:
    mine, yours = one.get("properties", {}), other.get("properties", {})
    shared = set(one.get("required", ())) & set(other.get("required", ())) & set(mine) & set(yours)
    return any(
        isinstance(mine[name], dict) and isinstance(yours[name], dict) and are_disjoint(mine[name], yours[name])
        for name in shared
    )


def _excludes(one: Schema, other: Schema) -> bool:
    """One requires a property that the other forbids."""
    return any(
        schema.get("additionalProperties") is False
        and set(rival.get("required", ())) - set(schema.get("properties", ()))
        for schema, rival in ((one, other), (other, one))
    )
