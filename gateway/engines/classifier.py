"""Text classification by a fine-tuned encoder, or by a logistic head over sentence vectors; knows no other task."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from gateway.config import ConfigError, Frozen, ModelSpec
from gateway.engines.encoding import Encoder, usable_window
from gateway.engines.head import Head, load_head
from gateway.engines.options import read_options
from gateway.engines.precision import Precision
from gateway.engines.pretrained import load_pretrained
from gateway.engines.sequence_scores import SequenceScores
from gateway.engines.token_ids import tokenize
from gateway.engines.torch_engine import TorchEngine
from gateway.tasks import Task, Usage
from gateway.tasks.text_classification import Label, TextClassificationInput, TextClassificationOutput


class Options(Frozen):
    """`head`: a file of gateway/engines/heads, without its ending, to put on a sentence encoder."""

    head: str | None = None


class Classifier(Protocol):
    """Anything with labels that judges texts."""

    @property
    def labels(self) -> Sequence[str]:
        """In the model's order."""

    @property
    def pads(self) -> bool:
        """Whether texts of a batch are made equally long."""

    def judge(self, texts: Sequence[str]) -> tuple[npt.NDArray[Any], list[int]]:
        """Probabilities of shape (texts, labels), rows summing to 1, and the tokens of each text."""


class FineTuned:
    """A transformers folder with a sequence-classification head; labels in the order of their ids."""

    def __init__(self, files: Path, precision: Precision, window: int | None) -> None:
        self._tokenizer = AutoTokenizer.from_pretrained(files, local_files_only=True, trust_remote_code=False)
        model = load_pretrained(AutoModelForSequenceClassification, files, precision)
        config = model.config
        self._window = usable_window(config, self._tokenizer, window)
        self._scores = SequenceScores(model, precision)
        self.pads = self._scores.pads
        self.labels = [config.id2label[index] for index in range(config.num_labels)]

    def judge(self, texts: Sequence[str]) -> tuple[npt.NDArray[np.float32], list[int]]:
        """Softmax over the labels."""
        rows = tokenize(self._tokenizer, texts, self._window)
        return self._scores.logits(rows).softmax(-1).numpy(), [len(row) for row in rows]


class Headed:
    """A sentence encoder with a logistic head; raises `ConfigError` if the two do not fit."""

    def __init__(self, encoder: Encoder, head: Head) -> None:
        if encoder.dimensions != head.dimensions:
            raise ConfigError(
                f"options.head: it reads {head.dimensions} dimensions, the encoder gives {encoder.dimensions}"
            )
        self._encoder = encoder
        self._head = head
        self.labels = head.labels
        self.pads = encoder.pads

    def judge(self, texts: Sequence[str]) -> tuple[npt.NDArray[np.float64], list[int]]:
        """The head's logistic function of the texts' vectors."""
        rows = self._encoder.tokenize(texts)
        vectors = self._encoder.encode(rows, [self._head.pooling] * len(rows))
        return self._head.probabilities(vectors), [len(row) for row in rows]


class Engine(TorchEngine):
    """Every label with its probability, in the model's order; text beyond the window does not count."""

    def __init__(self, spec: ModelSpec, task: Task, files: Path) -> None:
        super().__init__(spec, task, files)
        options = read_options(Options, spec)
        self._classifier: Classifier
        if options.head is None:
            self._classifier = FineTuned(files, self.precision, spec.context_window)
        else:
            head = load_head(options.head)
            self._classifier = Headed(Encoder(files, self.precision, spec.context_window, head.normalize), head)
        self.fill_passes(pads=self._classifier.pads)

    def run(self, inputs: Sequence[TextClassificationInput]) -> Sequence[TextClassificationOutput]:
        """All labels of each input."""
        scores, tokens = self._classifier.judge([input.text for input in inputs])
        return [self._output(row, count) for row, count in zip(scores, tokens, strict=True)]

    def _output(self, scores: npt.NDArray[Any], tokens: int) -> TextClassificationOutput:
        labels = zip(self._classifier.labels, scores, strict=True)
        output = TextClassificationOutput([Label(label=label, score=float(score)) for label, score in labels])
        return output.counted(Usage(prompt_tokens=tokens))
