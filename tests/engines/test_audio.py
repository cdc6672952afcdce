"""Audio files in, samples out, and back: every encoding, damage, disguises and bombs."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from faster_whisper.audio import decode_audio
from PIL import Image

from gateway.engines.audio import decode
from gateway.engines.audio_encoding import encode
from gateway.errors import BadInput
from gateway.tasks.text_to_speech import AudioFormat
from tests.engines import media

RATE_HZ = 16_000
MIB = 1 << 20


def audio_format(**fields: object) -> AudioFormat:
    return AudioFormat.model_validate(fields)


def png(width: int, height: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("asked", "media_type", "rate_hz"),
    [
        ({"encoding": "mp3"}, "audio/mpeg", 22_050),
        ({"encoding": "mp3", "bit_rate": 32_000}, "audio/mpeg", 22_050),
        ({"encoding": "opus"}, "audio/ogg", 48_000),
        ({"encoding": "opus", "container": "ogg", "bit_rate": 650_000}, "audio/ogg", 48_000),
        ({"encoding": "aac"}, "audio/aac", 22_050),
        ({"encoding": "flac"}, "audio/flac", 48_000),
        ({"encoding": "flac", "sample_rate": 8_000}, "audio/flac", 8_000),
        ({"encoding": "linear16"}, "audio/wav", 24_000),
        ({"encoding": "linear16", "sample_rate": 48_000}, "audio/wav", 48_000),
        ({"encoding": "mulaw"}, "audio/wav", 8_000),
        ({"encoding": "alaw", "sample_rate": 16_000}, "audio/wav", 16_000),
    ],
)
@pytest.mark.parametrize("kind", [np.int16, np.float32])
def test_every_file_encoding_decodes_to_what_went_in(
    asked: dict[str, object], media_type: str, rate_hz: int, kind: type
) -> None:
    samples = media.tone(2.0)
    given = samples if kind is np.int16 else samples.astype(np.float32) / 32768
    data, found_type = encode(given, 22_050, audio_format(**asked))
    assert found_type == media_type
    with av.open(io.BytesIO(data)) as container:
        assert container.streams.audio[0].rate == rate_hz
    again = decode(data, RATE_HZ)
    assert len(again) / RATE_HZ == pytest.approx(2.0, abs=0.1)
    assert np.argmax(np.abs(np.fft.rfft(again[:RATE_HZ]))) == pytest.approx(440, abs=2)


@pytest.mark.parametrize(
    ("encoding", "muxer", "rate_hz", "media_type"),
    [
        ("linear16", "s16le", 24_000, "audio/l16;rate=24000;channels=1"),
        ("mulaw", "mulaw", 16_000, "audio/mulaw;rate=16000;channels=1"),
        ("alaw", "alaw", 8_000, "audio/alaw;rate=8000;channels=1"),
    ],
)
def test_a_raw_encoding_is_samples_alone(encoding: str, muxer: str, rate_hz: int, media_type: str) -> None:
    asked = audio_format(encoding=encoding, container="none", sample_rate=rate_hz)
    data, found_type = encode(media.tone(1.0), 22_050, asked)
    assert found_type == media_type
    with av.open(io.BytesIO(data), format=muxer, options={"sample_rate": str(rate_hz)}) as container:
        samples = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
    assert len(samples) == pytest.approx(rate_hz, rel=0.02)
    assert np.argmax(np.abs(np.fft.rfft(samples))) == pytest.approx(440, rel=0.02)


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ({"encoding": "mp3", "container": "wav"}, "'/container' of encoding mp3 must be none"),
        ({"encoding": "opus", "container": "none"}, "'/container' of encoding opus must be ogg"),
        ({"encoding": "linear16", "container": "ogg"}, "'/container' of encoding linear16 must be wav or none"),
        ({"encoding": "mp3", "sample_rate": 48_000}, "'/sample_rate' of encoding mp3 must be 22050"),
        ({"encoding": "mulaw", "sample_rate": 44_100}, "'/sample_rate' of encoding mulaw must be 8000 or 16000"),
        ({"encoding": "mp3", "bit_rate": 64_000}, "'/bit_rate' of encoding mp3 must be 32000 or 48000"),
        ({"encoding": "aac", "bit_rate": 200_000}, "'/bit_rate' of encoding aac must be from 4000 to 192000"),
        ({"encoding": "flac", "bit_rate": 48_000}, "'/bit_rate' of encoding flac must be absent"),
    ],
)
def test_a_combination_the_encoding_lacks_is_refused_by_field(asked: dict[str, object], text: str) -> None:
    with pytest.raises(BadInput) as caught:
        encode(media.tone(0.1), 22_050, audio_format(**asked))
    assert caught.value.detail == text


def test_the_bit_rate_is_obeyed() -> None:
    sizes = [len(encode(media.tone(5.0), 22_050, audio_format(bit_rate=rate))[0]) for rate in (32_000, 48_000)]
    assert sizes[1] / sizes[0] == pytest.approx(1.5, rel=0.1)


def test_decoding_equals_faster_whispers_own() -> None:
    data = media.encoded(media.tone(3.0), "mp3")
    assert np.array_equal(decode(data), decode_audio(io.BytesIO(data)))


def test_stereo_is_mixed_down() -> None:
    left, right = media.tone(1.0, 44_100, 300.0), media.tone(1.0, 44_100, 900.0)
    heard = decode(media.wav(np.stack([left, right], axis=1).ravel(), 44_100, channels=2))
    spectrum = np.abs(np.fft.rfft(heard))
    assert len(heard) == RATE_HZ
    assert sorted(np.argsort(spectrum)[-2:]) == [300, 900]


@pytest.mark.parametrize("encoding", ["mp3", "opus", "flac", "linear16"])
def test_of_a_truncated_file_the_front_is_heard(encoding: str) -> None:
    data = media.encoded(media.tone(8.0), encoding)
    assert 2.0 < len(decode(data[: len(data) // 2])) / RATE_HZ < 6.0


@pytest.mark.parametrize(
    ("data", "seconds"),
    [
        (media.video(2, sound=True), 2.0),
        (media.mp3_with_cover(media.tone(2.0), png(5000, 5000)), 2.0),
        (media.encoded(media.tone(1.0), "opus") * 2, 2.0),
        (media.encoded(media.tone(1.0), "mp3") + media.encoded(media.tone(1.0, 48_000), "mp3", 48_000), 2.0),
        (media.wav(media.tone(1.0, 8_000), 8_000, claimed_bytes=2**32 - 1), 1.0),
        (media.wav(media.tone(1.0, 8_000), 8_000) + b"more bytes than the header says" * 100, 1.0),
    ],
    ids=["film", "cover picture", "chained Ogg", "joined MP3", "WAV of unknown length", "trailing bytes"],
)
def test_unusual_files_are_heard(data: bytes, seconds: float) -> None:
    assert len(decode(data)) / RATE_HZ == pytest.approx(seconds, abs=0.15)


REFUSED = {
    "nothing": b"",
    "one byte": b"\0",
    "zeros": bytes(50_000),
    "random": np.random.default_rng(0).bytes(50_000),
    "text": b"hello world " * 1000,
    "html": b"<!doctype html><html><body>" * 100,
    "picture": png(10, 10),
    "film without sound": media.video(1, sound=False),
    "wav header alone": media.wav(media.tone(1.0), 22_050)[:44],
    "samples without header": media.tone(1.0).tobytes(),
    "sync words alone": b"\xff\xfb\x90\x00" * 10_000,
    "1 Hz": media.wav(media.tone(1.0), 1),
    "0 Hz": media.wav(media.tone(1.0), 0),
    "4 MHz": media.wav(media.tone(1.0), 4_000_000),
    "200 channels": media.wav(np.zeros(200_000, np.int16), 8_000, channels=200),
    "subtitles": b"1\n00:00:00,000 --> 00:00:02,000\nhello\n",
    "metadata": b";FFMETADATA1\ntitle=x\n",
    "session": b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\nc=IN IP4 127.0.0.1\r\nm=audio 5004 RTP/AVP 0\r\n",
    "manifest": b'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"></MPD>',
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_audio_is_refused_by_field(name: str) -> None:
    with pytest.raises(BadInput, match=r"^'/sound' "):
        decode(REFUSED[name], field="/sound")


@pytest.mark.parametrize(
    "playlist",
    ["#EXTM3U\n#EXTINF:1,\n{path}\n", "#EXTM3U\n#EXTINF:1,\nfile://{path}\n", "ffconcat version 1.0\nfile '{path}'\n"],
)
def test_a_file_cannot_name_another(tmp_path: Path, playlist: str) -> None:
    secret = tmp_path / "secret.wav"
    secret.write_bytes(media.wav(media.tone(1.0), 22_050))
    with pytest.raises(BadInput):
        decode(playlist.format(path=secret).encode())


def test_the_bound_is_the_length_that_is_heard() -> None:
    data = media.encoded(media.tone(3.0), "linear16")
    assert len(decode(data, max_seconds=3.0)) == 3 * RATE_HZ
    with pytest.raises(BadInput, match=r"^'/audio' must not last longer than 2\.5 seconds$"):
        decode(data, max_seconds=2.5)


def silence(seconds: int) -> np.ndarray:
    return np.zeros(8_000 * seconds, np.int16)


BOMBS = {
    "flac": lambda: media.encoded(silence(1200), "flac", 8_000),
    "opus": lambda: media.encoded(silence(20), "opus", 8_000) * 60,
    "wav that claims 4 GB": lambda: media.wav(silence(1200), 8_000, claimed_bytes=2**32 - 1),
    "mp4 index": lambda: media.mp4_index_bomb(60_000_000, 1),
    "mp4 tracks": lambda: media.mp4_index_bomb(500_000, 200),
}
CHILD = """
import resource, sys
from gateway.engines.audio import decode
from gateway.errors import BadInput
data = open(sys.argv[1], "rb").read()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    decode(data, max_seconds=60)
except BadInput as error:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, error)
"""


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_in_little_memory(tmp_path: Path, name: str) -> None:
    path = tmp_path / "bomb"
    path.write_bytes(BOMBS[name]())
    child = subprocess.run([sys.executable, "-c", CHILD, str(path)], capture_output=True, text=True, check=True)
    growth_kib, _, text = child.stdout.partition(" ")
    assert text.startswith("'/audio' ")
    assert int(growth_kib) * 1024 < 64 * MIB
