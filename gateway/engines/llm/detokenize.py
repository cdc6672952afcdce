"""Turns a growing sequence of tokens into text that only ever grows; knows no tokenizer library."""

from __future__ import annotations

from collections.abc import Callable, Sequence

Decode = Callable[[Sequence[Sequence[int]]], list[str]]

UNFINISHED = "\ufffd"
# The first bytes of a UTF-8 character are at most three, and decoders show each of them or all as one mark.
MAX_UNFINISHED = 3
WINDOW_TOKENS, KEPT_TOKENS = 24, 8


class Detokenizer:
    """One stream's text. A character that its next token may still complete is held back, never shown broken.

    Only a window of recent tokens is decoded at each step, so a step costs the same at any length: the text of
    the window's earlier decoding is what was given out, and the rest is new. `KEPT_TOKENS` is more than one
    character's bytes, so cutting the window cannot hide what a pending character waits for.
    """

    def __init__(self, decode: Decode) -> None:
        self._decode = decode
        self._window: list[int] = []
        self._given = 0

    def push(self, tokens: Sequence[int]) -> list[int]:
        """Add tokens; the ids whose decoding `text` then wants."""
        if len(self._window) > WINDOW_TOKENS:
            self._window = self._window[-KEPT_TOKENS:]
            (text,) = self._decode([self._window])
            self._given = len(_finished(text))
        self._window.extend(tokens)
        return self._window

    def text(self, decoded: str) -> str:
        """What is new in `decoded`, the text of the window."""
        finished = _finished(decoded)
        new = finished[self._given :]
        self._given = max(self._given, len(finished))
        return new


def _finished(text: str) -> str:
    held = len(text) - len(text.rstrip(UNFINISHED))
    return text[: len(text) - min(held, MAX_UNFINISHED)] if held else text
