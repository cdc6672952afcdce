"""Conversations in the form that servers of OpenAI's kind take; knows no server."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import orjson

from gateway.engines.llm.pictures import with_own
from gateway.errors import BadInput
from gateway.tasks.content import ContentPart, Location
from gateway.tasks.conversation import Message
from gateway.tasks.generation import Generation
from gateway.tasks.image_header import media_type


def conversation_of(generation: Generation) -> Sequence[Message]:
    """What is said: the messages, or the prompt as one, with the pictures that came beside them."""
    if not generation.images:
        return generation.messages or (Message(role="user", content=generation.prompt),)
    locations = (Location(url=_data_uri(data)) for data in generation.images)
    return with_own(generation, [ContentPart(type="image_url", image_url=location) for location in locations])


def _data_uri(data: bytes) -> str:
    return f"data:{media_type(data)};base64,{base64.b64encode(data).decode()}"


def openai_messages(
    messages: Sequence[Message], reasoning_names: Sequence[str] = ("reasoning_content",)
) -> list[dict[str, Any]]:
    """The conversation; calls without an id get one, and the answers that follow without one take them in turn.

    Reasoning is given under each of `reasoning_names`. Raises `BadInput` for a picture that the server would have to
    fetch, and for parts that are neither text nor pictures.
    """
    unanswered: dict[str, None] = {}
    made = 0
    converted = []
    for place, message in enumerate(messages):
        # Their calls are told in the newer form, and so are the answers.
        role = "tool" if message.role == "function" else message.role
        turn: dict[str, Any] = {"role": role, "content": _content(message, place)}
        if message.name is not None:
            turn["name"] = message.name
        if message.reasoning_content is not None:
            turn |= dict.fromkeys(reasoning_names, message.reasoning_content)
        if message.tool_calls:
            turn["tool_calls"] = []
            for call in message.tool_calls:
                made += 1
                id = call.id or f"call-{made}"
                unanswered[id] = None
                function = {"name": call.name, "arguments": orjson.dumps(call.arguments).decode()}
                turn["tool_calls"].append({"id": id, "type": "function", "function": function})
        if role == "tool":
            turn["tool_call_id"] = _answered(message.tool_call_id, unanswered)
        converted.append(turn)
    return converted


def _answered(id: str | None, unanswered: dict[str, None]) -> str:
    id = id or next(iter(unanswered), "call-0")
    unanswered.pop(id, None)
    return id


def _content(message: Message, place: int) -> str | list[dict[str, Any]] | None:
    if isinstance(message.content, str):
        return message.content or (None if message.tool_calls else "")
    return [
        _part(part, f"'/messages/{place}/content/{index}'")
        for index, part in enumerate(message.content)
        if not part.is_thought
    ]


def _part(part: ContentPart, where: str) -> dict[str, Any]:
    if part.image_url is not None:
        if not part.image_url.url.lower().startswith("data:image/"):
            raise BadInput(f"{where} must be a picture as a data URI: pictures are not fetched from addresses")
        return {"type": "image_url", "image_url": {"url": part.image_url.url}}
    if part.text is not None:
        return {"type": "text", "text": part.text}
    raise BadInput(f"{where} must be of type 'text' or 'image_url'")
