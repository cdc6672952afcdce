"""Answers constrained by a schema, on a model of random weights: whatever it writes is valid, or it is refused."""

from __future__ import annotations

import json
import re
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from gateway.engines.llm import Engine, openvino
from gateway.engines.llm.constraint import Choice, Constraint, Json, Literal, Repeated, Sequence, Triggered, Until
from gateway.engines.llm.decoding import Decoding, Prompt
from gateway.engines.llm.ebnf import Grammar, Unsupported, grammar_of
from gateway.engines.llm.ebnf.formats import PATTERNS
from gateway.engines.llm.sampling import Sampling
from gateway.errors import BadInput, GatewayError
from tests import tiny_gguf
from tests.engines.llm.streams import Conversation, load

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
    {"type": "string", "pattern": r"^\W{2}\D\S.$"},
    {"type": "string", "pattern": r"^[\]\-^\[]{3}$"},
    {"type": "string", "pattern": r"^<\|im_start\|>$"},
    *({"type": "string", "format": name} for name in PATTERNS),
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
    {"properties": {name: {"type": "boolean"} for name in "abc"}, "minProperties": 2, "maxProperties": 2},
    {"type": "object", "additionalProperties": {"type": "boolean"}, "maxProperties": 2},
    {"type": "object", "required": ["x"], "additionalProperties": {"type": "boolean"}},
    {"anyOf": [{"type": "null"}, {"type": "boolean"}], "description": "either"},
    {"type": "object", "properties": {"a": True}, "anyOf": [{"required": ["a"]}, {"maxProperties": 0}]},
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
    value = json.loads(text)
    jsonschema.validate(value, schema, format_checker=FORMATS)
    assert (
        text == json.dumps(value, separators=(",", ":"))
        or not isinstance(value, dict | list)
        or not re.search(r'[:,] *\s["\d\[{tfn]', re.sub(r'"(\\.|[^"\\])*"', '""', text))
    ), "there is white space between the parts"


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
        some.lists(some.none() | some.text(max_size=4) | some.integers(-(2**63), 2**63), min_size=1, max_size=3),
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
        ({"not": {}}, "'not' is not supported at '/not'"),
        ({"properties": {"a": {"if": True}}}, "'if' is not supported at '/properties/a/if'"),
        ({"patternProperties": {"a": {}}}, "'patternProperties' is not supported"),
        ({"type": "array", "uniqueItems": True}, "'uniqueItems' is not supported at '/uniqueItems'"),
        ({"type": "integer", "multipleOf": 3}, "'multipleOf' is not supported at '/multipleOf'"),
        ({"type": "string", "pattern": "(?=a)"}, "classes, groups, choices and counts at '/pattern'"),
        ({"type": "string", "pattern": "("}, "a regular expression that cannot be read at '/pattern'"),
        ({"type": "string", "pattern": "(a{100}){100}b.{128}.{128}.{128}.{128}"}, "add up to more than"),
        ({"type": "string", "format": "iri"}, "the format 'iri' is not supported at '/format'"),
        ({"type": "string", "pattern": "a", "maxLength": 3}, "one at a time at '/'"),
        ({"type": "object", "minProperties": 2}, "'minProperties' beyond the named properties"),
        ({"oneOf": [{"type": "integer"}, {"type": "number"}]}, "'oneOf' with options that may fit together"),
        ({"enum": [1], "minimum": 3}, "'minimum' beside 'enum'"),
        ({"type": "integer", "minimum": 0.2, "maximum": 0.8}, "no number is within the bounds"),
        ({"$ref": "#"}, "leads back to itself"),
        ({"anyOf": [{"$ref": "#"}, {"type": "null"}]}, "'$ref' to the very value"),
        ({"$ref": "#/$defs/none"}, "'#/$defs/none' leads nowhere"),
        ({"allOf": [{"const": 1}, {"const": 2}]}, "two different 'const' for one value"),
        ({"type": "text"}, "the type 'text' does not exist at '/type'"),
        ({"required": ["a"], "additionalProperties": False}, "'a' is required and not allowed"),
        ({"type": "array", "items": {"maxLength": 900}, "minItems": 2}, None),
        ({"enum": ["a" * length for length in range(340)]}, None),
        ({"properties": {str(i): {"type": "string", "maxLength": 10 + i} for i in range(40)}}, None),
        ({"properties": {str(i): {"pattern": f"^.{{{i}}}x{{{i}}}$"} for i in range(40)}}, "add up to more than"),
    ],
)
def test_what_cannot_be_promised_is_refused_by_name(schema: dict[str, Any], reason: str | None) -> None:
    if reason is None:
        assert grammar_of(Json(schema)).text.startswith("root ::=")
        return
    with pytest.raises(Unsupported) as refusal:
        grammar_of(Json(schema))
    assert reason in str(refusal.value)


@pytest.mark.parametrize(
    ("constraint", "field"),
    [
        (Json({"not": {}}), "'/response_format/json_schema' cannot"),
        (Sequence((Until("</think>"), Json({"not": {}}))), "'/response_format/json_schema' cannot"),
        (Sequence((Literal("<tool_call>"), Json({"not": {}}, "/tools/0/parameters"))), "'/tools/0/parameters' cannot"),
    ],
)
def test_a_refusal_names_the_field_and_costs_no_work(engine: Engine, constraint: Constraint, field: str) -> None:
    with pytest.raises(BadInput) as refusal:
        model(engine).add(1, Prompt([5]), Decoding(Sampling(4), constraint))
    assert refusal.value.detail.startswith(field)
    assert not model(engine)._pipeline.has_non_finished_requests()


def model(engine: Engine) -> openvino.OpenVinoModel:
    found: openvino.OpenVinoModel = engine._backend._model  # type: ignore[attr-defined]
    return found


def written(engine: Engine, constraint: Constraint, seed: int, max_tokens: int = 300) -> str | None:
    """What a stream with this constraint wrote, if it came to an end."""
    tokens: list[int] = []
    model(engine).add(seed, Prompt([5, 6]), Decoding(Sampling(max_tokens, temperature=1.5, seed=seed), constraint))
    while True:
        for _, advance in model(engine).step():
            assert not isinstance(advance, GatewayError)
            tokens += advance.tokens
            if advance.finish_reason is not None:
                (text,) = model(engine).tokenizer.decode([tokens])
                return text if advance.finish_reason == "stop" else None


@pytest.mark.parametrize(
    ("constraint", "pattern"),
    [
        *((Literal(text), re.escape(text)) for text in ('a "b"\n\\é\x7f0🙌', "éa\u0600\x1f\t5")),
        (Sequence((Literal("<t>"), Json({"enum": [1, 2]}), Literal("</t>"))), r"<t>[12]</t>"),
        (Choice((Literal("yes"), Literal("no"))), "yes|no"),
        (Repeated(Literal("ab"), ", ", 3), "ab(, ab){0,2}"),
        (Repeated(Literal("ab"), most=2), "ab(ab)?"),
        (Sequence((Until("e"), Json({"type": "null"}))), r"(?s)[^e]*enull"),
        (
            Triggered("in", (Literal("in1"), Sequence((Literal("in"), Json({"const": 2}))))),
            r"(?s)(((?!in).)*(in[12])?)*",
        ),
        (Sequence((Until("in"), Literal("!"))), r"(?s)((?!in).)*in!"),
    ],
)
def test_the_algebra_of_constraints(engine: Engine, constraint: Constraint, pattern: str) -> None:
    texts = [written(engine, constraint, seed) for seed in range(6)]
    assert any(texts)
    for text in filter(None, texts):
        assert re.fullmatch(pattern, text), text


def test_a_grammar_that_breaks_a_pass_leaves_the_engine_usable(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    schema = {"type": "array", "items": {"type": "boolean"}, "minItems": 20, "maxItems": 20}
    before = answers(engine, schema, temperature=0)
    with monkeypatch.context() as patch:
        patch.setattr(openvino, "grammar_of", lambda constraint: Grammar("this is no grammar"))
        for stream in (1, 2):
            model(engine).add(stream, Prompt([5, 6]), Decoding(Sampling(9), Json(schema)))
    with pytest.raises(RuntimeError):
        model(engine).step()
    for stream in (1, 2):
        model(engine).drop(stream)
    assert answers(engine, schema, temperature=0) == before


def test_streamed_pieces_make_the_same_text_whatever_runs_beside(engine: Engine) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string", "maxLength": 20}, "b": {"type": "integer"}}}
    told = answers(engine, schema, temperature=0)
    assert len(set(told)) == 1
    check(told[0][0], schema)
