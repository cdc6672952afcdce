"""Small media made of nothing, to ask a freshly loaded model a first question."""

from __future__ import annotations

import io
import wave


def silence(seconds: float, rate_hz: int = 16_000) -> bytes:
    """A mono 16-bit WAV file of silence."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate_hz)
        out.writeframes(bytes(2 * round(seconds * rate_hz)))
    return buffer.getvalue()
