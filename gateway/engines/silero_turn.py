"""Ends of turns by silence alone, told by Silero's voice detector, where no better model is at hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from faster_whisper.vad import get_vad_model

from gateway.config import ModelSpec
from gateway.engines.base import Engine as Base
from gateway.engines.turn_audio import turn_of
from gateway.engines.voice import voice_in
from gateway.errors import BadInput
from gateway.tasks import Task
from gateway.tasks.turn_detection import RATE_HZ, TurnInput, TurnOutput

SECONDS = 16.0
CERTAIN_S = 1.0


class Engine(Base):
    """The probability is the share of a second for which nobody has spoken; words and melody count for nothing."""

    def __init__(self, spec: ModelSpec, task: Task, files: Path) -> None:
        super().__init__(spec, task, files)
        get_vad_model()

    def run(self, inputs: Sequence[TurnInput]) -> Sequence[TurnOutput | BadInput]:
        """One answer per input, or what is wrong with its audio."""
        return [self._answer(input) for input in inputs]

    def _answer(self, input: TurnInput) -> TurnOutput | BadInput:
        try:
            turn = turn_of(input, SECONDS)
        except BadInput as error:
            return error
        voice = voice_in(turn.samples)
        silence_s = len(turn.samples) / RATE_HZ - voice[-1].end if voice else CERTAIN_S
        return TurnOutput.of(round(min(1.0, max(0.0, silence_s) / CERTAIN_S), 4), turn.whole_s)
