"""Faces by CenterFace, an ONNX graph that scores every place of an image; knows no other task."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import openvino
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field

from gateway.config import ConfigError, ModelSpec
from gateway.engines.base import Engine as Base
from gateway.engines.image_passes import ImageOptions
from gateway.engines.images import decode
from gateway.engines.options import read_options
from gateway.errors import BadInput
from gateway.tasks import Task
from gateway.tasks.object_detection import Box, Detection, ObjectDetectionInput, ObjectDetectionOutput

LABEL = "face"
SIDE, STRIDE = 640, 4
MAX_OVERLAP = 0.3
Array = NDArray[np.float32]


class Options(ImageOptions):
    """`threshold`: the score that a face must exceed."""

    threshold: float = Field(0.5, ge=0, lt=1)


class Engine(Base):
    """The faces on each image, brought into a square of 640 pixels; a bad image spares the others."""

    def __init__(self, spec: ModelSpec, task: Task, files: Path) -> None:
        """Open the graph at `files`; raises `ConfigError` if it is another or the row wants a device but the CPU."""
        super().__init__(spec, task, files)
        if spec.device not in ("auto", "cpu"):
            raise ConfigError(f"row {spec.name}: device: ONNX graphs run on the cpu here, not on {spec.device}")
        options = read_options(Options, spec)
        self._threshold, self._max_pixels = options.threshold, options.max_pixels
        try:
            core = openvino.Core()
            # As published, the graph takes ten images of 32 by 32 pixels.
            graph = core.read_model(files)
            graph.reshape([1, 3, SIDE, SIDE])
            settings = {} if spec.threads is None else {"INFERENCE_NUM_THREADS": spec.threads}
            self._graph = core.compile_model(graph, "CPU", settings)
        except RuntimeError as error:
            raise ConfigError(f"row {spec.name}: {files.name} is not an ONNX graph that can be run") from error
        maps = [tuple(output.partial_shape.to_shape()) for output in self._graph.outputs]
        if maps != [(1, channels, SIDE // STRIDE, SIDE // STRIDE) for channels in (1, 2, 2, 10)]:
            raise ConfigError(f"row {spec.name}: {files.name} is not CenterFace's graph")

    def run(self, inputs: Sequence[ObjectDetectionInput]) -> Sequence[ObjectDetectionOutput | BadInput]:
        """The faces of each input, or what is wrong with its image."""
        return [self._answer(input.image) for input in inputs]

    def _answer(self, data: bytes) -> ObjectDetectionOutput | BadInput:
        try:
            image = decode(data, self._max_pixels)
        except BadInput as error:
            return error
        scale = SIDE / max(image.size)
        heat, sizes, offsets, _ = self._graph(_canvas(image, scale)).values()
        boxes, scores = _candidates(heat[0, 0], sizes[0], offsets[0], self._threshold)
        return ObjectDetectionOutput(
            [
                Detection(label=LABEL, score=float(scores[index]), box=Box.within(image.size, boxes[index] / scale))
                for index in _distinct(boxes, scores)
            ]
        )


def _canvas(image: Image.Image, scale: float) -> Array:
    """The image in the square's top left corner, black around it: shape (1, 3, side, side), from 0 to 255."""
    width, height = (max(1, round(side * scale)) for side in image.size)
    canvas = np.zeros((1, 3, SIDE, SIDE), np.float32)
    canvas[0, :, :height, :width] = np.asarray(image.resize((width, height))).transpose(2, 0, 1)
    return canvas


def _candidates(heat: Array, sizes: Array, offsets: Array, threshold: float) -> tuple[Array, Array]:
    """Corners of shape (n, 4), as x and y of two points in the square, and scores, of all places above the threshold.

    The maps have rows first: each place has the logarithm of its face's height and width in strides, and the face's
    centre relative to its own.
    """
    rows, columns = np.nonzero(heat > threshold)
    height, width = np.exp(sizes[:, rows, columns]) * STRIDE
    down, right = offsets[:, rows, columns]
    x, y = (columns + right + 0.5) * STRIDE, (rows + down + 0.5) * STRIDE
    corners = np.stack([x - width / 2, y - height / 2, x + width / 2, y + height / 2], axis=1)
    return corners.astype(np.float32), heat[rows, columns]


def _distinct(boxes: Array, scores: Array) -> list[int]:
    """The surest box of each face, the surest face first: boxes that overlap more than faces do show one face."""
    left = np.argsort(-scores, kind="stable")
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    chosen = []
    while len(left):
        best, left = int(left[0]), left[1:]
        chosen.append(best)
        overlap = np.minimum(boxes[left, 2:], boxes[best, 2:]) - np.maximum(boxes[left, :2], boxes[best, :2])
        shared = overlap.clip(min=0).prod(axis=1)
        left = left[shared <= MAX_OVERLAP * (areas[best] + areas[left] - shared)]
    return chosen
