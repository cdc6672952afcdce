"""What an engine hears: segments, words, and what is known of the whole; knows no form of request or answer."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from pydantic import BaseModel, Field

# Longer than a speaker takes breath.
PAUSE_S = 2.0


class Word(BaseModel):
    """A word and when it is spoken, in seconds."""

    word: str
    start: float
    end: float


class Segment(BaseModel):
    """A stretch of speech, in seconds, with the decoder's own confidence figures."""

    start: float
    end: float
    text: str
    temperature: float = 0.0
    avg_logprob: float = 0.0
    compression_ratio: float = 0.0
    no_speech_prob: float = 0.0
    words: list[Word] = Field(default_factory=list)


class TranscriptionInfo(BaseModel):
    """What was heard; durations in seconds."""

    language: str
    language_probability: float
    duration: float
    duration_after_vad: float


class Span(BaseModel):
    """A stretch of time in seconds."""

    start: float
    end: float


class Transcript(BaseModel):
    """What an engine returns: the segments and what is known of the whole.

    `confidences` has one entry per word; `voice` is where somebody speaks, for inputs that ask for it; `others` are
    the transcripts of the further channels, for inputs that ask by channel; `asked` is the input, for forms whose
    answer depends on what was asked.
    """

    transcription_info: TranscriptionInfo
    segments: list[Segment]
    confidences: list[float] = Field(default_factory=list)
    voice: list[Span] = Field(default_factory=list)
    others: list[Transcript] = Field(default_factory=list)
    asked: Any = None

    def text(self) -> str:
        """The whole text."""
        return "".join(segment.text for segment in self.segments).strip()

    def words(self) -> list[Word]:
        """All words in order."""
        return [word for segment in self.segments for word in segment.words]


def _timestamp(seconds: float) -> str:
    milliseconds = round(seconds * 1000)
    hours, rest = divmod(milliseconds, 3_600_000)
    minutes, rest = divmod(rest, 60_000)
    return f"{hours:02}:{minutes:02}:{rest // 1000:02}.{rest % 1000:03}"


def to_vtt(segments: list[Segment]) -> str:
    """WebVTT (W3C) with one cue per segment, or several if there are pauses in it, over which none is shown."""
    cues = (
        f"{_timestamp(start)} --> {_timestamp(end)}\n{text.strip()}\n"
        for segment in segments
        for start, end, text in _cues(segment)
    )
    return "WEBVTT\n\n" + "\n".join(cues)


def _cues(segment: Segment) -> Iterator[tuple[float, float, str]]:
    """Start, end and text of what is said without a pause of `PAUSE_S`."""
    start, shown, read = segment.start, 0, 0
    for word, following in pairwise(segment.words):
        read = max(read, segment.text.find(word.word, read) + len(word.word))
        if following.start - word.end > PAUSE_S:
            yield start, word.end, segment.text[shown:read]
            start, shown = following.start, read
    yield start, segment.end, segment.text[shown:]
