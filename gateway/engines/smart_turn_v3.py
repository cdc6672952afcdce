"""Ends of turns by pipecat-ai/smart-turn-v3: Whisper's encoder and a small classifier as one ONNX graph."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from transformers import WhisperFeatureExtractor

from gateway.config import ConfigError, ModelSpec
from gateway.engines.onnx import open_graph
from gateway.engines.turn_engine import TurnEngine
from gateway.tasks import Task
from gateway.tasks.turn_detection import RATE_HZ

SECONDS = 8
INPUT = "input_features"


class Engine(TurnEngine):
    """Judges turns by their last eight seconds."""

    seconds = SECONDS

    def __init__(self, spec: ModelSpec, task: Task, files: Path) -> None:
        """Open the graph at `files`; raises `ConfigError` if it is another model's."""
        super().__init__(spec, task, files)
        self._graph = open_graph(files, spec)
        if [wanted.name for wanted in self._graph.get_inputs()] != [INPUT]:
            raise ConfigError(f"row {spec.name}: {files.name} is not a graph of smart-turn-v3")
        self._extractor = WhisperFeatureExtractor(chunk_length=SECONDS)  # type: ignore[no-untyped-call]

    def judge(self, sounds: Sequence[NDArray[np.float32]]) -> Sequence[float]:
        """The probability that each turn is over. As in training, what is missing is silence before it."""
        length = SECONDS * RATE_HZ
        turns = [np.pad(samples, (length - len(samples), 0)) for samples in sounds]
        features = self._extractor(turns, sampling_rate=RATE_HZ, do_normalize=True, return_tensors="np")
        (probabilities,) = self._graph.run(None, {INPUT: features[INPUT].astype(np.float32)})
        judged: list[float] = np.asarray(probabilities)[:, 0].tolist()
        return judged
