"""Ends of turns by pipecat-ai/smart-turn-v3: Whisper's encoder and a small classifier as one ONNX graph."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from transformers import WhisperFeatureExtractor

from gateway.config import ConfigError, ModelSpec
from gateway.engines.base import Engine as Base
from gateway.engines.onnx import open_graph
from gateway.engines.turn_audio import samples_of
from gateway.errors import BadInput
from gateway.tasks import Task
from gateway.tasks.turn_detection import RATE_HZ, TurnInput, TurnOutput

SECONDS = 8
INPUT = "input_features"


class Engine(Base):
    """Judges turns by their last eight seconds, a batch in one pass; bad audio spares its neighbours."""

    def __init__(self, spec: ModelSpec, task: Task, files: Path) -> None:
        """Open the graph at `files`; raises `ConfigError` if it is another model's."""
        super().__init__(spec, task, files)
        self._graph = open_graph(files, spec)
        if [wanted.name for wanted in self._graph.get_inputs()] != [INPUT]:
            raise ConfigError(f"row {spec.name}: {files.name} is not a graph of smart-turn-v3")
        self._extractor = WhisperFeatureExtractor(chunk_length=SECONDS)  # type: ignore[no-untyped-call]

    def run(self, inputs: Sequence[TurnInput]) -> Sequence[TurnOutput | BadInput]:
        """One answer per input, or what is wrong with its audio."""
        outputs: list[TurnOutput | BadInput | None] = [None] * len(inputs)
        sounds = []
        for index, input in enumerate(inputs):
            try:
                sounds.append((index, samples_of(input, SECONDS)))
            except BadInput as error:
                outputs[index] = error
        if sounds:
            for (index, _), probability in zip(sounds, self._judge([samples for _, samples in sounds]), strict=True):
                outputs[index] = TurnOutput.of(probability)
        return [output for output in outputs if output is not None]

    def _judge(self, sounds: list[NDArray[np.float32]]) -> list[float]:
        """The probability that each turn is over. As in training, what is missing is silence before it."""
        length = SECONDS * RATE_HZ
        turns = [np.pad(samples, (length - len(samples), 0)) for samples in sounds]
        features = self._extractor(turns, sampling_rate=RATE_HZ, do_normalize=True, return_tensors="np")
        (probabilities,) = self._graph.run(None, {INPUT: features[INPUT].astype(np.float32)})
        judged: list[float] = np.asarray(probabilities)[:, 0].tolist()
        return judged
