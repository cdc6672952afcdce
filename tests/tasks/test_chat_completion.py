"""Chat completion requests: every bound is refused by name, and what they ask of an engine."""

from __future__ import annotations

import math
from typing import Any

import pytest

from gateway.errors import BadInput
from gateway.tasks import TASKS, Origin
from gateway.tasks.chat_answer import logprobs_object
from gateway.tasks.chat_completion import ChatCompletionInput
from gateway.tasks.generation import Generation
from gateway.tasks.pieces import Piece, RatedToken, ToolCallDelta, Usage
from gateway.tasks.tools import ToolChoice

CHAT = TASKS.get("text-generation", "chat-completion")
WEATHER = {"name": "weather", "description": "of a town", "parameters": {"type": "object", "properties": {}}}
TOOLS = [{"type": "function", "function": WEATHER}]


def asked(**fields: Any) -> Generation:
    """What a request asks for, after the trip to a worker."""
    input = CHAT.parse({"messages": [{"role": "user", "content": "hi"}], **fields})
    again = ChatCompletionInput.model_validate(input.model_dump(exclude_unset=True))
    return again.generation()


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"n": 0}, "'/n' must be >= 1"),
        ({"n": 9}, "'/n' must be <= 8"),
        ({"temperature": 2.1}, "'/temperature' must be <= 2"),
        ({"temperature": -1}, "'/temperature' must be >= 0"),
        ({"top_p": 1.1}, "'/top_p' must be <= 1"),
        ({"top_k": 1001}, "'/top_k' must be <= 1000"),
        ({"logprobs": True, "top_logprobs": 21}, "'/top_logprobs' must be <= 20"),
        ({"top_logprobs": 2}, "'/top_logprobs' needs '/logprobs' to be true"),
        ({"max_tokens": 0}, "'/max_tokens' must be >= 1"),
        ({"max_completion_tokens": 1.5}, "Type mismatch of '/max_completion_tokens', 'number' not in 'integer'"),
        ({"frequency_penalty": 2.1}, "'/frequency_penalty' must be <= 2"),
        ({"presence_penalty": -2.1}, "'/presence_penalty' must be >= -2"),
        ({"repetition_penalty": 3}, "'/repetition_penalty' must be <= 2"),
        ({"seed": 2**64}, "'/seed' must be <= 9223372036854775807"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "Length of '/stop' must be <= 4"),
        ({"stop": ""}, "Length of '/stop/0' must be >= 1"),
        ({"stop": "x" * 1025}, "Length of '/stop/0' must be <= 1024"),
        ({"stop": 3}, "Type mismatch of '/stop', 'integer' not in 'array'"),
        ({"logit_bias": {"12": 101}}, "'/logit_bias/12' must be <= 100"),
        ({"logit_bias": {"12": math.nan}}, "'/logit_bias/12' must be"),
        ({"logit_bias": {"word": 1}}, "'/logit_bias': the keys must be token ids"),
        ({"logit_bias": {str(i): 0 for i in range(1025)}}, "'/logit_bias': must not have more than 1024 tokens"),
        ({"logit_bias": []}, "Type mismatch of '/logit_bias', 'array' not in 'object'"),
        ({"reasoning_effort": "huge"}, "'/reasoning_effort' must be one of 'none', 'minimal', 'low'"),
        ({"chat_template_kwargs": {"messages": "x"}}, "'/chat_template_kwargs': 'messages' cannot be set by a request"),
        ({"chat_template_kwargs": {"chat_template": "x"}}, "'chat_template' cannot be set by a request"),
        ({"chat_template_kwargs": {"a": [1]}}, "'a' must be a text, a number, a boolean or null"),
        ({"chat_template_kwargs": {"a": "x" * 1025}}, "'a' must not be longer than 1024 characters"),
        ({"chat_template_kwargs": {"a": -(10**9)}}, "'a' must be from -1000000 to 1000000"),
        ({"chat_template_kwargs": {"a b": 1}}, "the keys must be names of up to 64 letters"),
        ({"chat_template_kwargs": {f"a{i}": 1 for i in range(33)}}, "must not have more than 32 values"),
        ({"chat_template_kwargs": {"enable_thinking": "no"}}, "'enable_thinking' must be a boolean"),
        ({"stream_options": {"include_usage": "maybe"}}, "Type mismatch of '/stream_options/include_usage'"),
        ({"tools": [{"type": "web_search"}]}, "'/type' of a tool must be 'function' or 'custom'"),
        ({"tools": [WEATHER] * 129}, "Length of '/tools' must be <= 128"),
        ({"tool_choice": "required"}, "'/tool_choice' is 'required', but '/tools' is empty"),
        ({"functions": [WEATHER], "function_call": "required"}, "'/function_call': must be 'none', 'auto' or"),
        ({"functions": [WEATHER], "function_call": {"name": "other"}}, "names a function that is not in '/tools'"),
        ({"modalities": ["audio"]}, "'/modalities' must be 'text'"),
        ({"service_tier": "best"}, "'/service_tier' must be one of 'auto', 'default'"),
        ({"response_format": {"type": "yaml"}}, "'/response_format/type' must be one of"),
        ({"messages": None}, "oneOf at '/' not met, 0 matches"),
        ({"messages": []}, "Length of '/messages' must be >= 1"),
        ({"messages": [{"content": "x"}]}, "required properties at '/messages/0' are 'role'"),
    ],
)
def test_each_bound_is_refused_by_name(fields: dict[str, Any], text: str) -> None:
    with pytest.raises(BadInput) as refused:
        asked(**fields)
    assert text in refused.value.detail


def test_defaults_change_nothing() -> None:
    generation = asked()
    assert (generation.temperature, generation.top_p, generation.top_k, generation.n) == (1.0, 1.0, 0, 1)
    assert generation.output_tokens is None
    assert generation.logprobs is None
    assert generation.think is None
    assert not generation.tools


NULLABLE = set(ChatCompletionInput.model_fields) - {"messages"}


def test_every_field_may_be_null() -> None:
    assert asked(**dict.fromkeys(NULLABLE)) == asked()


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"max_tokens": 5}, {"max_tokens": 5}),
        ({"max_tokens": 5, "max_completion_tokens": 7}, {"max_tokens": 7}),
        ({"stop": "x"}, {"stop": ("x",)}),
        ({"stop": ["x", "y"]}, {"stop": ("x", "y")}),
        ({"logprobs": True}, {"logprobs": 0}),
        ({"logprobs": True, "top_logprobs": 3}, {"logprobs": 3}),
        ({"logprobs": False, "top_logprobs": 0}, {"logprobs": None}),
        ({"logit_bias": {"7": -100, "9": 0.5}}, {"logit_bias": {7: -100.0, 9: 0.5}}),
        ({"top_k": -1}, {"top_k": 0}),
        ({"top_p": 0}, {"top_p": 0.001}),
        ({"repetition_penalty": 0}, {"repetition_penalty": 1.0}),
        ({"seed": 7}, {"seed": 7}),
        ({"n": 8}, {"n": 8}),
        ({"lora": "mine"}, {"lora": "mine"}),
        ({"reasoning_effort": "none"}, {"think": False, "reasoning_effort": None}),
        ({"reasoning_effort": "high"}, {"think": None, "reasoning_effort": "high"}),
        ({"chat_template_kwargs": {"reasoning_effort": "low"}}, {"reasoning_effort": "low", "template_options": {}}),
        (
            {"chat_template_kwargs": {"enable_thinking": False, "clear_thinking": True}},
            {"think": False, "template_options": {"clear_thinking": True}},
        ),
        ({"reasoning_effort": "none", "chat_template_kwargs": {"enable_thinking": True}}, {"think": True}),
        ({"tools": TOOLS}, {"tool_choice": ToolChoice("auto"), "parallel_tool_calls": True}),
        ({"tools": TOOLS, "tool_choice": "none"}, {"tool_choice": ToolChoice("none")}),
        ({"tools": TOOLS, "parallel_tool_calls": False}, {"parallel_tool_calls": False}),
        (
            {"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "weather"}}},
            {"tool_choice": ToolChoice("required", "weather")},
        ),
        (
            {"functions": [WEATHER], "function_call": {"name": "weather"}},
            {"tool_choice": ToolChoice("required", "weather")},
        ),
        ({"functions": [WEATHER], "function_call": "none"}, {"tool_choice": ToolChoice("none")}),
        ({"functions": [{"name": "x", "code": "() => 1"}]}, {"tools": ()}),
    ],
)
def test_what_a_field_asks_of_an_engine(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    generation = asked(**fields)
    assert {key: getattr(generation, key) for key in expected} == expected


def test_a_negative_seed_becomes_one_that_every_sampler_takes() -> None:
    seeds = {asked(seed=seed).seed for seed in (-1, -2, 2**61)}
    assert len(seeds) == 3
    assert all(seed is not None and 0 <= seed < 2**62 for seed in seeds)


@pytest.mark.parametrize(
    "form",
    [
        {"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": {"type": "integer"}}},
        {"type": "json_schema", "json_schema": {"type": "integer"}},
    ],
)
def test_a_schema_may_be_wrapped_or_bare(form: dict[str, Any]) -> None:
    assert asked(response_format=form).format.schema == {"type": "integer"}
    assert asked(guided_json={"type": "integer"}).format.schema == {"type": "integer"}


def test_collected_choices_keep_their_order_and_calls() -> None:
    input = CHAT.parse({"messages": [{"role": "user", "content": "x"}], "n": 2, "tools": TOOLS})
    input = input.of(Origin("0123-4567", model="@cf/test/m"))
    pieces = [
        Piece(text="b", index=1),
        Piece(reasoning="hm", index=0),
        Piece(index=0, tool_calls=[ToolCallDelta(0, "c1", "weather", '{"a"')]),
        Piece(index=1, finish_reason="length", more=True),
        Piece(index=0, tool_calls=[ToolCallDelta(0, arguments=":1}")]),
        Piece(index=0, finish_reason="stop", usage=Usage(2, 5, 1)),
    ]
    assert CHAT.collect is not None
    answer = CHAT.collect(pieces, input)
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"a":1}'}}
    first, second = answer["choices"]
    assert first["message"] == {
        "role": "assistant",
        "content": None,
        "reasoning_content": "hm",
        "tool_calls": [call],
    }
    assert first["finish_reason"] == "tool_calls"
    assert second == {
        "index": 1,
        "message": {"role": "assistant", "content": "b"},
        "finish_reason": "length",
        "logprobs": None,
    }
    assert (answer["id"], answer["model"], answer["object"]) == ("chatcmpl-01234567", "@cf/test/m", "chat.completion")
    assert answer["usage"]["prompt_tokens_details"] == {"cached_tokens": 1}


def test_logprobs_have_bytes_but_for_parts_of_characters_that_nobody_knows() -> None:
    rivals = [RatedToken("\ufffd", -math.inf), RatedToken("", -9.0), RatedToken.of(b" \xe6\x97", -9.5)]
    found = logprobs_object([RatedToken("é", -0.5).among(rivals)])
    assert found["content"] == [
        {
            "token": "é",
            "logprob": -0.5,
            "bytes": [195, 169],
            "top_logprobs": [
                {"token": "\ufffd", "logprob": -9999.0, "bytes": None},
                {"token": "", "logprob": -9.0, "bytes": None},
                {"token": " \\xe6\\x97", "logprob": -9.5, "bytes": [32, 0xE6, 0x97]},
            ],
        }
    ]
