"""Answers kept to a schema on OpenVINO, by a model of random weights: whatever it finishes is valid."""

from __future__ import annotations

import json
import re
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from gateway.engines.llm import Engine
from gateway.engines.llm.constraint import Json
from gateway.engines.llm.decoding import Decoding
from gateway.engines.llm.sampling import Sampling
from gateway.errors import BadInput
from tests import tiny_gguf
from tests.engines.llm.streams import Conversation, load, streamed

FORMAT_NAMES = ("date", "time", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "uri", "uuid")
FORMATS = jsonschema.Draft202012Validator.FORMAT_CHECKER
LINKED = {
    "type": "object",
    "properties": {"v": {"type": "boolean"}, "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}},
    "required": ["v", "next"],
}
# A model without sense seldom comes to an end of these.
UNENDING: list[dict[str, Any]] = [{"type": "object"}, {"type": "string", "pattern": "a{2}|^b"}]
SCHEMAS: list[dict[str, Any]] = [
    {"type": "string", "maxLength": 5},
    {"type": "string", "minLength": 3, "maxLength": 70},
    {"type": "string", "minLength": 66, "maxLength": 130},
    {"type": "string", "minLength": 70},
    {"minLength": 2, "maxLength": 3},
    {"type": "string", "pattern": r"^[a-z]{2,5}\d+$"},
    {"type": "string", "pattern": r"^(foo|ba[rz])\\\"\s?$"},
    {"type": "string", "pattern": r"^[^a-z\s]{1,4}$"},
    {"type": "string", "pattern": r"^[\]\-^\[]{3}$"},
    {"type": "string", "pattern": r"^<\|im_start\|>$"},
    *({"type": "string", "format": name} for name in FORMAT_NAMES),
    {"type": "integer"},
    {"type": "integer", "minimum": -17, "maximum": 23},
    {"type": "integer", "exclusiveMinimum": 99, "maximum": 1234, "multipleOf": 1},
    {"type": "integer", "maximum": -5, "format": "int64"},
    {"type": "integer", "minimum": -999, "maximum": 19},
    {"enum": [1, 12, -1, -12, -123, "1"]},
    {"type": "number", "minimum": 0, "maximum": 1},
    {"type": "number", "minimum": -0.25, "exclusiveMaximum": 0.5},
    {"type": "number", "exclusiveMinimum": 0},
    {"type": "number", "minimum": 3.14159, "maximum": 3.14161},
    {"type": "array", "items": {"type": "boolean"}, "minItems": 2, "maxItems": 4},
    {"type": "array", "items": {"enum": [1, 2]}, "minItems": 3},
    {"type": "array", "prefixItems": [{"const": "a"}], "items": {"type": "null"}, "minItems": 3, "maxItems": 5},
    {"type": "array", "prefixItems": [{"const": "a"}, {"type": "integer"}], "items": False},
    {"type": "array", "maxItems": 0},
    {"type": "object", "properties": {"a": {"type": "boolean"}, "b": {"type": "null"}}, "required": ["b"]},
    {"type": "integer", "multipleOf": 7, "minimum": 0, "maximum": 100},
    {"type": "string", "pattern": "^[a-z]+$", "maxLength": 5},
    {"type": "object", "patternProperties": {"^x": {"type": "null"}}, "additionalProperties": False},
    {"type": "object", "additionalProperties": {"type": "boolean"}, "maxProperties": 2},
    {"type": "object", "required": ["x"], "additionalProperties": {"type": "boolean"}},
    {"anyOf": [{"type": "null"}, {"type": "boolean"}], "description": "either"},
    {"oneOf": [{"properties": {"k": {"const": c}}, "required": ["k"], "type": "object"} for c in ("a", "b")]},
    {
        "allOf": [
            {"type": "object", "properties": {"a": {"type": "integer", "minimum": 3}}, "required": ["a"]},
            {"properties": {"a": {"maximum": 5}, "b": {"type": "null"}}, "required": ["b"]},
        ]
    },
    {"$defs": {"node": LINKED}, "$ref": "#/$defs/node"},
    {"type": ["integer", "null"]},
    {"enum": ['é\n"', "\u2028", {"a": [1.5, None]}, "🙌"]},
    {"type": "string", "enum": ["a", 1, None, "b"]},
    *UNENDING,
]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    file = tiny_gguf.chat_gguf(tmp_path_factory.mktemp("tiny") / "model.gguf")
    return load(file, options={"backend": "openvino"}, max_streams=16, threads=1)


def answers(engine: Engine, schema: dict[str, Any], **body: Any) -> list[tuple[str, str | None]]:
    """Text and finish reason for several seeds."""
    conversation = Conversation(engine)
    asked = {"prompt": "x", "max_tokens": 400, "response_format": {"type": "json_schema", "json_schema": schema}}
    numbers = [conversation.admit(**{**asked, "seed": seed, "temperature": 1.2, **body}) for seed in range(1, 5)]
    return [(told.text, told.finish_reason) for told in conversation.finish(*numbers)]


def check(text: str, schema: dict[str, Any]) -> None:
    jsonschema.validate(json.loads(text), schema, format_checker=FORMATS)


@pytest.mark.parametrize("schema", SCHEMAS, ids=json.dumps)
def test_what_is_finished_is_valid(engine: Engine, schema: dict[str, Any]) -> None:
    finished = [text for text, reason in answers(engine, schema) if reason == "stop"]
    for text in finished:
        check(text, schema)
    assert finished or schema in UNENDING


LEAVES = some.one_of(
    some.sampled_from([{"type": "boolean"}, {"type": "null"}, {"type": "integer"}, {"type": "number"}]),
    some.builds(
        lambda low, size: {"type": "string", "minLength": low, "maxLength": low + size}, *[some.integers(0, 6)] * 2
    ),
    some.builds(
        lambda low, size: {"type": "integer", "minimum": low, "maximum": low + size},
        some.integers(-2000, 2000),
        some.integers(0, 3000),
    ),
    some.builds(
        lambda low, size: {"type": "number", "minimum": low / 100, "maximum": (low + size) / 100},
        some.integers(-500, 500),
        some.integers(0, 300),
    ),
    some.builds(
        lambda values: {"enum": values},
        some.lists(some.none() | some.text(max_size=4) | some.integers(-(2**53), 2**53), min_size=1, max_size=3),
    ),
)


def _nested(inner: some.SearchStrategy[Any]) -> some.SearchStrategy[Any]:
    names = some.text(some.characters(codec="utf-8"), max_size=4)
    return some.one_of(
        some.builds(
            lambda items, low, size: {"type": "array", "items": items, "minItems": low, "maxItems": low + size},
            inner,
            some.integers(0, 2),
            some.integers(0, 2),
        ),
        some.dictionaries(names, inner, max_size=3).flatmap(
            lambda properties: some.builds(
                lambda required, closed: {
                    "type": "object",
                    "properties": properties,
                    "required": sorted(required),
                    **({"additionalProperties": False} if closed or not properties else {}),
                },
                some.sets(some.sampled_from(sorted(properties))) if properties else some.just(set()),
                some.booleans(),
            )
        ),
        some.builds(lambda options: {"anyOf": options}, some.lists(inner, min_size=1, max_size=3)),
    )


@given(schema=some.recursive(LEAVES, _nested, max_leaves=6))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bounded_schema_is_kept_to(engine: Engine, schema: dict[str, Any]) -> None:
    told = answers(engine, schema, temperature=2)
    assert all(reason == "stop" for _, reason in told), "a bounded schema ends by itself"
    for text, _ in told:
        check(text, schema)


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ({"not": {}}, 'Unimplemented keys: ["not"]'),
        ({"type": "integer", "minimum": 0.2, "maximum": 0.8}, "Unsatisfiable"),
        ({"oneOf": [{"type": "integer"}, {"type": "number"}]}, "oneOf"),
        ({"anyOf": [{"$ref": "#"}, {"$ref": "#"}]}, "no JSON can satisfy it"),
    ],
)
def test_what_cannot_be_promised_is_refused_by_name(engine: Engine, schema: dict[str, Any], reason: str) -> None:
    with pytest.raises(BadInput, match="'/response_format/json_schema' cannot be kept to: ") as refusal:
        answers(engine, schema)
    assert reason in refusal.value.detail
    assert not engine.step()


def test_no_name_of_a_special_token_is_written(engine: Engine) -> None:
    schema = {"type": "string", "pattern": "^<[|a-z_]{3,12}>$"}
    model = engine._backend._model  # type: ignore[attr-defined]
    for seed in range(3):
        how = Decoding(Sampling(60, temperature=3, seed=seed), Json(schema))
        _, tokens, _ = streamed(engine, [5, 6], how)
        assert not set(tokens[:-1]) & set(range(len(tiny_gguf.SPECIAL)))
        check(model.tokenizer.decode([tokens])[0], schema)


def test_at_most_one_space_is_between_the_parts(engine: Engine) -> None:
    schema = {"type": "array", "items": {"type": "object", "properties": {"a": {"type": "null"}}, "required": ["a"]}}
    schema |= {"minItems": 3, "maxItems": 3}
    for text, _ in answers(engine, schema):
        assert not re.search(r"\s\s|[\n\t\r]", text)


def test_streams_side_by_side_write_the_same(engine: Engine) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string", "maxLength": 20}, "b": {"type": "integer"}}}
    told = answers(engine, schema, temperature=0)
    assert len(set(told)) == 1
