"""Requests of the Responses API: how items become messages, and what is refused by name."""

from __future__ import annotations

from typing import Any

import pytest
from openai.types.responses import Response

from gateway.errors import BadInput
from gateway.tasks import TASKS, Origin
from gateway.tasks.generation import Generation
from gateway.tasks.pieces import Piece, ToolCallDelta, Usage
from gateway.tasks.response_answer import Assembly
from gateway.tasks.responses import ResponsesInput
from gateway.tasks.tools import ToolChoice

RESPONSES = TASKS.get("text-generation", "responses")
TOOL = {"type": "function", "name": "weather", "description": "", "parameters": {"type": "object"}, "strict": True}


def asked(input: Any = "hi", **fields: Any) -> Generation:
    """What a request asks for, after the trip to a worker."""
    parsed = RESPONSES.parse({"input": input, **fields})
    return ResponsesInput.model_validate(parsed.model_dump(exclude_unset=True)).generation()


def turns(input: Any, **fields: Any) -> list[dict[str, Any]]:
    return [message.model_dump(exclude_unset=True) for message in asked(input, **fields).messages]


def test_a_text_is_one_turn_and_instructions_come_first() -> None:
    assert turns("hi", instructions="Be brief.") == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "hi"},
    ]


def test_a_turn_of_several_items_is_one_message() -> None:
    found = turns(
        [
            {"role": "user", "content": [{"type": "input_text", "text": "weather?"}]},
            {"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "reasoning_text", "text": "hm"}]},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "I look."}]},
            {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "weather", "arguments": '{"town":"Oslo"}'},
            {"type": "function_call", "call_id": "c2", "name": "weather", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c1", "output": "rain"},
        ]
    )
    assert [turn["role"] for turn in found] == ["user", "assistant", "tool"]
    assert found[1]["reasoning_content"] == "hm"
    assert [(call["id"], call["arguments"]) for call in found[1]["tool_calls"]] == [
        ("c1", {"town": "Oslo"}),
        ("c2", {}),
    ]
    assert found[2] == {"role": "tool", "tool_call_id": "c1", "content": "rain"}


def test_a_picture_may_be_a_plain_address() -> None:
    (message,) = asked(
        [{"role": "user", "content": [{"type": "input_image", "image_url": "data:image/png;base64,AA"}]}]
    ).messages
    assert message.pictures() == ["data:image/png;base64,AA"]


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"input": ""}, "Length of '/input' must be >= 1"),
        ({"input": None}, "required properties at '/' are 'input'"),
        ({"input": []}, "Length of '/input' must be >= 1"),
        ({"previous_response_id": "resp_1"}, "'/previous_response_id' is not supported: responses are not stored"),
        ({"conversation": "c"}, "'/conversation' is not supported"),
        ({"prompt": {"id": "p"}}, "'/prompt' is not supported"),
        ({"background": True}, "'/background' is not supported"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, "'/input/0': responses are not stored, so send the item"),
        ({"input": [{"type": "web_search_call", "id": "x"}]}, "'/type' of an item must be one of 'message'"),
        ({"input": [{"role": "user", "content": [{"type": "input_file"}]}]}, "'/type' of a part must be"),
        (
            {"input": [{"type": "function_call", "call_id": "c", "name": "f", "arguments": "["}]},
            "function.arguments must be a JSON object",
        ),
        ({"tools": [{"type": "web_search"}]}, "'/type' of a tool must be 'function' or 'custom'"),
        ({"tool_choice": "required"}, "'/tools' is empty"),
        ({"max_output_tokens": 0}, "'/max_output_tokens' must be >= 1"),
        ({"temperature": 3}, "'/temperature' must be <= 2"),
        ({"top_logprobs": 21}, "'/top_logprobs' must be <= 20"),
        ({"truncation": "middle"}, "'/truncation' must be one of"),
        ({"text": {"format": {"type": "json_schema", "name": "x"}}}, "'/text/format': 'json_schema' is required"),
        ({"reasoning": {"effort": "huge"}}, "'/reasoning/effort' must be one of"),
    ],
)
def test_each_refusal_names_its_field(fields: dict[str, Any], text: str) -> None:
    with pytest.raises(BadInput) as refused:
        asked(**fields)
    assert text in refused.value.detail


def test_options_reach_the_engine() -> None:
    generation = asked(
        tools=[TOOL],
        tool_choice={"type": "function", "name": "weather"},
        text={"format": {"type": "json_schema", "name": "x", "schema": {"type": "integer"}, "strict": True}},
        reasoning={"effort": "low", "summary": "auto"},
        max_output_tokens=9,
        include=["message.output_text.logprobs", "file_search_call.results"],
    )
    assert generation.tool_choice == ToolChoice("required", "weather")
    assert generation.format.schema == {"type": "integer"}
    assert (generation.reasoning_effort, generation.max_tokens, generation.logprobs) == ("low", 9, 0)
    assert asked(include=["file_search_call.results"]).logprobs is None


def test_thoughts_of_several_items_are_all_kept() -> None:
    thoughts = [{"type": "reasoning", "summary": [{"type": "summary_text", "text": text}]} for text in ("one", "two")]
    kept = {"type": "reasoning", "summary": [], "encrypted_content": "x"}
    (turn,) = turns([*thoughts, kept, {"type": "message", "role": "assistant", "content": "so"}])
    assert (turn["reasoning_content"], turn["content"]) == ("one\ntwo", "so")


NAMED = {"type": "json_schema", "name": "x", "description": "An x.", "schema": {"type": "object"}, "strict": False}


@pytest.mark.parametrize(
    ("fields", "echoed"),
    [
        ({}, {"tools": [], "tool_choice": "auto", "text": {"format": {"type": "text"}}}),
        ({"tools": [TOOL], "tool_choice": "none"}, {"tools": [TOOL], "tool_choice": "none"}),
        (
            {"tools": [TOOL], "tool_choice": {"type": "function", "name": "weather"}},
            {"tool_choice": {"type": "function", "name": "weather"}},
        ),
        (
            {
                "tools": [TOOL, {**TOOL, "name": "news"}],
                "tool_choice": {
                    "type": "allowed_tools",
                    "mode": "auto",
                    "tools": [{"type": "function", "name": "news"}],
                },
            },
            {
                "tools": [TOOL, {**TOOL, "name": "news"}],
                "tool_choice": {
                    "type": "allowed_tools",
                    "mode": "auto",
                    "tools": [{"type": "function", "name": "news"}],
                },
            },
        ),
        ({"text": {"format": NAMED}}, {"text": {"format": NAMED}}),
        ({"text": {"format": {"type": "json_object"}}}, {"text": {"format": {"type": "json_object"}}}),
    ],
)
def test_a_response_repeats_what_was_asked(fields: dict[str, Any], echoed: dict[str, Any]) -> None:
    input = RESPONSES.parse({"input": "x", **fields})
    assert isinstance(input, ResponsesInput)
    assert {key: input.echo()[key] for key in echoed} == echoed


def test_a_response_has_every_key_of_the_clients_type() -> None:
    input = RESPONSES.parse({"input": "x", "tools": [TOOL], "text": {"format": NAMED}}).of(Origin("0-1", model="m"))
    call = ToolCallDelta(0, "c1", "weather", "{}")
    pieces = [Piece(reasoning="hm"), Piece("so"), Piece(tool_calls=[call]), Piece(finish_reason="stop", usage=Usage())]
    assert RESPONSES.collect is not None
    found = Response.model_validate(RESPONSES.collect(pieces, input))
    assert [item.type for item in found.output] == ["reasoning", "message", "function_call"]


@pytest.mark.parametrize(("reason", "details"), [("length", "max_output_tokens"), ("content_filter", "content_filter")])
def test_an_answer_cut_short_is_incomplete(reason: str, details: str) -> None:
    input = RESPONSES.parse({"input": "x"}).of(Origin("0-1", model="m"))
    assert RESPONSES.collect is not None
    answer = RESPONSES.collect([Piece("tex"), Piece(finish_reason=reason, usage=Usage(1, 2))], input)
    assert answer["status"] == answer["output"][0]["status"] == "incomplete"
    assert answer["incomplete_details"] == {"reason": details}
    assert answer["usage"]["total_tokens"] == 3


@pytest.mark.parametrize("thought", ["", "hm"])
def test_a_model_that_says_nothing_has_said_an_empty_text(thought: str) -> None:
    """Unless it was cut off before it could."""
    input = RESPONSES.parse({"input": "x"})
    for reason, said in (("stop", [""]), ("length", [])):
        pieces = [Piece(reasoning=thought), Piece(finish_reason=reason, usage=Usage(1, 1))]
        assembly = Assembly(input.origin, input.echo())
        *events, last = [event for piece in pieces for event in assembly.feed(piece)]
        output = RESPONSES.collect(pieces, input)["output"]
        messages = [item for item in output if item["type"] == "message"]
        assert [(item["content"][0]["text"], item["status"]) for item in messages] == [
            (text, "completed") for text in said
        ]
        assert last["response"]["output"] == output
        assert [event["item"] for event in events if event["type"] == "response.output_item.done"] == output


def test_text_after_a_call_is_an_item_of_its_own() -> None:
    input = RESPONSES.parse({"input": "x", "tools": [TOOL]}).of(Origin("0-1", model="m"))
    pieces = [
        Piece("one"),
        Piece(tool_calls=[ToolCallDelta(0, "c1", "weather", "{}")]),
        Piece("two"),
        Piece(finish_reason="tool_calls"),
    ]
    assert RESPONSES.collect is not None
    output = RESPONSES.collect(pieces, input)["output"]
    assert [item["type"] for item in output] == ["message", "function_call", "message"]
    assert len({item["id"] for item in output}) == 3
    assert [item["content"][0]["text"] for item in output if item["type"] == "message"] == ["one", "two"]
