"""The longer series of frames that the run route sends for the chat.completion families; knows no engine."""

from __future__ import annotations

from typing import Any

from gateway.api.chat_frames import ChatFrames
from gateway.api.envelope import error_body
from gateway.api.frames import DONE, tail_frame
from gateway.errors import GatewayError
from gateway.tasks import Origin, Piece, Usage
from gateway.tasks.chat_answer import head, logprobs_object


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
        delta = {"role": "assistant", "content": "", "reasoning_content": None}
        return self.framed([self.choice(piece, delta)], usage=self._new(self._told.completion_tokens).as_dict())

    def chunk(self, piece: Piece, delta: dict[str, Any]) -> bytes:
        """What a piece adds, and what it cost."""
        reports = logprobs_object(piece.logprobs) if self._reports else None
        choice = self.choice(piece, {"reasoning_content": None, **delta}) | {"logprobs": reports}
        return self.framed([choice], usage=self._new(self._known.completion_tokens).as_dict())

    def ending(self, piece: Piece, reason: str) -> bytes:
        """The last chunk of a choice."""
        told = {"finish_reason": reason, "matched_stop": piece.stop}
        return self.framed(
            [self.choice(piece, {"reasoning_content": None}) | told],
            usage=self._new(self._known.completion_tokens).as_dict(),
        )

    def closing(self, usage: Usage) -> bytes:
        """All counts in both forms; the neurons only in the last."""
        return self.framed([], usage=usage.as_dict(with_neurons=False)) + tail_frame(usage) + DONE

    def choice(self, piece: Piece, delta: dict[str, Any]) -> dict[str, Any]:
        """A choice of a chunk, in the words of these models."""
        return {"delta": delta, "finish_reason": None, "index": piece.index, "logprobs": None, "matched_stop": None}

    def fail(self, error: GatewayError, request_id: str) -> bytes:
        """The error envelope."""
        return b"data: %b\n\n" % error_body(error, request_id)

    def _new(self, completion_tokens: int) -> Usage:
        """What no chunk has told of yet, of the prompt and of the answer's first `completion_tokens`."""
        known, told = self._known, self._told
        new = Usage(
            known.prompt_tokens - told.prompt_tokens,
            completion_tokens - told.completion_tokens,
            known.cached_tokens - told.cached_tokens,
        )
        self._told = Usage(known.prompt_tokens, completion_tokens, known.cached_tokens)
        return new


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
        known = {"index": piece.index, "text": delta.get("content", "")}
        if delta.get("reasoning_content"):
            known["reasoning_content"] = delta["reasoning_content"]
        return known | {"finish_reason": None, "stop_reason": None, "logprobs": None}

    def ending(self, piece: Piece, reason: str) -> bytes:
        """The last chunk."""
        told = {"finish_reason": reason, "stop_reason": piece.stop}
        return self.framed([self.choice(piece, {}) | told], usage=self._new(self._known.completion_tokens).as_dict())
