"""What answering a request takes, in units that its task is measured in; knows no request and no bound."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

# Tokens are those read and those that may be written; pixel-steps those drawn, times the steps of drawing them.
Unit = Literal["tokens", "characters", "audio_seconds", "pixels", "pixel_steps"]
Cost = Mapping[Unit, int]

CHARACTERS_PER_TOKEN = 4


def tokens_of(texts: Iterable[str]) -> int:
    """About how many tokens `texts` are, with the two that models put around each."""
    return sum(2 + len(text) // CHARACTERS_PER_TOKEN for text in texts)
