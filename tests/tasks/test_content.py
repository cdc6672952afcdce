"""What messages may say: texts and parts in every form of clients, and nothing that no model would get."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.errors import BadInput
from gateway.tasks import TASKS

GENERATE = TASKS.get("text-generation")


def test_messages_take_parts_a_single_part_and_null() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    input = GENERATE.parse(
        {
            "messages": [
                {"role": "user", "content": parts},
                {"role": "user", "content": {"type": "text", "text": "c"}},
                {"role": "assistant", "content": None, "tool_calls": [{"name": "f"}]},
            ]
        }
    )
    assert [message.text() for message in input.messages] == ["a\nb", "c", ""]


@pytest.mark.parametrize(
    "part",
    [
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
        {"type": "file", "file": {"file_id": "x"}},
        {"type": "video_url", "video_url": {"url": "data:video/mp4;base64,AAAA"}},
    ],
    ids=lambda part: part["type"],
)
def test_a_part_that_no_model_would_get_is_refused(part: dict[str, Any]) -> None:
    with pytest.raises(BadInput) as found:
        GENERATE.parse({"messages": [{"role": "user", "content": [{"type": "text", "text": "hear"}, part]}]})
    assert found.value.detail == "'/messages/0/content/1/type': must be 'text' or 'image_url'"


@pytest.mark.parametrize("content", [{"degrees": 5}, {}, [{"type": "text"}], [{"type": "text", "text": None}]])
def test_an_object_that_is_no_part_is_refused_and_not_lost(content: Any) -> None:
    with pytest.raises(BadInput) as found:
        GENERATE.parse({"messages": [{"role": "tool", "content": content}]})
    assert found.value.detail == "'/messages/0/content/0': 'text' is required in a part of type 'text'"


def test_a_refusal_is_what_the_assistant_said_and_its_thoughts_are_passed_over() -> None:
    thought = {"type": "thinking", "thinking": "hm", "text": "hm"}
    contents: list[Any] = [
        {"content": [{"type": "refusal", "refusal": "No."}]},
        {"content": None, "refusal": "No."},
        {"content": [thought, {"type": "text", "text": "No."}]},
    ]
    input = GENERATE.parse({"messages": [{"role": "assistant", **content} for content in contents]})
    assert [message.text() for message in input.messages] == ["No."] * 3


def test_a_part_with_a_picture_and_a_text_is_two() -> None:
    part = {"type": "image_url", "text": "See.", "image_url": {"url": "data:image/png;base64,AA"}}
    (message,) = GENERATE.parse({"messages": [{"role": "user", "content": part}]}).messages
    assert [(part.type, part.text, part.image_url is None) for part in message.content] == [
        ("image_url", None, False),
        ("text", "See.", True),
    ]
