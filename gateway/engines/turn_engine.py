"""What recognisers of ends of turns have in common: batches of sound in, probabilities out; knows no network."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gateway.engines.base import Engine
from gateway.engines.turn_audio import Turn, turn_of
from gateway.errors import BadInput
from gateway.tasks.turn_detection import TurnInput, TurnOutput


class TurnEngine(Engine):
    """Judges turns by their last `seconds`, a batch in one pass; bad audio spares its neighbours."""

    seconds: float

    @abstractmethod
    def judge(self, sounds: Sequence[NDArray[np.float32]]) -> Sequence[float]:
        """The probability that each turn is over, for samples at 16 kHz, each of shape (at most `seconds`,)."""

    def run(self, inputs: Sequence[TurnInput]) -> Sequence[TurnOutput | BadInput]:
        """One answer per input, or what is wrong with its audio."""
        outputs: list[TurnOutput | BadInput | None] = [None] * len(inputs)
        turns: list[tuple[int, Turn]] = []
        for index, input in enumerate(inputs):
            try:
                turns.append((index, turn_of(input, self.seconds)))
            except BadInput as error:
                outputs[index] = error
        if turns:
            probabilities = self.judge([turn.samples for _, turn in turns])
            for (index, turn), probability in zip(turns, probabilities, strict=True):
                outputs[index] = TurnOutput.of(probability, turn.whole_s)
        return [output for output in outputs if output is not None]
