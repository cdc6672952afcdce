"""Multimodal embeddings: an image, texts or both in, vectors of one space out."""

from __future__ import annotations

import base64
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from gateway.tasks.base import Extent, Task, TaskInput
from gateway.tasks.cost import Cost, tokens_of
from gateway.tasks.image import ADDRESSES, Base64Image, length, pixels
from gateway.tasks.media import picture
from gateway.tasks.text_embeddings import Vectors
from gateway.tasks.texts import MAX_TEXTS
from gateway.tasks.validation import Text, schema_error


class MultimodalEmbeddingsInput(TaskInput):
    """`image` as base64, `text` as a list, or both."""

    image: Base64Image | None = None
    text: Annotated[list[Annotated[Text, Field(min_length=1)]], Field(min_length=1, max_length=MAX_TEXTS)] | None = None

    @model_validator(mode="after")
    def _any_of(self) -> MultimodalEmbeddingsInput:
        if self.image is None and self.text is None:
            raise schema_error(
                "anyOf at '/' not met, 0 matches: "
                "required properties at '/' are 'image', required properties at '/' are 'text'"
            )
        return self

    def extent(self) -> Extent:
        """A row for the image and one per text; thousands of pixels or tokens, whichever are more."""
        picture = 0 if self.image is None else length(self.image)
        texts = Extent.of_text(max(map(len, self.text or [""])), len(self.text or ()))
        return Extent(texts.rows + (self.image is not None), max(picture, texts.length))

    def cost(self) -> Cost:
        """The tokens of all texts, and the pixels to decode."""
        return {"tokens": tokens_of(self.text or ()), "pixels": 0 if self.image is None else pixels(self.image)}


class MultimodalEmbeddingsOutput(BaseModel):
    """`data` is float32 of `shape` (rows, dimensions): the image's row first, then those of the texts in order."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    data: Vectors
    shape: list[int]


TASK = Task(
    name="multimodal-embeddings",
    title="Multimodal Embeddings",
    input=MultimodalEmbeddingsInput,
    output=MultimodalEmbeddingsOutput,
    canary={"image": base64.b64encode(picture()).decode(), "text": ["a fine day"]},
    render=lambda output: {"data": output.data, "shape": output.shape},
    addresses=ADDRESSES,
)
