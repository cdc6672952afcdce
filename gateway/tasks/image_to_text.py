"""Image to text: a picture and words about it in, a description out (docs/tasks/vision.md)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from gateway.tasks.base import Extent, Task, TaskInput
from gateway.tasks.conversation import ADDRESSES as IN_MESSAGES
from gateway.tasks.conversation import Messages, need_prompt_or_messages
from gateway.tasks.generation import Generation, first
from gateway.tasks.image import ADDRESSES, Image
from gateway.tasks.media import picture
from gateway.tasks.pieces import Piece, Usage
from gateway.tasks.schema import forms
from gateway.tasks.validation import Boolean, Integer, Number, Text

DEFAULT_TOKENS = 512
# What a picture without words is asked with.
CAPTION = "Generate a caption for this image"
Penalty = Annotated[Number, Field(ge=-2, le=2)]


class ImageToTextInput(TaskInput):
    """A picture, as raw bytes or in JSON, and what to say about it; without words it is given a caption."""

    image: Image
    prompt: Annotated[Text, Field(min_length=1)] | None = None
    messages: Messages | None = None
    raw: Boolean = False
    max_tokens: Annotated[Integer, Field(ge=1)] = DEFAULT_TOKENS
    temperature: Annotated[Number, Field(ge=0, le=5)] = 0.6
    top_p: Annotated[Number, Field(ge=0, le=1)] | None = None
    top_k: Annotated[Integer, Field(ge=0, le=1000)] | None = None
    seed: Annotated[Integer, Field(ge=0, le=9_999_999_999)] | None = None
    repetition_penalty: Annotated[Number, Field(ge=0, le=2)] | None = None
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    ignore_eos: Boolean = False

    def generation(self) -> Generation:
        """What it asks for; if there are messages, they count. Penalties and `top_p` of 0 count as none."""
        named = "max_tokens" in self.model_fields_set
        return Generation(
            messages=tuple(self.messages or ()),
            prompt=self.prompt or CAPTION,
            images=(self.image,),
            raw=self.raw,
            max_tokens=self.max_tokens if named else None,
            default_tokens=DEFAULT_TOKENS,
            temperature=self.temperature,
            top_p=self.top_p or 1.0,
            top_k=self.top_k or 0,
            seed=self.seed,
            repetition_penalty=self.repetition_penalty or 1.0,
            frequency_penalty=self.frequency_penalty or 0.0,
            presence_penalty=self.presence_penalty or 0.0,
            ignore_eos=self.ignore_eos,
        )

    def extent(self) -> Extent:
        """One row of picture, question and answer."""
        return self.generation().extent()


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
