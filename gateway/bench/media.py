"""Sounds and pictures to send, each different from the others; knows no task."""

from __future__ import annotations

import random

from gateway.tasks.image_header import media_type
from gateway.tasks.media import png, vowels, wav

CLIP_S, RATE_HZ = 8.0, 16_000
_HEADER_BYTES, _SAMPLE_BYTES = 44, 2
PICTURE_SIDE, _PATCH_SIDE = 512, 32
_AUDIO_TYPES = {b"RIFF": "audio/wav", b"fLaC": "audio/flac", b"OggS": "audio/ogg"}


def song(seed: int, number: int) -> bytes:
    """Clip number n: `CLIP_S` seconds of sung vowels as a WAV file (mono, 16 bit), begun elsewhere in the song."""
    samples = vowels(CLIP_S, RATE_HZ)[_HEADER_BYTES:]
    at = random.Random(f"{seed} {number}").randrange(len(samples) // _SAMPLE_BYTES) * _SAMPLE_BYTES  # noqa: S311
    return wav(samples[at:] + samples[:at], RATE_HZ)


def patchwork(seed: int, number: int) -> bytes:
    """Picture number n: a PNG file of `PICTURE_SIDE` pixels squared, patches of random colours."""
    chance = random.Random(f"{seed} {number}")  # noqa: S311
    count = PICTURE_SIDE // _PATCH_SIDE
    rows = [b"".join(chance.randbytes(3) * _PATCH_SIDE for _ in range(count)) for _ in range(count)]
    return png([row for row in rows for _ in range(_PATCH_SIDE)])


def type_of(file: bytes) -> str:
    """The media type of a picture or, of anything else, of a sound, by its first bytes."""
    return media_type(file) or _AUDIO_TYPES.get(file[:4], "audio/mpeg")
