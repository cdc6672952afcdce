"""With transformers, a constrained answer is one that the constraint allows, whatever the model would rather say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.engines.llm import grammar
from gateway.engines.llm.constraint import Choice, Constraint, Json, Literal, Repeated, Sequence, Triggered, Until
from gateway.engines.llm.decoding import Prompt
from gateway.engines.llm.grammar import Grammars
from gateway.engines.llm.transformers import TransformersModel
from gateway.engines.llm.vocabulary import vocabulary_of
from gateway.errors import BadInput, JsonModeUnsupported
from gateway.tasks.json_schema import check
from tests import tiny
from tests.engines.llm.streams import Conversation, ask, load
from tests.engines.llm.token_streams import decoding, run, token_model

TOKENIZER = tiny.byte_tokenizer()
END = TOKENIZER.eos_token_id
WIDTH = len(TOKENIZER)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.chat_model(tmp_path_factory.mktemp("llama"), window=8192)


@pytest.fixture(scope="module")
def model(files: Path) -> TransformersModel:
    return token_model(files)


@pytest.fixture(scope="module")
def grammars() -> Grammars:
    return Grammars(vocabulary_of(TOKENIZER, [END], WIDTH))


def prompt(text: str = "Hello") -> list[int]:
    ids: list[int] = TOKENIZER.encode(text)
    return ids


def accepts(grammars: Grammars, constraint: Constraint, text: str) -> bool:
    matcher = grammars.start(constraint)
    ids = TOKENIZER.encode(text, add_special_tokens=False)
    return matcher.try_consume_tokens(ids) == len(ids) and matcher.is_accepting()


CALL = Sequence((Literal("<call>\n"), Json({"type": "object"}), Literal("\n</call>")))


@pytest.mark.parametrize(
    ("constraint", "texts", "others"),
    [
        (Literal('a"\\\n/é😀\x07'), ['a"\\\n/é😀\x07'], ["a", 'a"\\\n/é😀\x07b']),
        (Json({"type": "integer"}), ["12", "-3"], ["1.5", '"1"', ""]),
        (Until("</think>"), ["a < b</think>", "</think>", "日本\n</think>"], ["a", "a</think>b"]),
        (Sequence((Until("<x>"), Until("<y>"))), ["<y><x><y>", "a<x>b<y>"], ["<y><x>", "<x><y><x><y>"]),
        (Choice((Literal("no"), CALL)), ["no", '<call>\n{"a": 1}\n</call>'], ["", "no<call>"]),
        (Repeated(Literal("a"), ", ", 3), ["a", "a, a, a"], ["", "a, a, a, a", "aa"]),
        (Repeated(Literal("a"), most=1), ["a"], ["aa"]),
        (Repeated(Choice((Literal("a"), Literal("b")))), ["abba"], [""]),
        (Literal(""), [""], ["a"]),
        (
            Triggered("<call>", (CALL, Sequence((Literal("<ca"), Literal("ll>x"))))),
            ["", "a <cal", 'a<call>\n{"b": 1}\n</call> c <call>x', "<call>x<call>x"],
            ["<call>", "a<call>y", "a<call>\n1", "<call>x<call>"],
        ),
        (
            Sequence((Until("</t>"), Triggered("<", (Choice((Literal("<a"), Literal("<b"))),)))),
            ["x</t>y", "<c</t>x<ay<b"],
            ["x</t><c", "x"],
        ),
    ],
)
def test_the_algebra_means_what_it_says(
    grammars: Grammars, constraint: Constraint, texts: list[str], others: list[str]
) -> None:
    assert [text for text in texts if not accepts(grammars, constraint, text)] == []
    assert [text for text in others if accepts(grammars, constraint, text)] == []


OPEN, CLOSE = TOKENIZER.convert_tokens_to_ids(["<|user|>", "<|system|>"])
MARKERS = {OPEN: "<|user|>", CLOSE: "<|system|>"}


@pytest.mark.parametrize(
    ("constraint", "written"),
    [
        (Literal("a<|user|>b"), ["a", OPEN, "b"]),
        (Sequence((Until("<|user|>"), Literal("x"))), ["any", OPEN, "x"]),
        (Sequence((Until("<|user|>!"), Literal("x"))), ["any", OPEN, "!x"]),
        (Sequence((Until("<|user|>"), Literal("x"))), ["any<|user|>x"]),
        (Repeated(Literal("a"), "<|user|>", 3), ["a", OPEN, "a"]),
        (
            Triggered("<|user|>", (Sequence((Literal("<|user|>"), Json({"type": "integer"}))),)),
            ["free ", OPEN, "12 and more ", OPEN, "3"],
        ),
    ],
)
def test_a_marker_that_is_a_special_token_is_written_as_that(
    grammars: Grammars, constraint: Constraint, written: list[str | int]
) -> None:
    matcher = grammars.start(constraint, MARKERS)
    ids: list[int] = []
    for part in written:
        ids += [part] if isinstance(part, int) else ordinary(part)
    assert matcher.try_consume_tokens(ids) == len(ids)
    assert matcher.is_accepting()


def ordinary(text: str) -> list[int]:
    """The ids of a text in which no special token is read."""
    return [id for letter in text for id in TOKENIZER.encode(letter, add_special_tokens=False)]


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ({"type": "array", "uniqueItems": True}, 'Unimplemented keys: ["uniqueItems"]'),
        ({"properties": {"a": {"not": {"type": "string"}}}}, 'Unimplemented keys: ["not"]'),
        ({"not": {}, "x-guidance": {"lenient": True}}, 'Unimplemented keys: ["not"]'),
        ({"type": "integer", "minimum": 3, "maximum": 2}, "Unsatisfiable schema: minimum (3) is greater"),
        ({"oneOf": [{"type": "number"}, {"type": "integer"}]}, "oneOf constraints are not supported"),
        ({"$ref": "#/$defs/none"}, "Pointer '/$defs/none' does not exist"),
        ({"$ref": "#"}, "no JSON can satisfy it"),
        ({"type": "string", "pattern": "(?=a)b"}, "regex parse error: look-around, including"),
    ],
)
@pytest.mark.parametrize("wrapped", [False, True])
def test_a_schema_that_cannot_be_held_to_is_refused_by_name(
    grammars: Grammars, schema: dict[str, Any], reason: str, wrapped: bool
) -> None:
    ours = Json(schema, field="/guided_json")
    with pytest.raises(BadInput) as caught:
        grammars.start(Sequence((Literal("x"), ours)) if wrapped else ours)
    assert caught.value.detail.startswith("'/guided_json' cannot be kept to: ")
    assert reason in caught.value.detail


def test_what_was_compiled_is_kept_within_bounds(grammars: Grammars, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grammar, "MAX_COMPILED", 2)
    ours = Grammars(vocabulary_of(TOKENIZER, [END], WIDTH))
    for text in ("a", "b", "a", "c"):
        ours.start(Literal(text))
    assert [key.splitlines()[0] for key in ours._compiled] == ['start: "a"', 'start: "c"']


def test_a_tokenizer_without_an_end_cannot_be_constrained() -> None:
    with pytest.raises(JsonModeUnsupported):
        Grammars(vocabulary_of(TOKENIZER, [], WIDTH)).start(Literal("a"))


names = st.sampled_from(["a", "b", "né", "a b"])
leaves = st.sampled_from(
    [
        {"type": "boolean"},
        {"type": "null"},
        {"type": "integer", "minimum": -3, "maximum": 90},
        {"type": "number", "minimum": 0, "maximum": 1},
        {"type": "string", "maxLength": 4},
        {"type": "string", "pattern": "^[a-c]{2,5}$"},
        {"type": "string", "format": "date"},
        {"enum": ["x", 1, None, {"k": [1]}]},
        {"const": "é"},
    ]
)


def nested(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    def describe(properties: dict[str, Any], extra: bool, optional: bool) -> dict[str, Any]:
        required = list(properties)[1 if optional else 0 :]
        kept = {"additionalProperties": False} if not extra else {"additionalProperties": {"type": "boolean"}}
        return {"type": "object", "properties": properties, "required": required} | kept

    objects = st.builds(describe, st.dictionaries(names, inner, max_size=3), st.just(False), st.booleans())
    arrays = st.builds(
        lambda item, least: {"type": "array", "items": item, "minItems": least, "maxItems": 3}, inner, st.integers(0, 2)
    )
    return objects | arrays | st.builds(lambda *options: {"anyOf": list(options)}, inner, inner)


schemas = st.recursive(leaves, nested, max_leaves=5)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(schema=schemas, seed=st.integers(0, 2**32))
def test_answers_to_random_schemas_are_valid(model: TransformersModel, schema: dict[str, Any], seed: int) -> None:
    how = decoding(1500, temperature=1, seed=seed, constraint=Json(check(schema)))
    (told,) = run(model, (prompt(), how))
    text = TOKENIZER.decode(told.ids[:-1])
    assert told.finish_reason == "stop"
    jsonschema.validate(json.loads(text), schema)


def test_constrained_and_free_streams_share_passes(model: TransformersModel) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string", "maxLength": 8}}, "required": ["a"]}
    schema |= {"additionalProperties": False}
    streams = [
        (prompt("one"), decoding(60, constraint=Json(schema))),
        (prompt("two, longer"), decoding(40)),
        (prompt("three"), decoding(60, temperature=1, seed=3, constraint=Choice((Literal("yes"), Literal("no"))))),
        (prompt("four"), decoding(40, temperature=1, seed=4)),
    ]
    together = [told.ids for told in run(model, *streams)]
    assert together == [run(model, stream)[0].ids for stream in streams]
    jsonschema.validate(json.loads(TOKENIZER.decode(together[0][:-1])), schema)
    assert TOKENIZER.decode(together[2][:-1]) in ("yes", "no")


def test_a_schema_that_proves_too_intricate_ends_its_own_stream_only(model: TransformersModel) -> None:
    options = [{"properties": {f"k{i}": {"type": "string", "maxLength": 900}}} for i in range(500)]
    loose = {"anyOf": [{"type": "object", "additionalProperties": True, **option} for option in options]}
    model.add(0, Prompt(prompt()), decoding(60, constraint=Json(loose)))
    model.add(1, Prompt(prompt()), decoding(30))
    ended: dict[int, Any] = {}
    while len(ended) < 2:
        ended |= {id: advance for id, advance in model.step() if getattr(advance, "finish_reason", "error")}
    assert isinstance(ended[0], BadInput)
    assert ended[0].detail.startswith("'/response_format' cannot be kept to: ")
    assert ended[1].finish_reason == "length"


@pytest.mark.parametrize("seed", [1, 2])
def test_a_request_for_json_is_answered_with_it(files: Path, seed: int) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string", "maxLength": 9}}, "required": ["a"]}
    schema |= {"additionalProperties": False}
    engine = load(files, dtype="float32", threads=1)
    asked = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema, "strict": True}}
    told = ask(engine, prompt="Hello", seed=seed, temperature=1, max_tokens=300, response_format=asked)
    assert told.finish_reason == "stop"
    jsonschema.validate(json.loads(told.text), schema)


def test_a_request_with_a_schema_that_cannot_be_held_to_does_no_work(files: Path) -> None:
    engine = load(files, dtype="float32", threads=1)
    asked = {"type": "json_schema", "json_schema": {"type": "array", "contains": {"type": "string"}}}
    with pytest.raises(BadInput, match=r"'/response_format/json_schema' cannot be kept to: .*contains"):
        Conversation(engine).admit(prompt="Hello", response_format=asked)
    assert engine.step() == []


def test_a_finished_constraint_ends_the_answer_even_if_ends_are_to_be_ignored(model: TransformersModel) -> None:
    (told,) = run(model, (prompt(), decoding(60, constraint=Literal("only this"), ignore_eos=True)))
    assert (TOKENIZER.decode(told.ids[:-1]), told.finish_reason) == ("only this", "stop")
