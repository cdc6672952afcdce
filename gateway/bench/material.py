"""What requests are made of: texts, sounds and pictures of one seed; knows no task."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from functools import cached_property

from gateway.bench.media import patchwork, song
from gateway.bench.prose import Prose
from gateway.tasks.audio_header import seconds


@dataclass(frozen=True)
class Material:
    """Number n of everything differs from all other numbers; `audio` is a file to send in place of made-up sound."""

    seed: int
    max_tokens: int = 128
    audio: bytes | None = None

    @cached_property
    def prose(self) -> Prose:
        """The texts."""
        return Prose(self.seed)

    def sound(self, number: int) -> tuple[bytes, float]:
        """An audio file, and how many seconds it lasts by its header."""
        clip = self.audio if self.audio is not None else song(self.seed, number)
        return clip, seconds(clip)

    def picture(self, number: int) -> bytes:
        """A PNG file."""
        return patchwork(self.seed, number)


def in_base64(data: bytes) -> str:
    """As it stands in JSON."""
    return base64.b64encode(data).decode()
