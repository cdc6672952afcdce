"""Small media made of nothing, to ask a freshly loaded model a first question."""

from __future__ import annotations

import io
import struct
import wave
import zlib


def silence(seconds: float, rate_hz: int = 16_000) -> bytes:
    """A mono 16-bit WAV file of silence."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate_hz)
        out.writeframes(bytes(2 * round(seconds * rate_hz)))
    return buffer.getvalue()


def picture(width: int = 64, height: int = 48) -> bytes:
    """A grey RGB image as a PNG file (W3C PNG, third edition), sizes in pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = (b"\0" + bytes([128]) * 3 * width) * height
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(map(_png_chunk, *zip(*chunks, strict=True)))


def _png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
