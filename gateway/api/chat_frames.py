"""The frames of a streamed chat completion, as OpenAI's clients expect them; knows no engine."""

from __future__ import annotations

from typing import Any

from gateway.api.envelope import error_body
from gateway.api.frames import DONE, frame, padding
from gateway.errors import GatewayError
from gateway.tasks import Origin, Piece, Usage
from gateway.tasks.chat_answer import finish_reason, head, logprobs_object
from gateway.tasks.chat_completion import ChatCompletionInput
from gateway.tasks.custom_text import CustomCalls
from gateway.tasks.pieces import ToolCallDelta


def call_delta(delta: ToolCallDelta) -> dict[str, Any]:
    """An increment of a tool call: only the first of a call says which it is."""
    kind, key = ("custom", "input") if delta.is_custom else ("function", "arguments")
    if delta.id is None and delta.name is None:
        return {"index": delta.index, kind: {key: delta.arguments}}
    called = {"name": delta.name, key: delta.arguments}
    return {"index": delta.index, "id": delta.id, "type": kind, kind: called}


class ChatFrames:
    """Chunks as OpenAI's clients expect them: one id, a role first, one finish reason per choice, counts if wanted."""

    def __init__(self, input: Any, origin: Origin) -> None:
        self._head = head(origin, "chat.completion.chunk")
        asked = isinstance(input, ChatCompletionInput)
        self._is_legacy = asked and input.is_legacy
        self._reports = asked and input.logprobs
        # OpenAI's chunks all have the counts if any has them: as null until the last.
        self._counts: dict[str, Any] = {"usage": None} if asked and input.wants_usage else {}
        options = input.stream_options if asked else None
        self._pads = options is None or options.include_obfuscation is not False
        self._customs = CustomCalls(input.customs if asked else ())
        self._opened: set[int] = set()
        self._calling: set[int] = set()

    def write(self, piece: Piece) -> bytes:
        """The chunks of a piece."""
        frames = b""
        piece = self._customs.read(piece)
        if piece.index not in self._opened:
            self._opened.add(piece.index)
            frames = self.opening(piece)
        delta = self._delta(piece)
        if delta or (piece.logprobs and self._reports):
            frames += self.chunk(piece, delta)
        if piece.finish_reason is not None:
            calls = piece.index in self._calling
            frames += self.ending(piece, finish_reason(piece.finish_reason, calls=calls, legacy=self._is_legacy))
        return frames + (self.closing(piece.usage or Usage()) if piece.is_last else b"")

    def fail(self, error: GatewayError, request_id: str) -> bytes:
        """The error envelope, with what OpenAI's clients read beside it."""
        return b"data: %b\n\n" % error_body(error, request_id, openai=True)

    def opening(self, piece: Piece) -> bytes:
        """The first chunk of a choice."""
        return self.framed([self.choice(piece, {"role": "assistant", "content": ""})])

    def chunk(self, piece: Piece, delta: dict[str, Any]) -> bytes:
        """What a piece adds to its choice."""
        reports = logprobs_object(piece.logprobs) if self._reports else None
        return self.framed([self.choice(piece, delta) | {"logprobs": reports}])

    def ending(self, piece: Piece, reason: str) -> bytes:
        """The last chunk of a choice."""
        return self.framed([self.choice(piece, {}) | {"finish_reason": reason}])

    def closing(self, usage: Usage) -> bytes:
        """What follows the last choice."""
        counts = self.framed([], usage=usage.as_dict()) if self._counts else b""
        return counts + DONE

    def choice(self, piece: Piece, delta: dict[str, Any]) -> dict[str, Any]:
        """A choice of a chunk."""
        return {"index": piece.index, "delta": delta, "logprobs": None, "finish_reason": None}

    def framed(self, choices: list[dict[str, Any]], **more: Any) -> bytes:
        """One chunk."""
        pad = {"p": padding()} if self._pads else {}
        return frame({**self._head, "choices": choices, **self._counts, **more, **pad})

    def _delta(self, piece: Piece) -> dict[str, Any]:
        delta: dict[str, Any] = {}
        if piece.reasoning:
            delta["reasoning_content"] = piece.reasoning
        if piece.text:
            delta["content"] = piece.text
        if piece.tool_calls:
            self._calling.add(piece.index)
            delta |= self._calls(piece.tool_calls)
        return delta

    def _calls(self, deltas: list[ToolCallDelta]) -> dict[str, Any]:
        if not self._is_legacy:
            return {"tool_calls": [call_delta(delta) for delta in deltas]}
        functions = [call_delta(delta)["function"] for delta in deltas if delta.index == 0]
        if not functions:
            return {}
        named = {key: value for function in functions for key, value in function.items()}
        return {"function_call": named | {"arguments": "".join(part["arguments"] for part in functions)}}
