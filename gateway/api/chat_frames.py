"""The frames of a streamed chat completion, for `/ai/v1` and, in a longer series, `/ai/run`; knows no engine."""

from __future__ import annotations

from typing import Any

from gateway.api.envelope import error_body
from gateway.api.frames import DONE, frame, padding, tail_frame
from gateway.errors import GatewayError
from gateway.tasks import Origin, Piece, Usage
from gateway.tasks.chat_answer import finish_reason, head, logprobs_object
from gateway.tasks.chat_completion import ChatCompletionInput
from gateway.tasks.pieces import ToolCallDelta


def call_delta(delta: ToolCallDelta) -> dict[str, Any]:
    """An increment of a tool call: only the first of a call says which it is."""
    if delta.id is None and delta.name is None:
        return {"index": delta.index, "function": {"arguments": delta.arguments}}
    function = {"name": delta.name, "arguments": delta.arguments}
    return {"index": delta.index, "id": delta.id, "type": "function", "function": function}


class ChatFrames:
    """Chunks as OpenAI's clients expect them: one id, a role first, one finish reason per choice, counts if wanted."""

    def __init__(self, input: Any, origin: Origin) -> None:
        self._head = head(origin, "chat.completion.chunk")
        asked = isinstance(input, ChatCompletionInput)
        self._is_legacy = asked and input.is_legacy
        self._reports = asked and input.logprobs
        self._wants_usage = asked and input.wants_usage
        options = input.stream_options if asked else None
        self._pads = options is None or options.include_obfuscation is not False
        self._opened: set[int] = set()
        self._calling: set[int] = set()

    def write(self, piece: Piece) -> bytes:
        """The chunks of a piece."""
        frames = b""
        if piece.index not in self._opened:
            self._opened.add(piece.index)
            frames = self.opening(piece)
        if delta := self._delta(piece):
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
        counts = self.framed([], usage=usage.as_dict()) if self._wants_usage else b""
        return counts + DONE

    def choice(self, piece: Piece, delta: dict[str, Any]) -> dict[str, Any]:
        """A choice of a chunk."""
        return {"index": piece.index, "delta": delta, "logprobs": None, "finish_reason": None}

    def framed(self, choices: list[dict[str, Any]], **more: Any) -> bytes:
        """One chunk."""
        pad = {"p": padding()} if self._pads else {}
        return frame({**self._head, "choices": choices, **more, **pad})

    def _delta(self, piece: Piece) -> dict[str, Any]:
        delta: dict[str, Any] = {}
        if piece.reasoning:
            delta["reasoning_content"] = piece.reasoning
        if piece.text or (piece.logprobs and self._reports):
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


class RunChatFrames(ChatFrames):
    """The series that the run route sends for these models.

    The counts of a chunk are those of what is new in it, the prompt's in the first; after the choices come a chunk
    with all counts and, for clients of the native family, a frame of theirs.
    """

    def __init__(self, input: Any, origin: Origin) -> None:
        super().__init__(input, origin)
        self._told = Usage()
        self._known = Usage()

    def write(self, piece: Piece) -> bytes:
        """The chunks of a piece, with its counts if the engine told them."""
        self._known = piece.usage or self._known
        return super().write(piece)

    def opening(self, piece: Piece) -> bytes:
        """The first chunk of a choice counts the prompt, and nothing of the answer."""
        new = Usage(self._known.prompt_tokens - self._told.prompt_tokens, 0, self._known.cached_tokens)
        self._told = Usage(self._known.prompt_tokens, self._told.completion_tokens, self._known.cached_tokens)
        delta = {"role": "assistant", "content": "", "reasoning_content": None}
        return self.framed([self.choice(piece, delta)], usage=new.as_dict())

    def chunk(self, piece: Piece, delta: dict[str, Any]) -> bytes:
        """What a piece adds, and what it cost."""
        reports = logprobs_object(piece.logprobs) if self._reports else None
        choice = self.choice(piece, {"reasoning_content": None, **delta}) | {"logprobs": reports}
        return self.framed([choice], usage=self._new().as_dict())

    def ending(self, piece: Piece, reason: str) -> bytes:
        """The last chunk of a choice."""
        told = {"finish_reason": reason, "matched_stop": piece.stop}
        return self.framed([self.choice(piece, {"reasoning_content": None}) | told], usage=self._new().as_dict())

    def closing(self, usage: Usage) -> bytes:
        """All counts in both forms."""
        return self.framed([], usage=usage.as_dict()) + tail_frame(usage) + DONE

    def choice(self, piece: Piece, delta: dict[str, Any]) -> dict[str, Any]:
        """A choice of a chunk, in the words of these models."""
        return {"delta": delta, "finish_reason": None, "index": piece.index, "logprobs": None, "matched_stop": None}

    def fail(self, error: GatewayError, request_id: str) -> bytes:
        """The error envelope."""
        return b"data: %b\n\n" % error_body(error, request_id)

    def _new(self) -> Usage:
        """The answer's tokens that no chunk has told of yet."""
        new = self._known.completion_tokens - self._told.completion_tokens
        self._told = Usage(self._told.prompt_tokens, self._known.completion_tokens, self._told.cached_tokens)
        return Usage(0, new)


class TextFrames(RunChatFrames):
    """The same series for a plain prompt, of the families that answer it with a text_completion."""

    def __init__(self, input: Any, origin: Origin) -> None:
        super().__init__(input, origin)
        self._head = head(origin, "text_completion")

    def opening(self, piece: Piece) -> bytes:
        """There is no role to tell; the prompt is counted with the first text."""
        return b""

    def choice(self, piece: Piece, delta: dict[str, Any]) -> dict[str, Any]:
        """A part of a continuation."""
        text = delta.get("content", "")
        return {"index": piece.index, "text": text, "finish_reason": None, "stop_reason": None, "logprobs": None}

    def ending(self, piece: Piece, reason: str) -> bytes:
        """The last chunk."""
        told = {"finish_reason": reason, "stop_reason": piece.stop}
        return self.framed([self.choice(piece, {}) | told], usage=self._new().as_dict())

    def _new(self) -> Usage:
        prompt = self._known.prompt_tokens - self._told.prompt_tokens
        self._told = Usage(self._known.prompt_tokens, self._told.completion_tokens, self._known.cached_tokens)
        new = super()._new()
        return Usage(prompt, new.completion_tokens, self._known.cached_tokens if prompt else 0)
