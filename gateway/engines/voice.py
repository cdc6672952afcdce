"""Where somebody speaks, by Silero's voice detector as faster-whisper ships it; knows no words."""

from __future__ import annotations

import numpy as np
from faster_whisper.vad import get_speech_timestamps
from numpy.typing import NDArray

from gateway.tasks.transcript import Span

RATE_HZ = 16_000
SHORTEST_PAUSE_MS = 100


def voice_in(audio: NDArray[np.float32]) -> list[Span]:
    """The stretches of speech in mono samples at `RATE_HZ`, shape (n,), with every pause of 0.1 s told."""
    found = get_speech_timestamps(audio, min_silence_duration_ms=SHORTEST_PAUSE_MS, speech_pad_ms=0)
    return [Span(start=span["start"] / RATE_HZ, end=span["end"] / RATE_HZ) for span in found]
