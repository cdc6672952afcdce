"""Long speech in parts of half a minute, several of them in one pass of Whisper; knows no request."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from faster_whisper import BatchedInferencePipeline, WhisperModel
from faster_whisper.transcribe import Segment
from numpy.typing import NDArray

from gateway.tasks.speech_recognition import Decoding

RATE_HZ = 16_000
# As much as Whisper hears at once, and how many of that share a pass.
LONGEST_S = 30
PASS = 8
PAUSE_S = 1.0
# Whisper's own, for what it was not sure of without any.
_TEMPERATURES = (0.2, 0.4, 0.6, 0.8, 1.0)
_SENTENCE_ENDS = re.compile(r"[.!?…。！？][\"'”’)\]]*$")
# What of a decoding counts for a part: it has nothing before it.
_OPTIONS = {"task", "language", "beam_size", "initial_prompt"}
_GUARDS = {"no_speech_threshold", "compression_ratio_threshold", "log_prob_threshold"}


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of samples."""

    start: int
    end: int

    @property
    def start_s(self) -> float:
        """Where it begins, in seconds."""
        return self.start / RATE_HZ

    @property
    def seconds(self) -> dict[str, float]:
        """Itself as faster-whisper has it."""
        return {"start": self.start_s, "end": self.end / RATE_HZ}


def parts_of(voiced: Iterable[dict[str, int]]) -> list[Part]:
    """Parts of the speech that is left of `voiced` without pauses; each is cut where one of its stretches ends."""
    parts: list[Part] = []
    end = 0
    for stretch in voiced:
        length = stretch["end"] - stretch["start"]
        if parts and end + length - parts[-1].start <= LONGEST_S * RATE_HZ:
            parts[-1] = Part(parts[-1].start, end + length)
        else:
            parts.append(Part(end, end + length))
        end += length
    return parts


def is_apart(decoding: Decoding) -> bool:
    """Whether parts may be heard without knowing what came before, as the decoding has it."""
    follows = decoding.condition_on_previous_text or decoding.prefix or decoding.hallucination_silence_threshold
    return decoding.vad_filter and not follows


class PartsHearer:
    """Hears parts in passes of `PASS`; what it is not sure of is heard again alone, as Whisper does with any speech."""

    def __init__(self, model: WhisperModel) -> None:
        self._model, self._pipeline = model, BatchedInferencePipeline(model)

    def hear(self, audio: NDArray[np.float32], parts: Sequence[Part], decoding: Decoding) -> tuple[list[Segment], Any]:
        """A segment a part, of samples at 16 kHz, shape (n,), and what is known of the whole by the first pass."""
        options = decoding.model_dump(include=_OPTIONS)
        heard: list[Segment] = []
        found: Any = None
        for first in range(0, len(parts), PASS):
            some = parts[first : first + PASS]
            segments, info = self._pipeline.transcribe(
                audio,
                clip_timestamps=[part.seconds for part in some],
                batch_size=PASS,
                word_timestamps=True,
                **options,
            )
            found = found or info
            options["language"] = found.language
            of_frame = {int(part.start_s * self._model.frames_per_second): part for part in some}
            for segment in segments:
                heard += self._settled(audio, of_frame[segment.seek], segment, decoding, options)
        return heard, found

    def _settled(
        self, audio: NDArray[np.float32], part: Part, segment: Segment, decoding: Decoding, options: dict[str, Any]
    ) -> list[Segment]:
        """The segment, if it passes the guards; none of silence; else what was heard with more freedom."""
        is_unsure = segment.avg_logprob < decoding.log_prob_threshold
        if is_unsure and segment.no_speech_prob > decoding.no_speech_threshold:
            return []
        if not is_unsure and segment.compression_ratio <= decoding.compression_ratio_threshold:
            return [segment] if segment.words else []
        again, _ = self._model.transcribe(
            audio[part.start : part.end],
            word_timestamps=True,
            condition_on_previous_text=False,
            temperature=_TEMPERATURES,
            **options,
            **decoding.model_dump(include=_GUARDS),
        )
        return [_later(one, part.start_s) for one in again if one.words]


def _later(segment: Segment, seconds: float) -> Segment:
    words = [replace(word, start=word.start + seconds, end=word.end + seconds) for word in segment.words]
    return replace(segment, start=segment.start + seconds, end=segment.end + seconds, words=words)


def at_sentences(segments: Iterable[Segment]) -> Iterator[Segment]:
    """The segments, cut where a sentence ends or nobody speaks for `PAUSE_S`: of a part's half minute, captions."""
    for segment in segments:
        words: list[Any] = []
        for word in segment.words:
            if words and (_SENTENCE_ENDS.search(words[-1].word) or word.start - words[-1].end > PAUSE_S):
                yield _of(segment, words)
                words = []
            words.append(word)
        yield _of(segment, words)


def _of(segment: Segment, words: Sequence[Any]) -> Segment:
    text = "".join(word.word for word in words)
    return replace(segment, start=words[0].start, end=words[-1].end, text=text, words=list(words))
