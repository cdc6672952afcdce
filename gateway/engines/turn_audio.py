"""A turn's sound as a recogniser of ends wants it: the last seconds, mono at 16 kHz; knows no model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gateway.engines.audio import decode
from gateway.errors import BadInput
from gateway.tasks.audio_header import mp3_frame_bytes
from gateway.tasks.turn_detection import RATE_HZ, TurnInput

# A turn is judged by its end, but a file must be read from its beginning.
MAX_FILE_SECONDS = 600.0
_MARKS = (b"RIFF", b"riff", b"OggS", b"fLaC", b"ID3", b"FORM", b"caff", b".snd", b"#!AMR", b"wvpk")
_BINARY_MARKS = (b"\x1a\x45\xdf\xa3", b"\x30\x26\xb2\x75\x8e\x66\xcf\x11")  # Matroska and ASF


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
    """Whether the bytes say themselves what they are: by a mark, or as two frames of MP3 or AAC one after the other."""
    if audio.startswith((*_MARKS, *_BINARY_MARKS)) or audio[4:8] == b"ftyp":
        return True
    length = _frame_bytes(audio, 0)
    return length is not None and _frame_bytes(audio, length) is not None


def _frame_bytes(audio: bytes, at: int) -> int | None:
    """The length of the MP3 or ADTS frame (ISO 13818-7, 6.2) that begins there; None if none does."""
    head = int.from_bytes(audio[at : at + 8].ljust(8, b"\0"))
    if head >> 52 == 0xFFF and head >> 49 & 3 == 0:
        return head >> 21 & 0x1FFF or None
    return mp3_frame_bytes(head >> 32)
