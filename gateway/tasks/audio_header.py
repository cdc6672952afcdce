"""How long an audio file says it is, read from its first and last bytes without decoding anything; knows no task."""

from __future__ import annotations

import struct
from collections.abc import Callable

# What a second of a file that does not tell is taken for: 32 kbit, little for music and usual for speech.
ASSUMED_BYTES_PER_S = 4_000
# An Ogg page has at most 255 segments of 255 bytes, and a header of up to 282.
_OGG_PAGE_BYTES = 65_307
_OPUS_HZ = 48_000
_MAX_TAGS = 8
_MP3_HZ, _MP3_HALVINGS = (44_100, 48_000, 32_000), {3: 0, 2: 1, 0: 2}
# By whether it is version 1.
_MP3_KBITS = {
    True: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    False: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}


def seconds(data: bytes) -> float:
    """The length that a WAV, FLAC, Ogg or MP3 file declares; of anything else, a guess by its size.

    A file may lie: a decoder has to check what it finds as well.
    """
    for magic, read in _READERS:
        if data.startswith(magic):
            try:
                found = read(data)
            except (struct.error, IndexError, ZeroDivisionError):
                break
            if found is not None:
                return found
            break
    return len(data) / ASSUMED_BYTES_PER_S


def _wav(data: bytes) -> float | None:
    """All that follows the header counts, whatever length it declares: streams declare none."""
    at = data.find(b"fmt ", 12, 4096)
    if data[8:12] != b"WAVE" or at < 0:
        return None
    order = ">" if data.startswith(b"RIFX") else "<"
    (bytes_per_s,) = struct.unpack_from(f"{order}I", data, at + 16)
    start = data.find(b"data", at + 24, 65_536)
    return None if start < 0 else (len(data) - start - 8) / bytes_per_s


def _flac(data: bytes) -> float | None:
    """STREAMINFO: 20 bits of rate, 8 of channels and depth, 36 of samples (RFC 9639, section 8.2); 0 is unknown."""
    (bits,) = struct.unpack_from(">Q", data, 18)
    rate_hz, samples = bits >> 44, bits & (1 << 36) - 1
    return samples / rate_hz if samples else None


def _ogg(data: bytes) -> float | None:
    """The position of the last page, in samples (RFC 3533, section 6)."""
    last = data.rfind(b"OggS", -_OGG_PAGE_BYTES)
    vorbis = data.find(b"\x01vorbis", 0, 512)
    if vorbis >= 0:
        (rate_hz,) = struct.unpack_from("<I", data, vorbis + 12)
    elif data.find(b"OpusHead", 0, 512) >= 0:
        rate_hz = _OPUS_HZ
    else:
        return None
    (samples,) = struct.unpack_from("<q", data, last + 6) if last >= 0 else (0,)
    return samples / rate_hz if samples > 0 else None


def _mp3(data: bytes) -> float | None:
    """The frames that the first one counts or, of a constant rate, what its own says (ISO 11172-3, 2.4.2.3)."""
    start = 0
    for _ in range(_MAX_TAGS):
        if not data.startswith(b"ID3", start):
            break
        a, b, c, d = struct.unpack_from("4B", data, start + 6)
        start += 10 + (a << 21 | b << 14 | c << 7 | d)
    (head,) = struct.unpack_from(">I", data, start)
    if mp3_frame_bytes(head) is None:
        return None
    version, index, rate = head >> 19 & 3, head >> 12 & 15, head >> 10 & 3
    count = next((at for tag in (b"Xing", b"Info") if (at := data.find(tag, start, start + 64)) >= 0), -1)
    if count >= 0 and data[count + 7] & 1:
        (frames,) = struct.unpack_from(">I", data, count + 8)
        return float(frames * (1152 if version == 3 else 576)) / (_MP3_HZ[rate] >> _MP3_HALVINGS[version])
    return (len(data) - start) / (_MP3_KBITS[version == 3][index] * 125)


def mp3_frame_bytes(head: int) -> int | None:
    """How long the MP3 frame with this header is (the first four bytes; ISO 11172-3, 2.4.3.1); None if it is none."""
    version, layer, index, rate, padding = (
        head >> 19 & 3,
        head >> 17 & 3,
        head >> 12 & 15,
        head >> 10 & 3,
        head >> 9 & 1,
    )
    if head >> 21 != 0x7FF or layer != 1 or version == 1 or not 0 < index < 15 or rate == 3:
        return None
    bits = _MP3_KBITS[version == 3][index] * 1000 * (144 if version == 3 else 72)
    return bits // (_MP3_HZ[rate] >> _MP3_HALVINGS[version]) + padding


_READERS: tuple[tuple[bytes, Callable[[bytes], float | None]], ...] = (
    (b"RIFF", _wav),
    (b"RIFX", _wav),
    (b"fLaC", _flac),
    (b"OggS", _ogg),
    (b"ID3", _mp3),
    *((b"\xff" + bytes([second]), _mp3) for second in (0xFB, 0xFA, 0xF3, 0xF2, 0xE3, 0xE2)),
)
