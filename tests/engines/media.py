"""Audio and video files made for tests, well-formed and hostile."""

from __future__ import annotations

import io
import struct
from fractions import Fraction

import av
import numpy as np
from numpy.typing import NDArray

from gateway.engines.audio_encoding import encode
from gateway.tasks.text_to_speech import AudioFormat


def tone(seconds: float, rate_hz: int = 22_050, pitch_hz: float = 440.0) -> NDArray[np.int16]:
    times = np.arange(round(seconds * rate_hz)) / rate_hz
    return (0.3 * np.sin(2 * np.pi * pitch_hz * times) * 32767).astype(np.int16)


def encoded(samples: NDArray[np.int16], encoding: str, rate_hz: int = 22_050) -> bytes:
    return encode(samples, rate_hz, AudioFormat.model_validate({"encoding": encoding}))[0]


def wav(samples: NDArray[np.int16], rate_hz: int, channels: int = 1, claimed_bytes: int | None = None) -> bytes:
    """A WAV file whose header claims `claimed_bytes` of samples (default: the truth)."""
    data = samples.astype("<i2").tobytes()
    size = len(data) if claimed_bytes is None else claimed_bytes
    format = struct.pack("<IHHIIHH", 16, 1, channels, rate_hz, rate_hz * channels * 2, channels * 2, 16)
    return b"RIFF" + struct.pack("<I", min(size + 36, 2**32 - 1)) + b"WAVEfmt " + format + b"data" + struct.pack(
        "<I", size
    ) + data  # fmt: skip


def video(seconds: int, sound: bool) -> bytes:
    """An MP4 film of a black square, with or without a silent sound track."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as out:
        picture = out.add_stream("mpeg4", rate=10)
        picture.width = picture.height = 64
        track = out.add_stream("aac", rate=16_000) if sound else None
        for _ in range(10 * seconds):
            out.mux(picture.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8))))
        out.mux(picture.encode(None))
        if track is not None:
            silence = av.AudioFrame.from_ndarray(np.zeros((1, 16_000 * seconds), np.int16), format="s16", layout="mono")
            silence.sample_rate = 16_000
            out.mux([*track.encode(silence), *track.encode(None)])
    return buffer.getvalue()


def mp3_with_cover(samples: NDArray[np.int16], cover: bytes) -> bytes:
    """An MP3 file that carries `cover` as its picture (ID3v2.3)."""
    picture = b"\0image/png\0\x03\0" + cover
    frame = b"APIC" + struct.pack(">I", len(picture)) + b"\0\0" + picture
    size = bytes(len(frame) >> shift & 127 for shift in (21, 14, 7, 0))
    return b"ID3\x03\0\0" + size + frame + encoded(samples, "mp3")


def mp4_index_bomb(samples: int, tracks: int) -> bytes:
    """An MP4 file of some hundred bytes whose `tracks` claim so many samples each (ISO 14496-12 boxes)."""

    def box(kind: bytes, *content: bytes) -> bytes:
        return struct.pack(">I4s", 8 + sum(map(len, content)), kind) + b"".join(content)

    def full(kind: bytes, *content: bytes, flags: int = 0) -> bytes:
        return box(kind, struct.pack(">I", flags), *content)

    sound = bytes(6) + struct.pack(">H8xHHHHI", 1, 1, 16, 0, 0, 16_000 << 16)
    table = box(
        b"stbl",
        full(b"stsd", struct.pack(">I", 1), box(b"mp4a", sound)),
        full(b"stts", struct.pack(">III", 1, samples, 1024)),
        full(b"stsc", struct.pack(">IIII", 1, 1, samples, 1)),
        full(b"stsz", struct.pack(">II", 1, samples)),
        full(b"stco", struct.pack(">II", 1, 8)),
    )
    media = box(
        b"mdia",
        full(b"mdhd", struct.pack(">IIIIHH", 0, 0, 16_000, 16_000, 0, 0)),
        full(b"hdlr", struct.pack(">I4s12x", 0, b"soun"), b"x\0"),
        box(b"minf", full(b"smhd", bytes(4)), table),
    )
    track = [
        box(b"trak", full(b"tkhd", struct.pack(">IIIII60x", 0, 0, number, 0, 16_000), flags=7), media)
        for number in range(1, tracks + 1)
    ]
    movie = box(b"moov", full(b"mvhd", struct.pack(">IIII80x", 0, 0, 1000, 1000)), *track)
    return box(b"ftyp", b"isom", bytes(4), b"isom") + movie + box(b"mdat", bytes(100))


def long_silence(seconds: int, container: str) -> bytes:
    """That much silence in Opus, of which a minute takes some kilobytes: one packet, again and again."""
    codec = av.CodecContext.create("libopus", "w")
    codec.sample_rate, codec.layout, codec.format, codec.bit_rate = 48_000, "mono", "s16", 6_000
    codec.options = {"frame_duration": "60"}
    silence = av.AudioFrame.from_ndarray(np.zeros((1, 2880), np.int16), format="s16", layout="mono")
    silence.sample_rate = 48_000
    packet = bytes((codec.encode(silence) + codec.encode(None))[0])
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as out:
        track = out.add_stream("libopus", rate=48_000)
        for number in range(seconds * 1000 // 60):
            copy = av.Packet(packet)
            copy.stream, copy.time_base = track, Fraction(1, 48_000)
            copy.pts = copy.dts = number * 2880
            copy.duration = 2880
            out.mux(copy)
    return buffer.getvalue()
