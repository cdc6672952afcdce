"""How much of everything that can have a price one answer took; knows no price and no task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gateway.tasks.image_header import Size


@dataclass(frozen=True, slots=True)
class Amounts:
    """What went in and came out. None is what the task does not tell, which is not the same as nothing.

    `live_audio_s` is the sound of a live session, and no part of `audio_s`.
    Cached tokens are among the input's; sizes are (width, height) in pixels, `references` those of the images that a
    picture is made after.
    """

    input_tokens: int | None = None
    cached_tokens: int = 0
    output_tokens: int | None = None
    audio_s: float | None = None
    live_audio_s: float | None = None
    characters: int | None = None
    images: int | None = None
    steps: int | None = None
    picture: Size | None = None
    references: tuple[Size, ...] = ()


def tokens(_input: Any, output: Any) -> Amounts:
    """The tokens that the `usage` of an engine's output, or of a stream's last piece, has counted."""
    usage = getattr(output, "usage", None)
    if usage is None:
        return Amounts()
    return Amounts(
        input_tokens=usage.prompt_tokens, cached_tokens=usage.cached_tokens, output_tokens=usage.completion_tokens
    )
