"""Object detection: one image in, what is on it and where out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from pydantic import BaseModel, RootModel

from gateway.tasks.base import Extent, Task, TaskInput
from gateway.tasks.image import Image, length
from gateway.tasks.image_header import Size
from gateway.tasks.media import picture


class ObjectDetectionInput(TaskInput):
    """Raw bytes of an image file, or JSON with `image` as an array of bytes or as base64."""

    image: Image

    def extent(self) -> Extent:
        """One row; the length is in thousands of pixels."""
        return Extent(1, length(self.image))


class Box(BaseModel):
    """A rectangle in whole pixels of the upright image, from its top left corner; never beyond its edges."""

    xmin: int
    ymin: int
    xmax: int
    ymax: int

    @classmethod
    def within(cls, size: Size, corners: Sequence[float]) -> Self:
        """The box between two corners, x and y of each, clipped to an image of that size."""
        xmin, ymin, xmax, ymax = (
            max(0, min(int(corner), bound)) for corner, bound in zip(corners, (*size, *size), strict=True)
        )
        return cls(xmin=xmin, ymin=ymin, xmax=xmax, ymax=ymax)


class Detection(BaseModel):
    """One object, and how sure the model is of it."""

    label: str
    score: float
    box: Box


class ObjectDetectionOutput(RootModel[list[Detection]]):
    """The objects above the model's threshold, the surest first; possibly none."""


TASK = Task(
    name="object-detection",
    title="Object Detection",
    input=ObjectDetectionInput,
    output=ObjectDetectionOutput,
    canary={"image": picture()},
    media_field="image",
    render=lambda output: output.root,
)
