"""Conversations in the form that servers of OpenAI's kind take; knows no server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from gateway.errors import BadInput
from gateway.tasks.conversation import ContentPart, Message


def openai_messages(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """The conversation; calls without an id get one, and the answers that follow without one take them in turn.

    Raises `BadInput` for a picture that the server would have to fetch, and for parts that are neither text nor
    pictures.
    """
    unanswered: list[str] = []
    made = 0
    converted = []
    for place, message in enumerate(messages):
        turn: dict[str, Any] = {"role": message.role, "content": _content(message, place)}
        if message.name is not None:
            turn["name"] = message.name
        if message.reasoning_content is not None:
            turn["reasoning_content"] = message.reasoning_content
        if message.tool_calls:
            turn["tool_calls"] = []
            for call in message.tool_calls:
                made += 1
                id = call.id or f"call-{made}"
                unanswered.append(id)
                function = {"name": call.name, "arguments": orjson.dumps(call.arguments).decode()}
                turn["tool_calls"].append({"id": id, "type": "function", "function": function})
        if message.role == "tool":
            turn["tool_call_id"] = _answered(message.tool_call_id, unanswered)
        converted.append(turn)
    return converted


def _answered(id: str | None, unanswered: list[str]) -> str:
    if not id:
        return unanswered.pop(0) if unanswered else "call-0"
    if id in unanswered:
        unanswered.remove(id)
    return id


def _content(message: Message, place: int) -> str | list[dict[str, Any]] | None:
    if isinstance(message.content, str):
        return message.content or (None if message.tool_calls else "")
    return [_part(part, f"'/messages/{place}/content/{index}'") for index, part in enumerate(message.content)]


def _part(part: ContentPart, where: str) -> dict[str, Any]:
    if part.image_url is not None:
        if not part.image_url.url.lower().startswith("data:image/"):
            raise BadInput(f"{where} must be a picture as a data URI: pictures are not fetched from addresses")
        return {"type": "image_url", "image_url": {"url": part.image_url.url}}
    if part.text is not None:
        return {"type": "text", "text": part.text}
    raise BadInput(f"{where} must be of type 'text' or 'image_url'")
