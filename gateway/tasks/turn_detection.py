"""Turn detection: a stretch of speech in, whether its speaker is done out (docs/tasks/speech.md)."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from gateway.tasks import media
from gateway.tasks.amounts import Amounts
from gateway.tasks.base import Extent, Task, TaskInput
from gateway.tasks.cost import Cost
from gateway.tasks.speech_audio import AudioObjectOrBase64

RATE_HZ = 16_000
WINDOW_S = 16
_SAMPLE_BYTES = {"uint8": 2, "float32": 4, "float64": 8}


class TurnInput(TaskInput):
    """Audio as raw samples, mono at 16 kHz, or as a file.

    `float32` and `float64` are samples from -1 to 1. `uint8`, the default, are just bytes: a file, or 16-bit samples.
    """

    audio: AudioObjectOrBase64
    dtype: Literal["uint8", "float32", "float64"] = "uint8"

    def extent(self) -> Extent:
        """One row; every input is padded to sixteen seconds, of which an encoder makes 50 frames each."""
        return Extent(1, WINDOW_S * 50)

    def cost(self) -> Cost:
        """All that is listened to."""
        return {"audio_seconds": WINDOW_S}

    @property
    def raw_s(self) -> float:
        """How long it is, if it is raw samples."""
        return len(self.audio) // _SAMPLE_BYTES[self.dtype] / RATE_HZ

    def tail(self, seconds: float) -> bytes:
        """The end of raw samples; it alone says whether the speaker is done."""
        size = _SAMPLE_BYTES[self.dtype]
        whole = len(self.audio) - len(self.audio) % size
        return self.audio[max(0, whole - round(seconds * RATE_HZ) * size) : whole]


class TurnOutput(BaseModel):
    """The probability that the turn is over, and whether that is more than half."""

    is_complete: bool
    probability: float
    audio_s: float = Field(exclude=True, description="how long the turn is; it is priced by that")

    @classmethod
    def of(cls, probability: float, audio_s: float) -> TurnOutput:
        """The answer for a probability."""
        return cls(is_complete=probability > 0.5, probability=probability, audio_s=audio_s)


TASK = Task(
    name="voice-activity-detection",
    title="Dumb Pipe",
    input=TurnInput,
    output=TurnOutput,
    canary={"audio": media.vowels(0.5)},
    render=TurnOutput.model_dump,
    media_field="audio",
    takes_query=True,
    measure=lambda _input, output: Amounts(audio_s=output.audio_s),
)
