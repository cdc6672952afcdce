"""Ends of turns by pipecat-ai/smart-turn-v2: a wav2vec 2.0 encoder, attention pooling and a small classifier."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import Wav2Vec2FeatureExtractor, Wav2Vec2Model, Wav2Vec2PreTrainedModel

from gateway.config import ModelSpec
from gateway.engines.pretrained import load_pretrained
from gateway.engines.torch_engine import TorchEngine
from gateway.engines.turn_engine import TurnEngine
from gateway.tasks import Task
from gateway.tasks.turn_detection import RATE_HZ

# The model was trained on turns padded to this length.
SECONDS = 16
_POOLING_WIDTH, _CLASSIFIER_WIDTHS = 256, (256, 64)


class EndOfTurn(Wav2Vec2PreTrainedModel):  # type: ignore[no-untyped-call]
    """The network; its parts carry the names that the published weights have."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        wide, narrow = _CLASSIFIER_WIDTHS
        self.wav2vec2 = Wav2Vec2Model(config)
        self.pool_attention = nn.Sequential(
            nn.Linear(config.hidden_size, _POOLING_WIDTH), nn.Tanh(), nn.Linear(_POOLING_WIDTH, 1)
        )
        self.classifier = nn.Sequential(
            nn.Linear(config.hidden_size, wide),
            nn.LayerNorm(wide),
            nn.GELU(),
            nn.Dropout(0.1),
            nn.Linear(wide, narrow),
            nn.GELU(),
            nn.Linear(narrow, 1),
        )
        self.post_init()  # type: ignore[no-untyped-call]

    def forward(self, input_values: Tensor, attention_mask: Tensor) -> Tensor:
        """Probabilities, shape (batch,), for samples and their mask, shape (batch, samples)."""
        hidden = self.wav2vec2(input_values, attention_mask=attention_mask).last_hidden_state
        frames = torch.arange(hidden.shape[1], device=hidden.device)
        # The mask is thinned to the encoder's frames as in training, not by the exact strides of its convolutions.
        heard = attention_mask[:, (frames * (attention_mask.shape[1] / hidden.shape[1])).long()].bool()
        weights = self.pool_attention(hidden).squeeze(-1).float().masked_fill(~heard, -1e9).softmax(dim=1)
        pooled = (hidden * weights.to(hidden.dtype).unsqueeze(-1)).sum(dim=1)
        probabilities: Tensor = self.classifier(pooled).squeeze(-1).float().sigmoid()
        return probabilities


class Engine(TurnEngine, TorchEngine):
    """Judges turns by their last 16 seconds."""

    seconds = SECONDS

    def __init__(self, spec: ModelSpec, task: Task, files: Path) -> None:
        """Load a transformers folder in safetensors; raises `ConfigError` if the weights lack a part."""
        super().__init__(spec, task, files)
        self._model = load_pretrained(EndOfTurn, files, self.precision)
        self._extractor = Wav2Vec2FeatureExtractor.from_pretrained(files, local_files_only=True)

    @torch.inference_mode()
    def judge(self, sounds: Sequence[NDArray[np.float32]]) -> Sequence[float]:
        """The probability that each turn is over."""
        padded = self._extractor(
            list(sounds),
            sampling_rate=RATE_HZ,
            padding="max_length",
            truncation=True,
            max_length=SECONDS * RATE_HZ,
            return_attention_mask=True,
            return_tensors="pt",
        )
        values = padded["input_values"].to(self.device, self.precision.torch_dtype)
        probabilities: list[float] = self._model(values, padded["attention_mask"].to(self.device)).tolist()
        return probabilities
