"""A turn of speech, and what there is to tell of it; knows neither sound nor a wire protocol."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from gateway.tasks.speech_words import Spoken


@dataclass
class Turn:
    """What one speaker says without a long pause; times in seconds from the session's beginning.

    `settled` are words whose sound is gone, `words` those that may still change. `silence_s` is how long nobody has
    spoken since.
    """

    start_s: float
    end_s: float
    silence_s: float = 0.0
    settled: list[Spoken] = field(default_factory=list)
    words: list[Spoken] = field(default_factory=list)
    has_grown: bool = True


class Reporter(Protocol):
    """What a wire protocol makes of a session's course."""

    async def idle(self, until_s: float) -> None:
        """Sound without speech has come."""

    async def started(self, turn: Turn) -> None:
        """Somebody began to speak, and the first words are known."""

    async def updated(self, turn: Turn) -> None:
        """More of the turn has come, speech or silence."""

    async def settled(self, turn: Turn, words: list[Spoken]) -> None:
        """The turn is long, and these words of it will not change any more."""

    async def ended(self, turn: Turn, *, flushed: bool) -> None:
        """The turn is over, because of a pause or because the caller said so."""
