"""Image classification: one image in, the most probable labels out."""

from __future__ import annotations

from pydantic import RootModel

from gateway.tasks.amounts import Amounts
from gateway.tasks.base import Extent, Task, TaskInput
from gateway.tasks.image import Image, length
from gateway.tasks.media import picture
from gateway.tasks.text_classification import Label

TOP = 5


class ImageClassificationInput(TaskInput):
    """Raw bytes of an image file, or JSON with `image` as an array of bytes or as base64."""

    image: Image

    def extent(self) -> Extent:
        """One row; the length is in thousands of pixels."""
        return Extent(1, length(self.image))


class ImageClassificationOutput(RootModel[list[Label]]):
    """The `TOP` most probable labels, or all if there are fewer, the most probable one first."""


TASK = Task(
    name="image-classification",
    title="Image Classification",
    input=ImageClassificationInput,
    output=ImageClassificationOutput,
    canary={"image": picture()},
    media_field="image",
    render=lambda output: output.root,
    measure=lambda _input, _output: Amounts(images=1),
)
