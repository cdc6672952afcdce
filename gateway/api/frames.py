"""The frames of a native stream, and what the frames of all families share; knows no engine and no connection."""

from __future__ import annotations

import os
import secrets
import string
from typing import Any, Protocol

import orjson

from gateway.api.envelope import error_body
from gateway.errors import GatewayError
from gateway.tasks import Piece, Usage
from gateway.tasks.generation import Choice
from gateway.tasks.text_generation import flat_calls

DONE = b"data: [DONE]\n\n"
_MIN_PADDING = 5
_PADDING = "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(256 + 64))


class Frames(Protocol):
    """Writes one answer as server-sent events. It has state: an instance serves one stream."""

    def write(self, piece: Piece) -> bytes:
        """The events of a piece, with what comes before the first and after the last; may be empty."""

    def fail(self, error: GatewayError, request_id: str) -> bytes:
        """The last event of a stream that broke; nothing says that it is whole."""


def padding() -> str:
    """5 to 64 random letters and digits, so that a frame's size does not tell the length of its text."""
    start, length = os.urandom(2)
    return _PADDING[start : start + _MIN_PADDING + length % 60]


def frame(document: dict[str, Any]) -> bytes:
    """One event without a name."""
    return b"data: %b\n\n" % orjson.dumps(document)


def text_frame(text: str, **more: Any) -> bytes:
    """One increment of text in the native form."""
    return frame({"response": text, **more, "p": padding()})


def tail_frame(usage: Usage | None) -> bytes:
    """The last data frame of the native form: cumulative token counts."""
    return frame({"response": "", "usage": (usage or Usage()).as_dict()})


class NativeFrames:
    """Text as it comes, then all tool calls in one frame, then the token counts.

    What the model thinks first has frames of its own, whose `response` is empty. A frame has `tool_calls` only if there
    are some: clients take an empty list for the end of the text. They also take calls without an `index` for parts of
    one, and calls in a second frame for none.
    """

    def __init__(self) -> None:
        self._choice = Choice(0)

    def write(self, piece: Piece) -> bytes:
        """The text; with the last piece also calls, counts and terminator."""
        frames = text_frame("", reasoning_content=piece.reasoning) if piece.reasoning else b""
        frames += text_frame(piece.text) if piece.text else b""
        if piece.tool_calls:
            self._choice.add(Piece(tool_calls=piece.tool_calls))
        if not piece.is_last:
            return frames
        return frames + self._call_frame() + tail_frame(piece.usage) + DONE

    def _call_frame(self) -> bytes:
        found = flat_calls(self._choice.tool_calls)
        calls = [{**call.model_dump(), "index": index} for index, call in enumerate(found)]
        return text_frame("", tool_calls=calls) if calls else b""

    def fail(self, error: GatewayError, request_id: str) -> bytes:
        """The error envelope."""
        return b"data: %b\n\n" % error_body(error, request_id)
