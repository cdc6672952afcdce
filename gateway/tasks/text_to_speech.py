"""Text to speech: text in, encoded audio out, as base64 in JSON or as raw bytes (docs/api.md)."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, Field

from gateway.tasks.amounts import Amounts
from gateway.tasks.base import Answer, Extent, Task, TaskInput
from gateway.tasks.cost import Cost
from gateway.tasks.pieces import Piece
from gateway.tasks.schema import raw_media
from gateway.tasks.validation import Integer, Text

MAX_CHARACTERS = 10_000
Encoding = Literal["linear16", "flac", "mulaw", "alaw", "mp3", "opus", "aac"]
Container = Literal["none", "wav", "ogg"]
Speaker = Literal[
    "angus", "asteria", "arcas", "orion", "orpheus", "athena", "luna", "zeus", "perseus", "helios", "hera", "stella"
]
EnglishSpeaker = Literal[
    "amalthea", "andromeda", "apollo", "arcas", "aries", "asteria", "athena", "atlas", "aurora", "callista", "cora",
    "cordelia", "delia", "draco", "electra", "harmonia", "helena", "hera", "hermes", "hyperion", "iris", "janus",
    "juno", "jupiter", "luna", "mars", "minerva", "neptune", "odysseus", "ophelia", "orion", "orpheus", "pandora",
    "phoebe", "pluto", "saturn", "thalia", "theia", "vesta", "zeus"
]  # fmt: skip
SpanishSpeaker = Literal[
    "sirio", "nestor", "carina", "celeste", "alvaro", "diana", "aquila", "selena", "estrella", "javier"
]
Speech = Annotated[Text, Field(min_length=1, max_length=MAX_CHARACTERS)]


class AudioFormat(BaseModel):
    """How the audio is to be encoded; an absent rate (Hz) or bit rate (bit/s) is the codec's usual one."""

    encoding: Encoding = "mp3"
    container: Container | None = None
    sample_rate: int | None = None
    bit_rate: int | None = None


class Utterance(BaseModel):
    """What an engine is asked to say, whatever the request's form was; `is_whole` asks for one file at the end."""

    text: str
    language: str = "en"
    speaker: str | None = None
    audio: AudioFormat = Field(default_factory=AudioFormat)
    is_whole: bool = False


class MelottsInput(TaskInput):
    """`prompt` in the language `lang`."""

    text_field: ClassVar[str] = "/prompt"
    prompt: Speech
    lang: Annotated[Text, Field(min_length=1, max_length=32)] = "en"

    def extent(self) -> Extent:
        """One row; length in characters."""
        return Extent(1, len(self.prompt))

    def cost(self) -> Cost:
        """The characters to say."""
        return {"characters": len(self.prompt)}

    def utterance(self) -> Utterance:
        """The request in the engine's terms."""
        return Utterance(text=self.prompt, language=self.lang, is_whole=True)


class AuraInput(TaskInput):
    """`text` by `speaker`, encoded as asked for."""

    text_field: ClassVar[str] = "/text"
    language: ClassVar[str] = "en"
    text: Speech
    speaker: Speaker = "angus"
    encoding: Encoding = "mp3"
    container: Container | None = None
    sample_rate: Annotated[Integer, Field(ge=8000, le=48_000)] | None = None
    bit_rate: Annotated[Integer, Field(ge=4000, le=650_000)] | None = None

    def extent(self) -> Extent:
        """One row; length in characters."""
        return Extent(1, len(self.text))

    def cost(self) -> Cost:
        """The characters to say."""
        return {"characters": len(self.text)}

    def utterance(self) -> Utterance:
        """The request in the engine's terms."""
        audio = AudioFormat(
            encoding=self.encoding, container=self.container, sample_rate=self.sample_rate, bit_rate=self.bit_rate
        )
        return Utterance(text=self.text, language=self.language, speaker=self.speaker, audio=audio)


class EnglishAuraInput(AuraInput):
    """`text` in English by one of aura-2's speakers."""

    speaker: EnglishSpeaker = "luna"  # type: ignore[assignment]


class SpanishAuraInput(AuraInput):
    """`text` in Spanish by one of aura-2's speakers."""

    language: ClassVar[str] = "es"
    speaker: SpanishSpeaker = "aquila"  # type: ignore[assignment]


class SpeechOutput(BaseModel):
    """What an engine returns: a complete audio file or raw samples, and its media type."""

    audio: bytes
    media_type: str = "audio/mpeg"


class MelottsOutput(BaseModel):
    """The answer of melotts: base64 of an MP3 file."""

    audio: str


def _melotts(output: SpeechOutput) -> MelottsOutput:
    return MelottsOutput(audio=base64.b64encode(output.audio).decode())


def _aura(output: SpeechOutput) -> Answer:
    return Answer(output.audio, output.media_type)


def _collect(pieces: Sequence[Piece], _input: Any) -> SpeechOutput:
    """The audio of a streaming engine; its first piece says of what type."""
    media_type = str(pieces[0].extra["media_type"])
    return SpeechOutput(audio=b"".join(piece.data for piece in pieces), media_type=media_type)


def _measure(input: Any, output: Any) -> Amounts:
    """The characters that were asked for, and how long they take to say if the engine tells."""
    usage = getattr(output, "usage", None)
    return Amounts(characters=len(input.utterance().text), audio_s=None if usage is None else usage.audio_s)


_NAME, _TITLE = "text-to-speech", "Text-to-Speech"
MELOTTS = Task(
    name=_NAME,
    title=_TITLE,
    shape="melotts",
    input=MelottsInput,
    output=MelottsOutput,
    canary={"prompt": "Hi"},
    render=_melotts,
    collect=_collect,
    measure=_measure,
)
AURA, AURA_2_EN, AURA_2_ES = (
    Task(
        name=_NAME,
        title=_TITLE,
        shape=shape,
        input=input,
        output=raw_media("audio/mpeg"),
        canary={"text": "Hi"},
        render=_aura,
        collect=_collect,
        streams_media=True,
        measure=_measure,
    )
    for shape, input in (("aura", AuraInput), ("aura-2-en", EnglishAuraInput), ("aura-2-es", SpanishAuraInput))
)
