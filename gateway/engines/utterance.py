"""Sound as utterances: what is said between two pauses; knows no model but the voice detector."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from faster_whisper.vad import get_speech_timestamps
from numpy.typing import NDArray

from gateway.engines.transducer_words import Emission
from gateway.engines.voice import RATE_HZ, voice_in
from gateway.tasks.speech_listening import ListeningInput, is_news
from gateway.tasks.speech_recognition import SpeechInput
from gateway.tasks.transcript import Span

# Speech without a pause is cut where it is quietest.
LONGEST_S = 30.0


@dataclass(slots=True)
class Utterance:
    """Speech between two pauses: its samples, where they begin, and in the end what was heard in them."""

    samples: NDArray[np.float32]
    start_s: float
    heard: list[Emission] = field(default_factory=list)

    @property
    def end_s(self) -> float:
        """Where it ends, in seconds of the whole."""
        return self.start_s + len(self.samples) / RATE_HZ


@dataclass(slots=True)
class Channel:
    """One channel of an input, its speech, and where somebody speaks if a live session wants to know."""

    seconds: float
    utterances: list[Utterance]
    voice: list[Span] = field(default_factory=list)

    @classmethod
    def of(cls, samples: NDArray[np.float32], input: SpeechInput) -> Channel:
        """The speech in samples of shape (n,); of a live window none, unless somebody spoke on."""
        seconds = len(samples) / RATE_HZ
        if not isinstance(input, ListeningInput) or input.window is None:
            return cls(seconds, list(utterances_in(samples)))
        voice = voice_in(samples)
        return cls(seconds, list(utterances_in(samples)) if is_news(voice, input.window) else [], voice)


def utterances_in(samples: NDArray[np.float32]) -> Iterator[Utterance]:
    """The speech in samples of shape (n,), cut at pauses, and where there is none after `LONGEST_S`."""
    for span in get_speech_timestamps(samples, max_speech_duration_s=LONGEST_S):
        yield Utterance(samples[span["start"] : span["end"]], span["start"] / RATE_HZ)
