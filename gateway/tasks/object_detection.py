"""Object detection: one image in, what is on it and where out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from pydantic import BaseModel, RootModel

from gateway.tasks.base import Task
from gateway.tasks.image import ADDRESSES, ImageInput
from gateway.tasks.image_header import Size
from gateway.tasks.media import picture
from gateway.tasks.text_classification import Label


class ObjectDetectionInput(ImageInput):
    """One image."""


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


class Detection(Label):
    """One object, how sure the model is of it, and where it is."""

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
    addresses=ADDRESSES,
    render=lambda output: output.root,
)
