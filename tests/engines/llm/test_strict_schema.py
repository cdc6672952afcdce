"""Objects that name properties have no others, unless another part speaks about them; unknown formats are left out."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from gateway.engines.llm.strict_schema import LARGEST, strict

A: dict[str, Any] = {"properties": {"a": {"type": "null"}}}
B: dict[str, Any] = {"properties": {"b": {"type": "null"}}}
CLOSED_FORMAT = {"properties": {"format": {}}, "additionalProperties": False}
CLOSED_A, CLOSED_B = (part | {"additionalProperties": False} for part in (A, B))


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        (A, CLOSED_A),
        ({"properties": {"x": A}}, {"properties": {"x": CLOSED_A}, "additionalProperties": False}),
        ({"items": A}, {"items": CLOSED_A}),
        ({"prefixItems": [A, True]}, {"prefixItems": [CLOSED_A, True]}),
        ({"anyOf": [A, B, {"type": "null"}]}, {"anyOf": [CLOSED_A, CLOSED_B, {"type": "null"}]}),
        ({"additionalProperties": A}, {"additionalProperties": CLOSED_A}),
        (
            {"$ref": "#/$defs/x", "$defs": {"x": A}},
            {"$ref": "#/$defs/x", "$defs": {"x": CLOSED_A}},
        ),
        # A name is no keyword.
        ({"enum": [A], "const": A, "default": A}, {"enum": [A], "const": A, "default": A}),
        (
            {"properties": {"properties": A, "anyOf": {"type": "null"}}},
            {"properties": {"properties": CLOSED_A, "anyOf": {"type": "null"}}, "additionalProperties": False},
        ),
    ],
)
def test_what_is_silent_is_strict(schema: dict[str, Any], expected: dict[str, Any]) -> None:
    before = copy.deepcopy(schema)
    assert strict(schema) == expected
    assert schema == before


@pytest.mark.parametrize(
    ("schema", "ends"),
    [
        ({}, {"minimum": -LARGEST, "maximum": LARGEST}),
        ({"type": ["integer", "null"]}, {"minimum": -LARGEST, "maximum": LARGEST}),
        ({"minimum": 3}, {"maximum": LARGEST}),
        ({"exclusiveMaximum": 3}, {"minimum": -LARGEST}),
        ({"minimum": 10**30}, {}),
        ({"maximum": -(10**30)}, {}),
        ({"minimum": 1, "maximum": 2}, {}),
        ({"enum": [1, 10**30]}, {}),
        ({"const": 10**30}, {}),
        ({"type": ["integer", "number"]}, {}),
        ({"type": "number"}, {}),
    ],
)
def test_an_integer_has_ends(schema: dict[str, Any], ends: dict[str, Any]) -> None:
    schema = {"type": "integer", **schema}
    assert strict({"items": schema}) == {"items": schema | ends}


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object"},
        {"type": "object", "required": ["a"]},
        A | {"additionalProperties": True},
        A | {"additionalProperties": {"type": "null"}},
        A | {"patternProperties": {"^x": {"type": "null"}}},
        A | {"unevaluatedProperties": False},
        {"allOf": [A, B]},
        {"allOf": [{"anyOf": [A, {"type": "null"}]}, B]},
        {"properties": {}, "anyOf": [A, B]},
        {"anyOf": [A, B], "oneOf": [A, {"type": "null"}]},
        {"allOf": [{"$ref": "#/$defs/x"}, B], "$defs": {"x": A}},
        {**B, "$ref": "#/definitions/x", "definitions": {"x": A}},
    ],
)
def test_what_others_speak_about_too_is_left_open(schema: dict[str, Any]) -> None:
    assert strict(schema) == schema


def test_values_inside_of_shared_parts_are_strict() -> None:
    inner = {"properties": {"x": A}}
    assert strict({"allOf": [inner, B]}) == {"allOf": [{"properties": {"x": CLOSED_A}}, B]}


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "string", "format": "date"}, {"type": "string", "format": "date"}),
        ({"type": "string", "format": "path"}, {"type": "string"}),
        ({"items": {"type": "number", "format": "double"}}, {"items": {"type": "number"}}),
        ({"enum": [{"format": "path"}]}, {"enum": [{"format": "path"}]}),
        ({"items": {"properties": {"format": {"format": "binary"}}}}, {"items": CLOSED_FORMAT}),
    ],
)
def test_only_formats_that_are_kept_to_are_left(schema: dict[str, Any], expected: dict[str, Any]) -> None:
    assert strict(schema) == expected
