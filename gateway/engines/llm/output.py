"""Reads what a model writes, as it writes it, into what a caller gets; knows no tokens and no model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from gateway.engines.llm.gains import Gains
from gateway.engines.llm.tape import Reading, Tape
from gateway.tasks import Piece


class Reader(Protocol):
    """One choice's text on its way out: reasoning and tool calls are told apart from the answer's own text.

    Whatever the pieces of text are cut into, the joined result is the same, and no markup is ever part of it.
    """

    def feed(self, text: str) -> Piece:
        """What the new text gives; an empty piece while it is undecided."""

    def end(self, finish_reason: str) -> Piece:
        """What was held back, with the reason that the caller is told."""


class PlainReader:
    """Everything is the answer's text."""

    def feed(self, text: str) -> Piece:
        """The text as it is."""
        return Piece(text=text)

    def end(self, finish_reason: str) -> Piece:
        """Nothing is ever held back."""
        return Piece(finish_reason=finish_reason)


class TapeReader:
    """Reads with a script, a generator over a tape, that says what it finds to its gains.

    At most `most` calls are given. `begun` is what the answer began with in the prompt.
    """

    def __init__(
        self, script: Callable[[Tape, Gains], Reading[None]], most: int | None = None, begun: str = ""
    ) -> None:
        self._tape = Tape()
        self._gains = Gains(most)
        self._script = script(self._tape, self._gains)
        self._tape.add(begun)
        next(self._script, None)

    def feed(self, text: str) -> Piece:
        """What the new text gives."""
        self._tape.add(text)
        next(self._script, None)
        return self._gains.piece()

    def end(self, finish_reason: str) -> Piece:
        """What was held back."""
        self._tape.end(cut=finish_reason == "length")
        next(self._script, None)
        return self._gains.last(finish_reason)
