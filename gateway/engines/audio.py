"""Encoded audio of unknown origin as samples, within bounds; knows no model and opens nothing but the bytes given."""

from __future__ import annotations

import ctypes
import io
from collections.abc import Iterator
from itertools import accumulate
from typing import Any, NoReturn

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import InputContainer
from numpy.typing import NDArray

from gateway.errors import BadInput

MAX_SECONDS = 3600.0
RATES_HZ = range(4_000, 384_001)
MAX_FRAME_SAMPLES = 1 << 20
MAX_CHANNELS = 8
MAX_TRACKS = 8
# What a few hundred bytes of MP4 may claim for each of two tracks; more tracks share the same sum.
MAX_TABLE_BYTES = 16 << 20

# Demuxers that read one self-contained file: no playlists, no concatenation, no images, no raw or guessed formats.
_DEMUXERS = "wav,w64,mp3,ogg,flac,mov,matroska,aac,aiff,amr,caf,au,wv,asf"
_CODECS = frozenset(
    name
    for name in av.codecs_available
    if name.startswith("pcm_")
    or name in {"mp3", "mp3float", "mp2", "mp2float", "aac", "aac_fixed", "opus", "libopus", "vorbis", "flac", "alac"}
    or name in {"amrnb", "amrwb", "libopencore_amrnb", "libopencore_amrwb", "adpcm_ms", "adpcm_ima_wav", "wavpack"}
    or name in {"wmav1", "wmav2", "gsm", "gsm_ms", "speex", "libspeex"}
)
_CONTAINER_OPTIONS = {
    "format_whitelist": _DEMUXERS,
    "codec_whitelist": ",".join(sorted(_CODECS)),
    "protocol_whitelist": "",
    "max_streams": str(MAX_TRACKS),
}
_limit_blocks = ctypes.CDLL(av._core.__file__).av_max_alloc
_limit_blocks.argtypes, _limit_blocks.restype = [ctypes.c_size_t], None
_limit_blocks(MAX_TABLE_BYTES)


def _refuse(url: str, *_: Any) -> NoReturn:
    raise PermissionError("the file refers to another one")


def decode(
    data: bytes, rate_hz: int = 16_000, max_seconds: float = MAX_SECONDS, field: str = "/audio"
) -> NDArray[np.float32]:
    """The first audio track of `data` as mono samples in [-1, 1] at `rate_hz`, shape (samples,).

    A damaged file yields what can be decoded of it. Memory stays within a few times the answer's size, whatever
    the file's header says. Raises `BadInput` naming `field` if `data` is no known audio format, has no audio
    track or more than `MAX_TRACKS` of any kind, yields no sample, or lasts longer than `max_seconds`.
    """
    mono: NDArray[np.float32] = _decode(data, rate_hz, max_seconds, field, "mono")[0]
    return mono


def decode_channels(
    data: bytes, rate_hz: int = 16_000, max_seconds: float = MAX_SECONDS, field: str = "/audio"
) -> NDArray[np.float32]:
    """Like `decode`, with every channel for itself, shape (channels, samples); all together last `max_seconds`.

    Raises `BadInput` also for more than `MAX_CHANNELS`.
    """
    return _decode(data, rate_hz, max_seconds, field, None)


def _decode(data: bytes, rate_hz: int, max_seconds: float, field: str, layout: str | None) -> NDArray[np.float32]:
    """Samples, shape (channels, samples), in `layout`, or in the track's own."""
    samples, channels = bytearray(), 1
    limit_bytes = 2 * int(max_seconds * rate_hz)
    try:
        _admit_tracks(data)
        _admit_length(data, max_seconds)
        with _opened(data) as container:
            stream = _track(container, field)
            for frame in _resampled(_frames(container, stream, max_seconds), rate_hz, layout):
                channels = frame.layout.nb_channels
                if channels > MAX_CHANNELS:
                    raise BadInput(f"'{field}' must not have more than {MAX_CHANNELS} channels")
                samples += bytes(frame.planes[0])[: 2 * channels * frame.samples]
                if len(samples) > limit_bytes:
                    raise _TooLong
    except _TooLong:
        raise BadInput(f"'{field}' must not last longer than {max_seconds / channels:g} seconds") from None
    except (av.FFmpegError, ValueError, PermissionError, MemoryError) as error:
        if not samples:
            raise BadInput(_fault(error, field)) from None
    if not samples:
        raise BadInput(f"'{field}' holds no audio that can be decoded")
    audio = np.frombuffer(samples, dtype=np.int16).reshape(-1, channels).T.astype(np.float32, order="C")
    audio /= 32768.0
    return audio


def _fault(error: Exception, field: str) -> str:
    if isinstance(error, MemoryError):
        return f"'{field}' must not have more than {MAX_TRACKS} tracks, nor {MAX_TABLE_BYTES >> 19} MiB of tables"
    return f"'{field}' is not audio in a known format"


class _TooLong(Exception):
    """More audio than was asked for."""


def _admit_tracks(data: bytes) -> None:
    """Cap every single allocation of FFmpeg by the number of tracks; raises `MemoryError` for too many of them.

    A few hundred bytes of MP4 can claim tables of gigabytes for each track (ISO 14496-12, `trak`); what is compressed
    (QuickTime, `cmov`) may hold as many as are allowed.
    """
    tracks = MAX_TRACKS if b"cmov" in data else data.count(b"trak")
    if tracks > MAX_TRACKS:
        raise MemoryError
    _limit_blocks(2 * MAX_TABLE_BYTES // max(2, tracks))


def _opened(data: bytes) -> InputContainer:
    return av.open(
        io.BytesIO(data), "r", container_options=_CONTAINER_OPTIONS, io_open=_refuse, metadata_errors="ignore"
    )


def _track(container: InputContainer, field: str) -> AudioStream:
    stream = container.streams.best("audio")
    if not isinstance(stream, AudioStream):
        raise BadInput(f"'{field}' has no audio track")
    return stream


def _admit_length(data: bytes, max_seconds: float) -> None:
    """Raise `_TooLong` if the file's packets say so themselves: hours of silence need not be decoded to be refused."""
    with _opened(data) as container:
        stream = container.streams.best("audio")
        if not isinstance(stream, AudioStream) or stream.time_base is None:
            return
        most = (max_seconds + 1) / stream.time_base
        try:
            for length in accumulate(packet.duration or 0 for packet in container.demux(stream)):
                if length > most:
                    raise _TooLong
        except av.FFmpegError:
            return  # what there is before the damage is heard


def _frames(container: InputContainer, stream: AudioStream, max_seconds: float) -> Iterator[AudioFrame]:
    """Decoded frames in their own format; packets that cannot be decoded are left out."""
    context = stream.codec_context
    if context is None or context.name not in _CODECS:
        raise ValueError("no decoder for this track")
    context.options = {"max_samples": str(MAX_FRAME_SAMPLES)}
    seconds = 0.0
    for packet in container.demux(stream):
        try:
            frames = packet.decode()
        except av.FFmpegError:
            continue
        for frame in frames:
            if frame.sample_rate not in RATES_HZ:
                raise ValueError("sample rate out of range")
            seconds += frame.samples / frame.sample_rate
            if seconds > max_seconds + 1:
                raise _TooLong
            frame.pts = None
            yield frame


def _resampled(frames: Iterator[AudioFrame], rate_hz: int, layout: str | None) -> Iterator[AudioFrame]:
    """Frames as 16-bit samples at `rate_hz`, channel beside channel, in `layout` or in that of the first frame.

    The source's format may change on the way, as in chained Ogg.
    """
    resampler: AudioResampler | None = None
    current: tuple[str, str, int] | None = None
    for frame in frames:
        source = (frame.format.name, frame.layout.name, frame.sample_rate)
        if resampler is None or source != current:
            if resampler is not None:
                yield from resampler.resample(None)
            layout = layout or frame.layout.name
            resampler, current = AudioResampler(format="s16", layout=layout, rate=rate_hz), source
        yield from resampler.resample(frame)
    if resampler is not None:
        yield from resampler.resample(None)
