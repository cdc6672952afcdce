"""A turn's sound as a recogniser of ends wants it: the last seconds, mono at 16 kHz; knows no model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gateway.engines.audio import decode
from gateway.errors import BadInput
from gateway.tasks.turn_detection import RATE_HZ, TurnInput

# A turn is judged by its end, but a file must be read from its beginning.
MAX_FILE_SECONDS = 600.0
_FILE_MARKS = ((0, b"RIFF"), (0, b"OggS"), (0, b"fLaC"), (0, b"ID3"), (0, b"\x1a\x45\xdf\xa3"), (4, b"ftyp"))


@dataclass(frozen=True, slots=True)
class Turn:
    """The end of a turn: samples of shape (n,) in [-1, 1], and how long the whole of it is."""

    samples: NDArray[np.float32]
    whole_s: float


def turn_of(input: TurnInput, seconds: float) -> Turn:
    """The last `seconds` of the input's sound. Raises `BadInput` if there is none."""
    if input.dtype == "uint8" and _is_file(input.audio):
        samples = decode(input.audio, RATE_HZ, MAX_FILE_SECONDS)
        return Turn(samples[-round(seconds * RATE_HZ) :], len(samples) / RATE_HZ)
    return Turn(_samples(input, seconds), input.raw_s)


def _samples(input: TurnInput, seconds: float) -> NDArray[np.float32]:
    if input.dtype == "uint8":
        samples = np.frombuffer(input.tail(seconds), "<i2").astype(np.float32) / 32768.0
    else:
        kind = "<f4" if input.dtype == "float32" else "<f8"
        samples = np.frombuffer(input.tail(seconds), kind).astype(np.float32)
    if not len(samples):
        raise BadInput("'/audio' holds not one sample")
    if not np.isfinite(samples).all():
        raise BadInput("'/audio' holds samples that are no finite numbers")
    np.clip(samples, -1.0, 1.0, out=samples)
    return samples


def _is_file(audio: bytes) -> bool:
    return any(audio[at : at + len(mark)] == mark for at, mark in _FILE_MARKS)
