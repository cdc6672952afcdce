"""The size an image file declares, read from its first bytes without decoding anything; knows no task."""

from __future__ import annotations

import struct
from collections.abc import Callable

Size = tuple[int, int]

MAX_JPEG_SEGMENTS = 4096
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_BARE = frozenset({0x01, *range(0xD0, 0xD8)})
_JPEG_ENDS = frozenset({0xD9, 0xDA})


def measure(data: bytes) -> Size | None:
    """Width and height in pixels that a PNG, JPEG, GIF, BMP or WebP file declares; None for anything else.

    A file may lie: a decoder has to check what it finds as well.
    """
    for magic, read in _READERS:
        if data.startswith(magic):
            try:
                size = read(data)
            except struct.error:
                return None
            return size if size is not None and min(size) > 0 else None
    return None


def media_type(data: bytes) -> str | None:
    """The media type of a file whose size `measure` can tell; None for anything else."""
    if measure(data) is None:
        return None
    return next(kind for magic, kind in _MEDIA_TYPES.items() if data.startswith(magic))


def _png(data: bytes) -> Size | None:
    kind, width, height = struct.unpack_from(">4sII", data, 12)
    return (width, height) if kind == b"IHDR" else None


def _gif(data: bytes) -> Size:
    width, height = struct.unpack_from("<HH", data, 6)
    return width, height


def _bmp(data: bytes) -> Size:
    (header_bytes,) = struct.unpack_from("<I", data, 14)
    width, height = struct.unpack_from("<HH" if header_bytes == 12 else "<ii", data, 18)
    return width, abs(height)


def _webp(data: bytes) -> Size | None:
    """The three kinds of first chunk: RFC 9649, sections 2.5 to 2.7."""
    form, chunk = struct.unpack_from("<4s4s", data, 8)
    if form != b"WEBP":
        return None
    match chunk:
        case b"VP8X":
            wide, tall = data[24:27], data[27:30]
            return (1 + int.from_bytes(wide, "little"), 1 + int.from_bytes(tall, "little")) if tall else None
        case b"VP8L":
            signature, bits = struct.unpack_from("<BI", data, 20)
            return (1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)) if signature == 0x2F else None
        case b"VP8 ":
            start, width, height = struct.unpack_from("<3sHH", data, 23)
            return (width & 0x3FFF, height & 0x3FFF) if start == b"\x9d\x01\x2a" else None
        case _:
            return None


def _jpeg(data: bytes) -> Size | None:
    """The first frame header (ITU T.81, B.2.2), within a bounded number of segments."""
    at = 2
    for _ in range(MAX_JPEG_SEGMENTS):
        prefix, marker = struct.unpack_from(">BB", data, at)
        if prefix != 0xFF or marker in _JPEG_ENDS:
            return None
        if marker in _JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", data, at + 5)
            return width, height
        if marker == 0xFF:  # a fill byte
            at += 1
        elif marker in _JPEG_BARE:
            at += 2
        else:
            at += 2 + struct.unpack_from(">H", data, at + 2)[0]
    return None


_READERS: tuple[tuple[bytes, Callable[[bytes], Size | None]], ...] = (
    (b"\x89PNG\r\n\x1a\n", _png),
    (b"\xff\xd8\xff", _jpeg),
    (b"GIF87a", _gif),
    (b"GIF89a", _gif),
    (b"BM", _bmp),
    (b"RIFF", _webp),
)
_MEDIA_TYPES = {
    b"\x89PNG": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF8": "image/gif",
    b"BM": "image/bmp",
    b"RIFF": "image/webp",
}
