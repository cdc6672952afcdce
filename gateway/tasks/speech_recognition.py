"""Automatic speech recognition: audio in, text with word times out (docs/api.md)."""

from __future__ import annotations

import math
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, Field

from gateway.config import MIB
from gateway.tasks.amounts import Amounts
from gateway.tasks.audio_header import seconds
from gateway.tasks.base import Extent, Task, TaskInput
from gateway.tasks.cost import Cost
from gateway.tasks.media import vowels
from gateway.tasks.speech_audio import AudioObjectOrBase64
from gateway.tasks.transcript import Segment, Transcript, TranscriptionInfo, Word, to_vtt
from gateway.tasks.validation import Boolean, ByteArray, Integer, Number, Text

LanguageTag = Annotated[Text, Field(max_length=32)]


class SpeechInput(TaskInput):
    """What every form has: audio in some encoding. `language_field` is where the form names the language."""

    language_field: ClassVar[str] = "/language"
    audio: bytes

    def extent(self) -> Extent:
        """One row; the length is in encoded bytes, all that is known before decoding."""
        return Extent(1, len(self.audio))

    def cost(self) -> Cost:
        """The audio's length by its header."""
        return {"audio_seconds": math.ceil(seconds(self.file()))}

    @property
    def is_by_channel(self) -> bool:
        """Whether each channel is to be heard for itself."""
        return False

    def file(self) -> bytes:
        """The audio as a file that says itself what it is."""
        return self.audio

    def decoding(self) -> Decoding:
        """How to transcribe it."""
        return Decoding()


class WhisperInput(SpeechInput):
    """Raw audio, or JSON with `audio` as an array of bytes; languages are ISO 639-1 codes."""

    language_field: ClassVar[str] = "/source_lang"
    audio: ByteArray
    source_lang: LanguageTag | None = None
    target_lang: LanguageTag | None = None

    def decoding(self) -> Decoding:
        """The decoding options both input forms share.

        This one leaves pauses out, where Whisper invents words, and lets the parts of long speech be heard together.
        """
        to_english = self.target_lang == "en" and self.source_lang not in (None, "en")
        return Decoding(
            language=self.source_lang,
            task="translate" if to_english else "transcribe",
            vad_filter=True,
            condition_on_previous_text=False,
        )


class WhisperTurboInput(SpeechInput):
    """JSON with `audio` as base64, plain or in an object, and Whisper's decoding options."""

    audio: AudioObjectOrBase64
    task: Literal["transcribe", "translate"] = "transcribe"
    language: LanguageTag | None = None
    vad_filter: Boolean = False
    initial_prompt: Annotated[Text, Field(max_length=10_000)] | None = None
    prefix: Annotated[Text, Field(max_length=10_000)] | None = None
    beam_size: Annotated[Integer, Field(ge=1, le=20)] = 5
    condition_on_previous_text: Boolean = True
    no_speech_threshold: Annotated[Number, Field(ge=0, le=1)] = 0.6
    compression_ratio_threshold: Annotated[Number, Field(ge=0, le=100)] = 2.4
    log_prob_threshold: Annotated[Number, Field(ge=-100, le=0)] = -1.0
    hallucination_silence_threshold: Annotated[Number, Field(ge=0, le=600)] | None = None

    def decoding(self) -> Decoding:
        """The decoding options both input forms share."""
        return Decoding(**{name: getattr(self, name) for name in Decoding.model_fields})


class Decoding(BaseModel):
    """How to transcribe; the defaults are faster-whisper's own."""

    task: Literal["transcribe", "translate"] = "transcribe"
    language: str | None = None
    vad_filter: bool = False
    initial_prompt: str | None = None
    prefix: str | None = None
    beam_size: int = 5
    condition_on_previous_text: bool = True
    no_speech_threshold: float = 0.6
    compression_ratio_threshold: float = 2.4
    log_prob_threshold: float = -1.0
    hallucination_silence_threshold: float | None = None


class WhisperOutput(BaseModel):
    """The answer of whisper and whisper-tiny-en."""

    text: str
    word_count: int
    words: list[Word]
    vtt: str


class WhisperTurboOutput(BaseModel):
    """The answer of whisper-large-v3-turbo."""

    transcription_info: TranscriptionInfo
    text: str
    word_count: int
    segments: list[Segment]
    vtt: str


def _whisper(transcript: Transcript) -> WhisperOutput:
    text = transcript.text()
    return WhisperOutput(
        text=text, word_count=len(text.split()), words=transcript.words(), vtt=to_vtt(transcript.segments)
    )


def _turbo(transcript: Transcript) -> WhisperTurboOutput:
    text = transcript.text()
    return WhisperTurboOutput(
        transcription_info=transcript.transcription_info,
        text=text,
        word_count=len(text.split()),
        segments=transcript.segments,
        vtt=to_vtt(transcript.segments),
    )


def _measure(input: Any, transcript: Transcript) -> Amounts:
    """The seconds of every channel that was heard. A live session asks for the same sound again and again: none."""
    if getattr(input, "window", None) is not None:
        return Amounts(audio_s=0.0)
    return Amounts(audio_s=transcript.transcription_info.duration * (1 + len(transcript.others)))


COMMON: dict[str, Any] = {
    "name": "automatic-speech-recognition",
    "title": "Automatic Speech Recognition",
    "media_field": "audio",
    "canary": {"audio": vowels(0.5)},
    "max_body_bytes": 100 * MIB,
    "measure": _measure,
}
WHISPER = Task(**COMMON, shape="whisper", input=WhisperInput, output=WhisperOutput, render=_whisper)
TURBO = Task(
    **COMMON, shape="whisper-large-v3-turbo", input=WhisperTurboInput, output=WhisperTurboOutput, render=_turbo
)
