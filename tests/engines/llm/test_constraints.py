"""Every text that a form's constraint allows is read as calls with arguments of the tool's schema, or as JSON."""

from __future__ import annotations

import json
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import validate

from gateway.engines.llm.dialect import Ask, Dialect, Harmony, Marked
from gateway.engines.llm.grammar import Grammars
from gateway.engines.llm.reasoning import REASONING_FORMATS
from gateway.engines.llm.tool_formats import FORMATS
from gateway.engines.llm.vocabulary import vocabulary_of
from gateway.tasks.custom_text import InputText
from gateway.tasks.custom_tool import CustomTool
from gateway.tasks.generation import Choice
from gateway.tasks.tools import Tool, as_function
from tests import tiny
from tests.engines.llm.grammar import write
from tests.engines.llm.reading import read, tool

NESTED = {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "integer"}}, "required": ["b"]}
TOOLS = (
    tool(
        "get_weather",
        ["city", "unit"],
        city={"type": "string"},
        unit={"type": "string", "enum": ["metric", "imperial"]},
        days={"type": "integer"},
        places={"type": "array", "items": {"type": "string"}},
        where=NESTED,
    ),
    tool("find", [], query={"type": "string"}, limit={"type": "integer"}, exact={"type": "boolean"}),
    tool("now"),
)
ANSWER = {"type": "object", "properties": {"answer": {"type": "integer"}}, "required": ["answer"]}
DIALECTS: dict[str, Dialect] = {
    "harmony": Harmony(),
    "think": Marked(REASONING_FORMATS["think"], FORMATS["hermes"]),
    **{name: Marked(None, form) for name, form in FORMATS.items()},
}


def check_calls(choice: Choice, tools: tuple[Tool, ...]) -> None:
    schemas = {tool.name: tool.parameters for tool in tools}
    for call in choice.tool_calls:
        validate(json.loads(call.arguments), schemas[call.name])


def answer(dialect: Dialect, ask: Ask, random: Random) -> Choice:
    form = dialect.form(ask, ())
    assert form.constraint is not None
    return read(form.reader(), write(form.constraint, random))


@pytest.mark.parametrize("name", DIALECTS)
@settings(max_examples=30, deadline=None)
@given(st.randoms(use_true_random=False))
def test_forced_calls_are_always_calls(name: str, random: Random) -> None:
    choice = answer(DIALECTS[name], Ask(tools=TOOLS, forced=True), random)
    assert choice.tool_calls
    assert (choice.text, choice.finish_reason) == ("", "tool_calls")
    check_calls(choice, TOOLS)


@pytest.mark.parametrize("name", DIALECTS)
@settings(max_examples=10, deadline=None)
@given(st.randoms(use_true_random=False))
def test_one_named_tool_is_called_once(name: str, random: Random) -> None:
    choice = answer(DIALECTS[name], Ask(tools=TOOLS[1:2], forced=True, most=1), random)
    assert [call.name for call in choice.tool_calls] == ["find"]
    check_calls(choice, TOOLS)


@pytest.mark.parametrize("name", DIALECTS)
@settings(max_examples=10, deadline=None)
@given(st.randoms(use_true_random=False))
def test_the_text_of_a_custom_tool_is_found_in_the_arguments_of_every_family(name: str, random: Random) -> None:
    tools = (as_function(CustomTool(type="custom", name="run")),)
    choice = answer(DIALECTS[name], Ask(tools=tools, forced=True), random)
    assert choice.tool_calls
    for call in choice.tool_calls:
        assert InputText().feed(call.arguments) == json.loads(call.arguments)["input"]


@pytest.mark.parametrize("name", DIALECTS)
@settings(max_examples=20, deadline=None)
@given(st.randoms(use_true_random=False))
def test_beside_a_schema_the_answer_is_calls_or_json(name: str, random: Random) -> None:
    choice = answer(DIALECTS[name], Ask(tools=TOOLS, schema=ANSWER), random)
    if choice.tool_calls:
        assert choice.text == ""
        check_calls(choice, TOOLS)
    else:
        validate(json.loads(choice.text), ANSWER)


@pytest.mark.parametrize("name", [name for name in FORMATS if FORMATS[name].opening])
@settings(max_examples=10, deadline=None)
@given(st.randoms(use_true_random=False))
def test_strict_tools_are_called_by_their_schema_among_any_text(name: str, random: Random) -> None:
    strict = tuple(tool.model_copy(update={"strict": True}) for tool in TOOLS)
    choice = answer(DIALECTS[name], Ask(tools=strict), random)
    assert choice.tool_calls
    check_calls(choice, strict)


@pytest.mark.parametrize("name", [name for name in FORMATS if FORMATS[name].opening])
def test_strict_tools_are_called_by_their_schema_where_markers_are_special_tokens(name: str) -> None:
    tokenizer = tiny.byte_tokenizer()
    dialect = Marked(REASONING_FORMATS["mistral"], FORMATS[name])
    # What ends free text has to begin with its marker; that of qwen-coder's arguments begins with a line break.
    special = [marker for marker in dialect.markers if "parameter" not in marker]
    tokenizer.add_special_tokens({"additional_special_tokens": special})
    markers = {tokenizer.convert_tokens_to_ids(marker): marker for marker in special}
    strict = tuple(tool.model_copy(update={"strict": True}) for tool in TOOLS)
    form = dialect.form(Ask(tools=strict), special)
    assert form.constraint is not None
    grammars = Grammars(vocabulary_of(tokenizer, [tokenizer.eos_token_id], len(tokenizer)))
    for seed in range(5):
        text = write(form.constraint, Random(seed))
        ids = tokenizer.encode(text, add_special_tokens=False)
        assert markers.keys() & set(ids), "the markers are no tokens"
        matcher = grammars.start(form.constraint, markers)
        assert matcher.try_consume_tokens(ids) == len(ids)
        assert matcher.is_accepting()
        choice = read(form.reader(), text)
        assert choice.tool_calls
        check_calls(choice, strict)
    for told in (f"It is {FORMATS[name].opening}nothing", f"[THINK]Hm{FORMATS[name].opening}"):
        ids = tokenizer.encode(told, add_special_tokens=False)
        assert grammars.start(form.constraint, markers).try_consume_tokens(ids) < len(ids)


@pytest.mark.parametrize("name", [name for name in FORMATS if FORMATS[name].opening])
def test_a_first_marker_that_is_a_special_token_is_written_into_the_prompt(name: str) -> None:
    opening = FORMATS[name].opening
    form = DIALECTS[name].form(Ask(tools=TOOLS, forced=True), (opening,))
    assert form.begun == opening
    assert form.constraint is not None
    written = write(form.constraint, Random(0))
    assert not written.startswith(opening)
    choice = read(form.reader(), written)
    assert choice.tool_calls
    check_calls(choice, TOOLS)
