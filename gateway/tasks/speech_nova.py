"""Speech recognition in the form of nova-3: raw audio, options in the query (docs/tasks/speech.md)."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Annotated, Any, Literal, NotRequired

from pydantic import AfterValidator, BeforeValidator, Field
from typing_extensions import TypedDict  # pydantic reads the standard library's only from Python 3.12 on

from gateway.tasks.base import Task
from gateway.tasks.speech_audio import AudioObject, Channels, SampleRate, as_file
from gateway.tasks.speech_listening import Hearing, ListeningInput, hearing
from gateway.tasks.speech_recognition import COMMON, Decoding, LanguageTag
from gateway.tasks.speech_words import (
    NovaWord,
    Paragraphs,
    Spoken,
    at_pauses,
    confidence,
    joined,
    nova_words,
    paragraphs,
    spoken_words,
)
from gateway.tasks.transcript import Transcript
from gateway.tasks.validation import schema_error

Encoding = Literal["linear16", "flac", "mulaw", "amr-nb", "amr-wb", "opus", "speex", "g729"]


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _refused(value: Any) -> Any:
    if value is True or isinstance(value, list):
        raise schema_error("is not done by this model, and the transcript would look as if it were")
    return value


def _readable(value: str) -> str:
    if value == "g729":
        raise schema_error("g729 is not read by this model")
    return value


Texts = Annotated[list[Annotated[str, Field(max_length=1000)]], BeforeValidator(_listed), Field(max_length=100)]
Terms = Annotated[list[Annotated[str, Field(max_length=200)]], BeforeValidator(_listed), Field(max_length=100)]
RefusedFlag = Annotated[bool, AfterValidator(_refused)]
RefusedTexts = Annotated[Texts, AfterValidator(_refused)]


class NovaInput(ListeningInput):
    """The options of the contract, as texts or as JSON values; those of the last block are taken and do nothing."""

    audio: AudioObject
    encoding: Annotated[Encoding, AfterValidator(_readable)] | None = None
    sample_rate: SampleRate = 16_000
    channels: Channels = 1
    language: LanguageTag | None = None
    detect_language: bool = False
    keyterm: Terms = Field(default_factory=list)
    keywords: Terms = Field(default_factory=list)
    punctuate: bool = False
    smart_format: bool = False
    dictation: bool = False
    paragraphs: bool = False
    utterances: bool = False
    multichannel: bool = False
    utt_split: Annotated[float, Field(ge=0.1, le=60, allow_inf_nan=False)] = 0.8

    profanity_filter: RefusedFlag = False
    redact: RefusedTexts | None = None
    replace: RefusedTexts | None = None

    interim_results: bool = False
    endpointing: Annotated[str, Field(max_length=10)] | bool | int | None = None
    vad_events: bool = False
    utterance_end_ms: Annotated[int, Field(ge=0, le=60_000)] | bool | None = None

    numerals: bool = False
    measurements: bool = False
    filler_words: bool = False
    diarize: bool = False
    sentiment: bool = False
    topics: bool = False
    detect_entities: bool = False
    custom_topic: Texts = Field(default_factory=list)
    custom_topic_mode: Literal["extended", "strict"] | None = None
    custom_intent: Texts = Field(default_factory=list)
    custom_intent_mode: Literal["extended", "strict"] | None = None
    search: Texts = Field(default_factory=list)
    extra: Texts = Field(default_factory=list)
    mode: Literal["general", "medical", "finance"] | None = None
    mip_opt_out: bool = False

    @property
    def is_by_channel(self) -> bool:
        """Whether each channel is to be heard for itself; live, all are mixed into one."""
        return self.multichannel and self.window is None

    def file(self) -> bytes:
        """The audio as a file; `linear16` and `mulaw` without a header get one."""
        if self.encoding in ("linear16", "mulaw"):
            return as_file(self.audio, self.encoding, self.sample_rate, self.channels)
        return self.audio

    def decoding(self) -> Decoding:
        """Pauses are left out of files; terms become Whisper's prompt, as if they had just been said."""
        terms = ", ".join([*self.keyterm, *(word.partition(":")[0] for word in self.keywords)])
        tag = None if self.detect_language else self.language
        return Decoding(
            language=language_code(tag),
            initial_prompt=terms or None,
            vad_filter=self.window is None,
            condition_on_previous_text=False,
        )

    @property
    def has_punctuation(self) -> bool:
        """Whether the transcript keeps case and punctuation."""
        return self.punctuate or self.smart_format or self.dictation or self.paragraphs


def language_code(tag: str | None) -> str | None:
    """Whisper's code in a BCP 47 tag (`en-US`, `pt_BR`); None, for detection, of none and of `multi`."""
    code = (tag or "multi").replace("_", "-").partition("-")[0].lower()
    return None if code == "multi" else code


class Alternative(TypedDict):
    """What was heard."""

    transcript: str
    confidence: float
    words: list[NovaWord]
    paragraphs: NotRequired[Paragraphs]


class Channel(TypedDict):
    """One channel, or all of them mixed; the language only if it was to be detected."""

    alternatives: list[Alternative]
    detected_language: NotRequired[str]
    language_confidence: NotRequired[float]


class Utterance(TypedDict):
    """What is said between two pauses."""

    start: float
    end: float
    confidence: float
    channel: int
    transcript: str
    words: list[NovaWord]
    id: str


class Results(TypedDict):
    """The channels and, if asked for, the utterances."""

    channels: list[Channel]
    utterances: NotRequired[list[Utterance]]


class NovaOutput(TypedDict):
    """The answer of nova-3."""

    results: Results


def render(transcript: Transcript) -> NovaOutput | Hearing:
    """The transcript as its request asked for it."""
    asked: NovaInput = transcript.asked
    if asked.window is not None:
        return hearing(transcript, asked.window)
    heard = [transcript, *transcript.others]
    results = Results(channels=[_channel(channel, asked) for channel in heard])
    if asked.utterances:
        found = [utterance for number, channel in enumerate(heard) for utterance in _utterances(channel, number, asked)]
        results["utterances"] = sorted(found, key=lambda utterance: utterance["start"])
    return NovaOutput(results=results)


def _channel(heard: Transcript, asked: NovaInput) -> Channel:
    words, info = spoken_words(heard), heard.transcription_info
    best = _alternative(words, info.language, asked.has_punctuation)
    if asked.paragraphs:
        best["paragraphs"] = paragraphs(words, asked.utt_split, info.language)
    channel = Channel(alternatives=[best])
    if asked.detect_language:
        channel["detected_language"] = info.language
        channel["language_confidence"] = round(info.language_probability, 4)
    return channel


def _alternative(words: list[Spoken], language: str, punctuate: bool) -> Alternative:
    return Alternative(
        transcript=joined(words, language, punctuate=punctuate),
        confidence=confidence(words),
        words=nova_words(words, punctuate=punctuate),
    )


def _utterances(heard: Transcript, number: int, asked: NovaInput) -> Iterator[Utterance]:
    for words in at_pauses(spoken_words(heard), asked.utt_split):
        said = _alternative(words, heard.transcription_info.language, asked.has_punctuation)
        yield Utterance(
            start=words[0].start,
            end=words[-1].end,
            confidence=said["confidence"],
            channel=number,
            transcript=said["transcript"],
            words=said["words"],
            id=str(uuid.uuid4()),
        )


NOVA = Task(**COMMON, shape="nova-3", input=NovaInput, output=NovaOutput, render=render, takes_query=True)
