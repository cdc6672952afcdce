"""Conversations, with their calls, thoughts and pictures, in the words of other servers."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from gateway.api.remote.deferred import PIXEL
from gateway.errors import BadInput
from gateway.tasks.conversation import Message
from tests.engines.llm.upstream.test_request import translated


def test_a_conversation_keeps_its_calls_and_pictures() -> None:
    data = "data:image/png;base64,AAAA"
    turns = [
        {"role": "user", "content": [{"type": "text", "text": "see"}, {"type": "image_url", "image_url": data}]},
        {
            "role": "assistant",
            "content": None,
            "reasoning": "hm",
            "tool_calls": [{"name": "f", "arguments": {"a": "é"}}],
        },
        {"role": "tool", "content": "1", "name": "f"},
        {"role": "assistant", "content": "", "tool_calls": [{"id": "x", "name": "f"}, {"id": "y", "name": "f"}]},
        {"role": "tool", "content": "2", "tool_call_id": "y"},
        {"role": "tool", "content": "3"},
    ]
    sent = translated("openai", messages=tuple(map(Message.model_validate, turns))).body["messages"]
    assert sent[0]["content"][1] == {"type": "image_url", "image_url": {"url": data}}
    assert sent[1]["reasoning_content"] == "hm"
    assert sent[1]["content"] is None
    assert sent[1]["tool_calls"][0]["function"] == {"name": "f", "arguments": '{"a":"é"}'}
    assert [turn.get("tool_call_id") for turn in sent] == [None, None, sent[1]["tool_calls"][0]["id"], None, "y", "x"]


def test_answers_in_the_older_form_name_the_calls_that_they_are_of() -> None:
    turns = [
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "function", "name": "f", "content": "1"},
    ]
    call, answer = translated("openai", messages=tuple(map(Message.model_validate, turns))).body["messages"]
    assert (answer["role"], answer["tool_call_id"]) == ("tool", call["tool_calls"][0]["id"])


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("vllm", {"reasoning_content", "reasoning"}),
        ("sglang", {"reasoning_content"}),
        ("openai", {"reasoning_content"}),
    ],
)
def test_earlier_reasoning_has_the_names_that_the_server_knows(kind: str, names: set[str]) -> None:
    thought = {"type": "thinking", "thinking": "passed over"}
    content = [thought, {"type": "text", "text": "so"}]
    message = Message.model_validate({"role": "assistant", "content": content, "reasoning_content": "hm"})
    (turn,) = translated(kind, messages=(message,)).body["messages"]
    assert {name for name in turn if turn[name] == "hm"} == names
    assert turn["content"] == [{"type": "text", "text": "so"}]


def test_pictures_beside_the_messages_are_shown_in_the_last_turn_of_the_user() -> None:
    png = base64.b64decode(PIXEL.partition(",")[2])
    shown = {"type": "image_url", "image_url": {"url": PIXEL}}
    assert translated("vllm", images=(png,)).body["messages"] == [
        {"role": "user", "content": [shown, {"type": "text", "text": "Hi"}]}
    ]
    messages = tuple(Message(role=role, content=role) for role in ("user", "assistant"))
    first, second = translated("vllm", messages=messages, images=(png,)).body["messages"]
    assert first["content"] == [shown, {"type": "text", "text": "user"}]
    assert second["content"] == "assistant"
    with pytest.raises(BadInput, match="'/raw' cannot be true"):
        translated("vllm", raw=True, images=(png,))


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": "http://169.254.169.254/latest"}},
        {"type": "image_url", "image_url": {"url": "file:///etc/passwd"}},
        {"type": "image", "image": "http://10.0.0.1/"},
    ],
)
def test_a_server_is_never_sent_to_fetch_something(part: dict[str, Any]) -> None:
    message = Message.model_validate({"role": "user", "content": [part]})
    with pytest.raises(BadInput, match="'/messages/0/content/0' must be"):
        translated("vllm", messages=(message,))
