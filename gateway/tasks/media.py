"""Small media made of nothing, to ask a freshly loaded model a first question."""

from __future__ import annotations

import io
import math
import struct
import wave
import zlib
from collections.abc import Sequence
from functools import lru_cache

# Formants of a, i and o in Hz (Peterson and Barney, 1952), and how long each rings.
_VOWELS_HZ = ((730, 1090, 2440), (270, 2290, 3010), (570, 840, 2410))
_BANDWIDTHS_HZ = (60, 100, 140)
_PITCH_HZ, _VOWELS_PER_S = 120, 4


@lru_cache
def vowels(seconds: float, rate_hz: int = 16_000) -> bytes:
    """A mono 16-bit WAV file of sung vowels, which a voice detector takes for speech: silence never gets past it."""
    rings = [math.exp(-math.pi * width / rate_hz) for width in _BANDWIDTHS_HZ]
    now, before, samples = [0.0, 0.0, 0.0], [0.0, 0.0, 0.0], []
    for index in range(round(seconds * rate_hz)):
        pulse = float(index % (rate_hz // _PITCH_HZ) == 0)
        formants = _VOWELS_HZ[index * _VOWELS_PER_S // rate_hz % len(_VOWELS_HZ)]
        for number, (ring, formant) in enumerate(zip(rings, formants, strict=True)):
            swing = 2 * ring * math.cos(2 * math.pi * formant / rate_hz)
            now[number], before[number] = pulse + swing * now[number] - ring * ring * before[number], now[number]
        samples.append(now[0] + now[1] / 2 + now[2] / 3)
    loudest = max(map(abs, samples), default=1.0)
    return wav(struct.pack(f"<{len(samples)}h", *(round(20_000 * sample / loudest) for sample in samples)), rate_hz)


def wav(samples: bytes, rate_hz: int, channels: int = 1) -> bytes:
    """A WAV file around 16-bit little-endian samples."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as out:
        out.setnchannels(channels)
        out.setsampwidth(2)
        out.setframerate(rate_hz)
        out.writeframes(samples)
    return buffer.getvalue()


def mulaw(samples: bytes, rate_hz: int, channels: int = 1) -> bytes:
    """A WAV file around G.711 mu-law samples."""
    format = struct.pack("<IHHIIHHH", 18, 7, channels, rate_hz, rate_hz * channels, channels, 8, 0)
    size = struct.pack("<I", len(samples))
    return b"RIFF" + struct.pack("<I", 38 + len(samples)) + b"WAVEfmt " + format + b"data" + size + samples


def picture(width: int = 64, height: int = 48) -> bytes:
    """A grey RGB image as a PNG file, sizes in pixels."""
    return png([bytes([128]) * 3 * width] * height)


def png(rows: Sequence[bytes]) -> bytes:
    """An RGB image as a PNG file (W3C PNG, third edition): a row has three bytes for each pixel."""
    header = struct.pack(">IIBBBBB", len(rows[0]) // 3, len(rows), 8, 2, 0, 0, 0)
    pixels = b"".join(b"\0" + row for row in rows)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(pixels)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(map(_png_chunk, *zip(*chunks, strict=True)))


def _png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
