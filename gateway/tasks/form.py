"""Fields of a form as the values that a task's input takes: in a form every value is text or a file; knows no HTTP."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import orjson
from pydantic import BaseModel

# Forms of web pages send .5 for 0.5 (HTML, "valid floating-point number"), which JSON does not know.
_POINT = re.compile(r"^(-?)\.(?=\d)")
_PARSED = frozenset({"integer", "number", "boolean"})


def to_values(model: type[BaseModel], fields: Mapping[str, str | bytes]) -> dict[str, Any]:
    """`fields` as JSON would have brought them: numbers and booleans read, an empty text as if it were absent.

    What cannot be read stays text, for the model to refuse.
    """
    kinds = _kinds(model)
    return {
        name: _read(value) if isinstance(value, str) and kinds.get(name) in _PARSED else value
        for name, value in fields.items()
        if value or kinds.get(name) == "string"
    }


@lru_cache
def _kinds(model: type[BaseModel]) -> dict[str, str]:
    """Each field's JSON type, as far as it has a single one."""
    found = {}
    for name, schema in model.model_json_schema().get("properties", {}).items():
        types = {form.get("type") for form in (schema, *schema.get("anyOf", ()))} - {None, "null"}
        if len(types) == 1:
            found[name] = types.pop()
    return found


def _read(text: str) -> Any:
    try:
        value = orjson.loads(_POINT.sub(r"\g<1>0.", text.strip()))
    except orjson.JSONDecodeError:
        return text
    return value if isinstance(value, int | float) else text
