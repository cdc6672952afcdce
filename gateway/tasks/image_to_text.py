"""Image to text: a picture and words about it in, a description out (docs/tasks/vision.md)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from gateway.tasks.base import Task
from gateway.tasks.conversation import ADDRESSES as IN_MESSAGES
from gateway.tasks.conversation import need_prompt_or_messages
from gateway.tasks.generation import Generation, first
from gateway.tasks.image import ADDRESSES, Image
from gateway.tasks.media import picture
from gateway.tasks.native import SampledInput
from gateway.tasks.pieces import Piece, Usage
from gateway.tasks.schema import forms
from gateway.tasks.validation import Boolean, Integer

DEFAULT_TOKENS = 512
# What a picture without words is asked with.
CAPTION = "Generate a caption for this image"


class ImageToTextInput(SampledInput):
    """A picture, as raw bytes or in JSON, and what to say about it; without words it is given a caption."""

    image: Image
    max_tokens: Annotated[Integer, Field(ge=1)] = DEFAULT_TOKENS
    ignore_eos: Boolean = False

    def generation(self) -> Generation:
        """What it asks for."""
        return replace(
            super().generation(), prompt=self.prompt or CAPTION, images=(self.image,), ignore_eos=self.ignore_eos
        )


class ImageTextToTextInput(ImageToTextInput):
    """A picture and what to say about it: `prompt`, or the messages whose last turn the picture belongs to."""

    model_config = ConfigDict(json_schema_extra=forms(Prompt="prompt", Messages="messages"))

    @model_validator(mode="after")
    def _one_of(self) -> ImageTextToTextInput:
        need_prompt_or_messages(self.prompt, self.messages)
        return self


class ImageToTextOutput(BaseModel):
    """The words about the picture."""

    description: str
    usage: Usage | None = Field(default=None, exclude=True)


def collect(pieces: Sequence[Piece], input: ImageToTextInput) -> ImageToTextOutput:
    """The pieces of one stream as one output."""
    choice, usage = first(pieces)
    return ImageToTextOutput(description=choice.text, usage=usage)


TASK = Task(
    name="image-to-text",
    title="Image-to-Text",
    input=ImageToTextInput,
    output=ImageToTextOutput,
    canary={"image": picture(), "prompt": "Hi", "max_tokens": 1},
    media_field="image",
    render=lambda output: {"description": output.description},
    collect=collect,
    addresses=(*ADDRESSES, *IN_MESSAGES),
)
WITH_TEXT = Task(
    name="image-text-to-text",
    title="Image-Text-to-Text",
    input=ImageTextToTextInput,
    output=ImageToTextOutput,
    canary={"image": picture(), "prompt": "Hi", "max_tokens": 1},
    render=lambda output: {"description": output.description},
    collect=collect,
    addresses=(*ADDRESSES, *IN_MESSAGES),
)
