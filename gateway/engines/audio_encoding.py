"""Samples as an encoded audio file or stream (docs/api.md); knows no model and no request."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from numpy.typing import NDArray

from gateway.errors import BadInput
from gateway.tasks.text_to_speech import AudioFormat, Container

_BLOCK_SAMPLES = 1 << 14
_PROMPT_MUXERS = {"ogg": {"page_duration": "200000"}}  # microseconds; otherwise a page holds a second of sound
_LIBOPUS_MONO_LIMIT = 256_000  # bit/s; the contract allows more, libopus does not


@dataclass(frozen=True, slots=True)
class _Codec:
    """What one encoding can be: the first container, rate and bit rate are its defaults."""

    name: str
    sample_format: str
    containers: dict[Container, tuple[str, str]]
    rates_hz: tuple[int, ...]
    bit_rate: int | None = None
    bit_rates: range | tuple[int, ...] = ()


def _raw_or_wav(name: str, muxer: str, media: str, rates_hz: tuple[int, ...]) -> _Codec:
    raw = (muxer, f"{media};rate={{rate}};channels=1")
    return _Codec(name, "s16", {"wav": ("wav", "audio/wav"), "none": raw}, rates_hz)


_LINEAR_RATES_HZ, _TELEPHONE_RATES_HZ = (24_000, 8_000, 16_000, 32_000, 48_000), (8_000, 16_000)
_FLAC_RATES_HZ = (48_000, 8_000, 16_000, 22_050, 32_000)
_CODECS = {
    "linear16": _raw_or_wav("pcm_s16le", "s16le", "audio/l16", _LINEAR_RATES_HZ),
    "mulaw": _raw_or_wav("pcm_mulaw", "mulaw", "audio/mulaw", _TELEPHONE_RATES_HZ),
    "alaw": _raw_or_wav("pcm_alaw", "alaw", "audio/alaw", _TELEPHONE_RATES_HZ),
    "mp3": _Codec("libmp3lame", "s16p", {"none": ("mp3", "audio/mpeg")}, (22_050,), 48_000, (32_000, 48_000)),
    "opus": _Codec("libopus", "s16", {"ogg": ("ogg", "audio/ogg")}, (48_000,), 12_000, range(4_000, 650_001)),
    "flac": _Codec("flac", "s16", {"none": ("flac", "audio/flac")}, _FLAC_RATES_HZ),
    "aac": _Codec("aac", "fltp", {"none": ("adts", "audio/aac")}, (22_050,), 48_000, range(4_000, 192_001)),
}


def _listed(allowed: Sequence[Any]) -> str:
    if isinstance(allowed, range):
        return f"from {allowed[0]} to {allowed[-1]}"
    return " or ".join(map(str, allowed)) or "absent"


def check(audio: AudioFormat) -> None:
    """Raise `BadInput` naming the field that the encoding does not allow (Deepgram's table of combinations)."""
    codec = _CODECS[audio.encoding]
    asked = (("container", tuple(codec.containers)), ("sample_rate", codec.rates_hz), ("bit_rate", codec.bit_rates))
    for field, allowed in asked:
        value = getattr(audio, field)
        if value is not None and value not in allowed:
            raise BadInput(f"'/{field}' of encoding {audio.encoding} must be {_listed(allowed)}")


def encode(samples: NDArray[np.int16] | NDArray[np.float32], rate_hz: int, audio: AudioFormat) -> tuple[bytes, str]:
    """Mono `samples`, shape (n,), int16 or float32 in [-1, 1], at `rate_hz`, as `audio` asks; and the media type.

    Raises `BadInput` as `check` does.
    """
    encoder = Encoder(rate_hz, audio, is_whole=True)
    encoder.add(samples)
    return encoder.finish(), encoder.media_type


class Sink:
    """Where encoded bytes go that are handed on at once: what has left cannot be rewritten, so it cannot seek."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def write(self, data: bytes) -> int:
        """Take in what the muxer gives."""
        self._bytes += data
        return len(data)

    def take(self) -> bytes:
        """What came since the last time."""
        data = bytes(self._bytes)
        self._bytes.clear()
        return data


class Encoder:
    """Encodes samples as they come; what `add` and `finish` give is, put together, one file or stream.

    With `is_whole`, all comes at the end, and headers tell the length and what players must skip. Otherwise nothing
    is ever rewritten: a WAV header then claims the greatest length there is.
    """

    def __init__(self, rate_hz: int, audio: AudioFormat, *, is_whole: bool = False) -> None:
        """For mono samples at `rate_hz`; raises `BadInput` as `check` does."""
        check(audio)
        codec = _CODECS[audio.encoding]
        first = next(iter(codec.containers.values()))
        muxer, media_type = codec.containers[audio.container] if audio.container else first
        target_hz = audio.sample_rate or codec.rates_hz[0]
        self.media_type = media_type.format(rate=target_hz)
        self._rate_hz = rate_hz
        self._file = io.BytesIO() if is_whole else Sink()
        # Packets are passed on one by one: in the muxer's buffer they would wait for 32 kB of company.
        prompt = {"flush_packets": "1", **_PROMPT_MUXERS.get(muxer, {})}
        self._out = av.open(self._file, "w", format=muxer, options=prompt)
        stream = self._out.add_stream(codec.name, rate=target_hz)
        assert isinstance(stream, AudioStream)
        stream.codec_context.layout, stream.codec_context.format = "mono", codec.sample_format
        if codec.bit_rate is not None:
            stream.codec_context.bit_rate = min(audio.bit_rate or codec.bit_rate, _LIBOPUS_MONO_LIMIT)
        self._stream = stream

    def add(self, samples: NDArray[np.int16] | NDArray[np.float32]) -> bytes:
        """What `samples`, shape (n,), int16 or float32 in [-1, 1], bring; possibly nothing yet."""
        for start in range(0, len(samples), _BLOCK_SAMPLES):
            self._out.mux(self._stream.encode(_frame(samples[start : start + _BLOCK_SAMPLES], self._rate_hz)))
        return self._file.take() if isinstance(self._file, Sink) else b""

    def finish(self) -> bytes:
        """What was held back, and the end."""
        self._out.mux(self._stream.encode(None))
        self._out.close()
        return self._file.take() if isinstance(self._file, Sink) else self._file.getvalue()


def _frame(samples: NDArray[Any], rate_hz: int) -> AudioFrame:
    format = "s16" if samples.dtype == np.int16 else "flt"
    frame = AudioFrame.from_ndarray(np.ascontiguousarray(samples[None, :]), format=format, layout="mono")
    frame.sample_rate = rate_hz
    return frame
