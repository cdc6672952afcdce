"""Image classification: one image in, the most probable labels out."""

from __future__ import annotations

from pydantic import RootModel

from gateway.tasks.amounts import Amounts
from gateway.tasks.base import Task
from gateway.tasks.image import ADDRESSES, ImageInput
from gateway.tasks.media import picture
from gateway.tasks.text_classification import Label

TOP = 5


class ImageClassificationInput(ImageInput):
    """One image."""


class ImageClassificationOutput(RootModel[list[Label]]):
    """The `TOP` most probable labels, or all if there are fewer, the most probable one first."""


TASK = Task(
    name="image-classification",
    title="Image Classification",
    input=ImageClassificationInput,
    output=ImageClassificationOutput,
    canary={"image": picture()},
    media_field="image",
    addresses=ADDRESSES,
    render=lambda output: output.root,
    measure=lambda _input, _output: Amounts(images=1),
)
