"""The tokens that a transducer emits as words with their times; knows no model and no audio."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tokenizers.decoders import DecodeStream

from gateway.tasks.transcript import Word


@dataclass(frozen=True, slots=True)
class Emission:
    """A token, the encoder's frame in which it was emitted, and how probable it was."""

    token: int
    frame: int
    probability: float


@dataclass(frozen=True, slots=True)
class Frames:
    """Where the frames of an utterance are in time; none is later than `end_s`."""

    start_s: float
    each_s: float
    end_s: float

    def time_s(self, frame: int) -> float:
        """Where a frame begins, in whole milliseconds."""
        return min(round(self.start_s + frame * self.each_s, 3), math.floor(self.end_s * 1000) / 1000)


def words_of(emissions: Sequence[Emission], processor: Any, frames: Frames) -> list[tuple[Word, float]]:
    """The words, with the mean probability of their tokens; times never run backwards.

    A token belongs to the word before it unless its text begins with a space. `processor` is the model's own, whose
    blanks and paddings are no text.
    """
    found: list[tuple[Word, float]] = []
    last_s = 0.0
    for text, tokens in _grouped(emissions, processor):
        start_s = max(last_s, frames.time_s(tokens[0].frame))
        last_s = max(start_s, frames.time_s(tokens[-1].frame + 1))
        sure = sum(token.probability for token in tokens) / len(tokens)
        found.append((Word(word=text, start=start_s, end=last_s), sure))
    return found


def _grouped(emissions: Sequence[Emission], processor: Any) -> Iterator[tuple[str, list[Emission]]]:
    """The texts of the words and their tokens."""
    silent = {processor.tokenizer.pad_token_id, processor.blank_token_id}
    stream, text, tokens = DecodeStream(skip_special_tokens=True), "", list[Emission]()
    for emission in emissions:
        if emission.token in silent:
            continue
        piece = stream.step(processor.tokenizer.backend_tokenizer, emission.token) or ""
        if piece.startswith(" ") and text.strip():
            yield text.strip(), tokens
            text, tokens = "", []
        text += piece
        tokens.append(emission)
    if text.strip():
        yield text.strip(), tokens
