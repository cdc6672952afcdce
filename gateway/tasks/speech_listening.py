"""What a live session asks of a recogniser: a window of sound, and what is new in it; knows no socket."""

from __future__ import annotations

from pydantic import BaseModel, Field
from pydantic.json_schema import SkipJsonSchema

from gateway.tasks.speech_recognition import SpeechInput
from gateway.tasks.speech_words import Spoken, spoken_words
from gateway.tasks.transcript import Span, Transcript


class Window(BaseModel):
    """Marks audio as a window of a live session; words are wanted only if somebody speaks after `known_s` seconds."""

    known_s: float = Field(0.0, ge=0)


class Hearing(BaseModel):
    """What is heard in a window; times in seconds from its beginning. `words` is None if nothing new was said."""

    language: str
    duration: float
    voice: list[Span]
    words: list[Spoken] | None


class ListeningInput(SpeechInput):
    """A form that live sessions speak too: with `window` set, by the session alone, the answer is a `Hearing`."""

    window: SkipJsonSchema[Window | None] = None


def hearing(transcript: Transcript, window: Window) -> Hearing:
    """The transcript as a live session wants it."""
    info = transcript.transcription_info
    return Hearing(
        language=info.language,
        duration=info.duration,
        voice=transcript.voice,
        words=spoken_words(transcript) if is_news(transcript.voice, window) else None,
    )


def is_news(voice: list[Span], window: Window) -> bool:
    """Whether somebody speaks after the known part of the window."""
    return bool(voice) and voice[-1].end > window.known_s
