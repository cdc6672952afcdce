"""Image classification by a transformers folder (ResNet, ViT and their like); knows no other task."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from transformers import AutoModelForImageClassification

from gateway.config import ModelSpec
from gateway.engines.image_passes import ImageOptions, ImagePasses, Pass
from gateway.engines.options import read_options
from gateway.engines.pretrained import load_pretrained
from gateway.engines.torch_engine import TorchEngine
from gateway.errors import BadInput
from gateway.tasks import Task
from gateway.tasks.image_classification import TOP, ImageClassificationInput, ImageClassificationOutput
from gateway.tasks.text_classification import Label


class Engine(TorchEngine):
    """The most probable labels of each image; an image that cannot be decoded spares the others."""

    def __init__(self, spec: ModelSpec, task: Task, files: Path) -> None:
        super().__init__(spec, task, files)
        options = read_options(ImageOptions, spec)
        self._model = load_pretrained(AutoModelForImageClassification, files, self.precision)
        self._passes = ImagePasses(files, self._model, self.threads, options.max_pixels)
        config = self._model.config
        self._labels: dict[int, str] = config.id2label
        self._independent = config.problem_type == "multi_label_classification" or config.num_labels == 1
        self._top = min(TOP, config.num_labels)

    def run(self, inputs: Sequence[ImageClassificationInput]) -> Sequence[ImageClassificationOutput | BadInput]:
        """The best labels of each input, or what is wrong with its image."""
        return self._passes.answer([input.image for input in inputs], self._classify)

    def _classify(self, images: Pass) -> list[ImageClassificationOutput]:
        logits = self._model(**images.inputs).logits.float()
        scores = logits.sigmoid() if self._independent else logits.softmax(-1)
        best = scores.topk(self._top)
        return [
            ImageClassificationOutput(
                [Label(label=self._labels[id], score=score) for id, score in zip(ids, found, strict=True)]
            )
            for ids, found in zip(best.indices.tolist(), best.values.tolist(), strict=True)
        ]
