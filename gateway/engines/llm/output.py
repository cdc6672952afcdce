"""Reads what a model writes, as it writes it, into what a caller gets; knows no tokens and no model."""

from __future__ import annotations

from typing import Protocol

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
