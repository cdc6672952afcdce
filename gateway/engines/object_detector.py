"""Object detection by a transformers folder (DETR, RT-DETR, YOLOS and their like); knows no other task."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from transformers import AutoModelForObjectDetection, DetrForObjectDetection

from gateway.config import ModelSpec
from gateway.engines.image_passes import ImageOptions, ImagePasses, Pass
from gateway.engines.options import read_options
from gateway.engines.pretrained import load_pretrained
from gateway.engines.timm_backbone import without_timm
from gateway.engines.torch_engine import TorchEngine
from gateway.errors import BadInput
from gateway.tasks import Task
from gateway.tasks.image_header import Size
from gateway.tasks.object_detection import Box, Detection, ObjectDetectionInput, ObjectDetectionOutput


class Options(ImageOptions):
    """`threshold`: the score an object must exceed; by default that of transformers' own pipeline."""

    threshold: float = Field(0.5, ge=0, lt=1)


class Engine(TorchEngine):
    """The objects on each image; an image that cannot be decoded spares the others."""

    # Eight bits of mantissa place a box no better than to some pixels: bfloat16 is not among them.
    offered = ("float32", "float16")

    def __init__(self, spec: ModelSpec, task: Task, files: Path) -> None:
        super().__init__(spec, task, files)
        options = read_options(Options, spec)
        instead = without_timm(files)
        kind = DetrForObjectDetection if instead else AutoModelForObjectDetection
        self._model = load_pretrained(kind, files, self.precision, instead)
        self._passes = ImagePasses(files, self._model, self.threads, options.max_pixels)
        self._threshold = options.threshold

    def run(self, inputs: Sequence[ObjectDetectionInput]) -> Sequence[ObjectDetectionOutput | BadInput]:
        """The objects of each input, or what is wrong with its image."""
        return self._passes.answer([input.image for input in inputs], self._detect)

    def _detect(self, images: Pass) -> list[ObjectDetectionOutput]:
        outputs = self._model(**images.inputs)
        outputs.logits, outputs.pred_boxes = outputs.logits.float(), outputs.pred_boxes.float()
        found = self._passes.processor.post_process_object_detection(
            outputs, self._threshold, torch.tensor([(height, width) for width, height in images.sizes])
        )
        return [self._output(one, size) for one, size in zip(found, images.sizes, strict=True)]

    def _output(self, found: dict[str, Any], size: Size) -> ObjectDetectionOutput:
        rows = zip(found["scores"].tolist(), found["labels"].tolist(), found["boxes"].tolist(), strict=True)
        labels = self._model.config.id2label
        detections = [
            Detection(label=labels[id], score=score, box=Box.within(size, corners)) for score, id, corners in rows
        ]
        return ObjectDetectionOutput(sorted(detections, key=lambda detection: -detection.score))
