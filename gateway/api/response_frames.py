"""The events of a streamed response, numbered and named as OpenAI's clients expect them; knows no engine."""

from __future__ import annotations

import orjson

from gateway.api.envelope import error_body
from gateway.api.frames import padding
from gateway.api.openai_error import openai_error
from gateway.errors import GatewayError
from gateway.tasks import Origin, Piece
from gateway.tasks.response_answer import Assembly, Event
from gateway.tasks.responses import ResponsesInput


class ResponseFrames:
    """Writes each event under its own name; the last is `response.completed` or `response.incomplete`."""

    def __init__(self, input: ResponsesInput, origin: Origin) -> None:
        self._assembly = Assembly(origin, input.echo(), input.customs)
        self._number = 0
        self._pads = input.stream_options is None or input.stream_options.include_obfuscation is not False

    def write(self, piece: Piece) -> bytes:
        """The events of a piece, behind those that begin the stream."""
        events = [] if self._number else list(self._assembly.begin())
        return b"".join(map(self._framed, events + self._assembly.feed(piece)))

    def fail(self, error: GatewayError, request_id: str) -> bytes:
        """An error event, with the envelope in it."""
        envelope = orjson.loads(error_body(error, request_id))
        known = openai_error(error, request_id)
        told = {"code": known["code"], "message": known["message"], "param": None, "error": known}
        return self._framed({"type": "error", **told, **envelope})

    def _framed(self, event: Event) -> bytes:
        numbered = {"type": event["type"], "sequence_number": self._number, **event}
        if self._pads and event["type"].endswith(".delta"):
            numbered["obfuscation"] = padding()
        self._number += 1
        return b"event: %b\ndata: %b\n\n" % (event["type"].encode(), orjson.dumps(numbered))
