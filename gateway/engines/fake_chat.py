"""A streaming engine without weights: it gives the prompt back word by word."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gateway.engines.base import StreamEngine
from gateway.errors import ContextExceeded, GatewayError
from gateway.tasks import Piece, Usage
from gateway.tasks.generation import Generation

CONTEXT = 8192


class Engine(StreamEngine):
    """Each word counts as a token; every step gives each stream its next word."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._inside: dict[int, tuple[list[str], int, int]] = {}

    def admit(self, id: int, input: Any) -> None:
        """Take in a prompt; raises `ContextExceeded` beyond the row's context window."""
        asked: Generation = input.generation()
        words = (asked.messages[-1].text() if asked.messages else asked.prompt).split()
        limit = self.spec.context_window or CONTEXT
        budget = asked.output_tokens or len(words)
        if len(words) + budget > limit:
            raise ContextExceeded(wanted=len(words) + budget, limit=limit)
        self._inside[id] = (words, 0, budget)

    def step(self) -> Sequence[tuple[int, Piece | GatewayError]]:
        """The next word of every stream."""
        return [(id, self._next(id)) for id in list(self._inside)]

    def _next(self, id: int) -> Piece:
        words, position, budget = self._inside[id]
        position += 1
        self._inside[id] = (words, position, budget)
        text = words[position - 1] if position <= len(words) else ""
        if position < min(len(words), budget):
            return Piece(text=text + " ", usage=Usage(len(words), position))
        del self._inside[id]
        reason = "stop" if position >= len(words) else "length"
        return Piece(text=text, finish_reason=reason, usage=Usage(len(words), min(position, max(len(words), 1))))

    def drop(self, id: int) -> Usage | None:
        """Forget the stream; the words until now."""
        words, position, _ = self._inside.pop(id, ([], 0, 0))
        return Usage(len(words), position)
