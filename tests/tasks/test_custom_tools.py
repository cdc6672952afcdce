"""Tools that take text: in each form that callers have for them, and as the functions that models know."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.errors import BadInput, InvalidParameter
from gateway.tasks import TASKS
from gateway.tasks.custom_tool import MAX_DEFINITION_CHARACTERS
from gateway.tasks.generation import Generation, GenerationInput
from gateway.tasks.tools import Tool, ToolChoice

REGEX = {"syntax": "regex", "definition": "[0-9]+"}
NESTED = [
    {"type": "function", "function": {"name": "f"}},
    {"type": "custom", "custom": {"name": "run", "description": "Runs Python"}},
    {"type": "custom", "custom": {"name": "dial", "format": {"type": "grammar", "grammar": REGEX}}},
]
FLAT = [
    {"type": "function", "name": "f"},
    {"type": "custom", "name": "run", "description": "Runs Python", "format": {"type": "text"}},
    {"type": "custom", "name": "dial", "format": {"type": "grammar", **REGEX}},
]
FAMILIES = pytest.mark.parametrize(
    ("shape", "body"),
    [("chat-completion", {"prompt": "x", "tools": NESTED}), ("responses", {"input": "x", "tools": FLAT})],
    ids=["chat", "responses"],
)


def asked(shape: str, body: dict[str, Any]) -> Generation:
    """What a request asks for, after the trip to a worker."""
    task = TASKS.get("text-generation", shape)
    again = task.input.model_validate(task.parse(body).model_dump(exclude_unset=True))
    assert isinstance(again, GenerationInput)
    return again.generation()


def refusal(shape: str, body: dict[str, Any]) -> str:
    with pytest.raises(BadInput) as refused:
        asked(shape, body)
    return refused.value.detail


@FAMILIES
def test_a_model_knows_a_custom_tool_as_a_function_of_one_text(shape: str, body: dict[str, Any]) -> None:
    function, run, dial = asked(shape, body).tools
    assert {type(tool) for tool in (function, run, dial)} == {Tool}
    assert (run.name, run.description, run.strict) == ("run", "Runs Python", False)
    assert run.parameters == {
        "type": "object",
        "properties": {"input": {"type": "string"}},
        "required": ["input"],
        "additionalProperties": False,
    }
    assert dial.strict
    assert dial.parameters["properties"]["input"] == {"type": "string", "pattern": "^([0-9]+)$"}


@FAMILIES
@pytest.mark.parametrize("choice", [{"type": "custom", "custom": {"name": "run"}}, {"type": "custom", "name": "run"}])
def test_a_custom_tool_can_be_what_must_be_called(shape: str, body: dict[str, Any], choice: Any) -> None:
    assert asked(shape, {**body, "tool_choice": choice}).tool_choice == ToolChoice("required", "run")


@FAMILIES
def test_custom_tools_are_among_those_allowed(shape: str, body: dict[str, Any]) -> None:
    allowed = [{"type": "custom", "custom": {"name": "dial"}}, {"type": "function", "name": "f"}]
    choice = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": allowed}}
    generation = asked(shape, {**body, "tool_choice": choice})
    assert [tool.name for tool in generation.tools] == ["f", "dial"]
    assert generation.tool_choice == ToolChoice("required")


@FAMILIES
@pytest.mark.parametrize(
    ("choice", "text"),
    [
        ({"type": "custom", "name": "f"}, "'/tool_choice' names a custom tool that is not in '/tools'"),
        ({"type": "function", "name": "run"}, "'/tool_choice' names a function that is not in '/tools'"),
        (
            {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "custom", "name": "f"}]},
            "'/tool_choice' names a custom tool that is not in '/tools'",
        ),
    ],
)
def test_a_name_is_looked_for_among_tools_of_its_kind(shape: str, body: dict[str, Any], choice: Any, text: str) -> None:
    assert text in refusal(shape, {**body, "tool_choice": choice})


@FAMILIES
def test_a_custom_choice_without_a_name_is_8001(shape: str, body: dict[str, Any]) -> None:
    with pytest.raises(InvalidParameter, match="'/tool_choice': must be 'none'"):
        asked(shape, {**body, "tool_choice": {"type": "custom", "custom": {}}})


@pytest.mark.parametrize(
    ("tool", "text"),
    [
        ({}, "required properties at '/tools/0' are 'name'"),
        ({"name": ""}, "Length of '/tools/0/name' must be >= 1"),
        ({"name": "x" * 257}, "Length of '/tools/0/name' must be <= 256"),
        ({"name": "x", "description": 5}, "'/tools/0/description'"),
        ({"name": "x", "format": "text"}, "'/tools/0/format'"),
        ({"name": "x", "format": {}}, "required properties at '/tools/0/format' are 'type'"),
        ({"name": "x", "format": {"type": "json"}}, "'/tools/0/format/type' must be one of"),
        (
            {"name": "x", "format": {"type": "grammar"}},
            "'/tools/0/format': a grammar needs '/syntax' and '/definition'",
        ),
        (
            {"name": "x", "format": {"type": "grammar", "syntax": "regex"}},
            "'/tools/0/format': a grammar needs '/syntax' and '/definition'",
        ),
        (
            {"name": "x", "format": {"type": "grammar", "syntax": "ebnf", "definition": "a"}},
            "'/tools/0/format/syntax' must be one of",
        ),
        (
            {"name": "x", "format": {"type": "grammar", "syntax": "regex", "definition": ""}},
            "Length of '/tools/0/format/definition' must be >= 1",
        ),
        (
            {"name": "x", "format": {"type": "grammar", "syntax": "regex", "definition": "a" * 509}},
            "Length of '/tools/0/format/definition' must be <= 508",
        ),
    ],
)
@pytest.mark.parametrize("nested", [True, False])
def test_each_bound_is_refused_by_name(tool: dict[str, Any], text: str, nested: bool) -> None:
    written = {"type": "custom", "custom": tool} if nested else {"type": "custom", **tool}
    assert text in refusal("chat-completion", {"prompt": "x", "tools": [written]})


@pytest.mark.parametrize(
    "format",
    [
        {"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: WORD"}},
        {"type": "grammar", "syntax": "lark", "definition": "start: WORD"},
    ],
    ids=["nested", "flat"],
)
def test_a_lark_grammar_is_refused_and_regex_named(format: dict[str, Any]) -> None:
    text = refusal("responses", {"input": "x", "tools": [{"type": "custom", "name": "x", "format": format}]})
    assert "'/tools/0/format': '/syntax' of a grammar must be 'regex': 'lark' is not supported" in text


def test_the_longest_definition_is_a_pattern_that_a_schema_may_have() -> None:
    grammar = {"syntax": "regex", "definition": "a" * MAX_DEFINITION_CHARACTERS}
    tool = {"type": "custom", "name": "x", "format": {"type": "grammar", **grammar}}
    (function,) = asked("responses", {"input": "x", "tools": [tool]}).tools
    assert len(function.parameters["properties"]["input"]["pattern"]) == 512


@FAMILIES
@pytest.mark.parametrize("twin", [{"type": "custom", "name": "f"}, {"type": "function", "name": "dial"}])
def test_a_name_says_which_kind_of_tool_is_called(shape: str, body: dict[str, Any], twin: dict[str, Any]) -> None:
    text = refusal(shape, {**body, "tools": [*body["tools"], twin]})
    assert "'/tools': the name of a custom tool must not be another tool's as well" in text


@pytest.mark.parametrize("shape", ["default", "chat-completion-native"])
def test_the_native_families_take_functions_alone(shape: str) -> None:
    assert "'/type' of a tool must be 'function'" in refusal(shape, {"prompt": "x", "tools": NESTED})


def test_an_earlier_call_is_shown_as_that_of_the_function() -> None:
    call = {"id": "c1", "type": "custom", "custom": {"name": "run", "input": 'print("hi")\n'}}
    messages = [{"role": "user", "content": "x"}, {"role": "assistant", "content": None, "tool_calls": [call]}]
    turn = asked("chat-completion", {"messages": messages}).messages[1]
    assert turn.tool_calls is not None
    (shown,) = turn.tool_calls
    assert (shown.id, shown.name, shown.arguments) == ("c1", "run", {"input": 'print("hi")\n'})


@pytest.mark.parametrize(
    ("custom", "text"),
    [
        ({"name": "run"}, "'/custom/input' of a tool call must be string"),
        ({"name": "run", "input": {"a": 1}}, "'/custom/input' of a tool call must be string"),
        ({"input": "x"}, "required properties at '/messages/0/tool_calls/0' are 'name'"),
    ],
)
def test_an_earlier_call_needs_its_name_and_text(custom: dict[str, Any], text: str) -> None:
    call = {"id": "c1", "type": "custom", "custom": custom}
    assert text in refusal("chat-completion", {"messages": [{"role": "assistant", "tool_calls": [call]}]})


def test_items_of_custom_calls_become_turns() -> None:
    items = [
        {"type": "message", "role": "assistant", "content": "I look."},
        {
            "type": "custom_tool_call",
            "id": "ctc_1",
            "call_id": "c1",
            "name": "run",
            "input": "1+1",
            "status": "completed",
        },
        {"type": "custom_tool_call_output", "call_id": "c1", "output": [{"type": "input_text", "text": "2"}]},
    ]
    said, output = asked("responses", {"input": items}).messages
    assert said.tool_calls is not None
    assert [(call.id, call.name, call.arguments) for call in said.tool_calls] == [("c1", "run", {"input": "1+1"})]
    assert (output.role, output.tool_call_id, output.text()) == ("tool", "c1", "2")


@pytest.mark.parametrize(
    ("item", "text"),
    [
        ({"type": "custom_tool_call", "call_id": "c", "name": "f"}, "required properties at '/input/0' are 'input'"),
        (
            {"type": "custom_tool_call", "call_id": "", "name": "f", "input": ""},
            "Length of '/input/0/call_id' must be >= 1",
        ),
        ({"type": "custom_tool_call_output", "output": "x"}, "required properties at '/input/0' are 'call_id'"),
    ],
)
def test_items_of_custom_calls_have_bounds(item: dict[str, Any], text: str) -> None:
    assert text in refusal("responses", {"input": [item]})
