"""An engine without weights that answers at once, for measuring everything around an engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np

from gateway.engines.base import Engine as Base
from gateway.tasks import Usage
from gateway.tasks.drawing import Picture
from gateway.tasks.text_classification import Label, TextClassificationOutput
from gateway.tasks.text_embeddings import Embedded, EmbeddingsInput
from gateway.tasks.text_to_speech import SpeechOutput
from gateway.tasks.transcript import Segment, Transcript, TranscriptionInfo


def _classify(input: Any) -> TextClassificationOutput:
    score = len(input.text) / (1 + len(input.text))
    return TextClassificationOutput([Label(label="SHORT", score=1 - score), Label(label="LONG", score=score)])


def _embed(input: EmbeddingsInput) -> Any:
    texts = [text for passages in input.passages() for text in passages.texts]
    data = np.array([[len(text), text.count(" "), 1] for text in texts], dtype=np.float32)
    words = sum(len(text.split()) for text in texts)
    return input.answer(Embedded(data=data, pooling=input.how() or "mean", usage=Usage(prompt_tokens=words)))


def _transcribe(input: Any) -> Transcript:
    info = TranscriptionInfo(language="en", language_probability=1.0, duration=1.0, duration_after_vad=1.0)
    segment = Segment(start=0.0, end=1.0, text=f"{len(input.audio)} bytes")
    return Transcript(transcription_info=info, segments=[segment], asked=input)


def _speak(input: Any) -> SpeechOutput:
    return SpeechOutput(audio=input.utterance().text.encode(), media_type="audio/mpeg")


def _draw(input: Any) -> Picture:
    drawing = input.drawing()
    images = [len(image) for image in (drawing.image, drawing.mask, *drawing.references.values()) if image is not None]
    words = [drawing.prompt, f"{drawing.width}x{drawing.height}", drawing.steps, drawing.seed, *images]
    return Picture(" ".join(map(str, words)).encode())


class Engine(Base):
    """Answers from the input alone: lengths, counts, the text itself."""

    answers: ClassVar[dict[str, Callable[[Any], Any]]] = {
        "text-classification": _classify,
        "text-embeddings": _embed,
        "automatic-speech-recognition": _transcribe,
        "text-to-speech": _speak,
        "text-to-image": _draw,
    }

    def run(self, inputs: Sequence[Any]) -> Sequence[Any]:
        """One answer per input, by the row's task."""
        answer = self.answers[self.task.name]
        return [answer(input) for input in inputs]
