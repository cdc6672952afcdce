"""Audio as the partner models' requests carry it: an object around base64, or samples without a header."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from gateway.tasks import media
from gateway.tasks.validation import bytes_of_base64, not_empty, sentence_error

RATES_HZ = (4_000, 384_000)
MAX_CHANNELS = 8
# A session keeps half a minute of sound: its rate bounds its memory.
LIVE_RATES_HZ = (4_000, 48_000)
MAX_LIVE_CHANNELS = 2
_PARTS = ("body", "contentType")
_OBJECT_SCHEMA = {
    "type": "object",
    "properties": {"body": {"type": "string", "contentEncoding": "base64"}, "contentType": {"type": "string"}},
    "required": list(_PARTS),
}
_BASE64_SCHEMA = {"type": "string", "contentEncoding": "base64"}


def _unwrapped(value: Any) -> Any:
    """The bytes in `{"body": base64, "contentType": …}`; the type itself counts for nothing, the bytes tell."""
    if isinstance(value, bytes):
        return value
    found = value if isinstance(value, dict) else {}
    missing = [part for part in _PARTS if found.get(part) is None]
    if missing:
        raise sentence_error(f"required properties at '/audio' are '{','.join(missing)}'")
    return bytes_of_base64(found["body"])


def _unwrapped_or_base64(value: Any) -> Any:
    return _unwrapped(value) if isinstance(value, dict) else bytes_of_base64(value)


AudioObject = Annotated[bytes, BeforeValidator(_unwrapped), AfterValidator(not_empty), WithJsonSchema(_OBJECT_SCHEMA)]
AudioObjectOrBase64 = Annotated[
    bytes,
    BeforeValidator(_unwrapped_or_base64),
    AfterValidator(not_empty),
    WithJsonSchema({"anyOf": [_OBJECT_SCHEMA, _BASE64_SCHEMA]}),
]
SampleRate = Annotated[int, Field(ge=RATES_HZ[0], le=RATES_HZ[1], description="Hz, of audio without a header")]
LiveSampleRate = Annotated[int, Field(ge=LIVE_RATES_HZ[0], le=LIVE_RATES_HZ[1], description="Hz")]
Channels = Annotated[int, Field(ge=1, le=MAX_CHANNELS, description="of audio without a header")]


def as_file(audio: bytes, encoding: Literal["linear16", "mulaw"], rate_hz: int, channels: int) -> bytes:
    """`audio` as a WAV file; audio that begins with a WAV header already is left as it is."""
    if audio[:4] in (b"RIFF", b"RIFX"):
        return audio
    wrap = media.wav if encoding == "linear16" else media.mulaw
    return wrap(audio, rate_hz, channels)
