"""Image to text in Moondream's form: a skill and a picture in, an answer and its timings out (docs/tasks/vision.md)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from gateway.tasks.base import Task
from gateway.tasks.generation import Generation, first
from gateway.tasks.image import ADDRESSES, Base64Image
from gateway.tasks.media import picture
from gateway.tasks.moondream_answer import MoondreamOutput, Said
from gateway.tasks.native import NativeInput
from gateway.tasks.pieces import Piece, counted
from gateway.tasks.validation import Boolean, Integer, Number, Text, schema_error

DEFAULT_TOKENS, MAX_TOKENS = 8192, 28_672
SKILLS = ("query", "caption")
CAPTIONS = {
    "short": "Describe this image in one short sentence.",
    "normal": "Describe this image.",
    "long": "Describe this image in detail.",
}


def _in_the_request(value: Any) -> Any:
    if isinstance(value, str) and value.partition(":")[0].lower() in ("http", "https", "file", "ftp"):
        raise schema_error("must be a data URI (data:image/png;base64,...): no address is fetched")
    return value


class MoondreamInput(NativeInput):
    """A question about a picture, or none, and a caption of it: the skills that any model that sees has.

    `point` and `detect` belong to the form but need a model with heads for places: they are refused by name.
    """

    task: Literal["query", "caption", "point", "detect"] = "query"
    image: Annotated[Base64Image, BeforeValidator(_in_the_request)] | None = None
    question: Annotated[Text, Field(min_length=1)] = "What's in this image?"
    caption_length: Literal["short", "normal", "long"] = "normal"
    target: Text = "person"
    reasoning: Boolean = True
    temperature: Annotated[Number, Field(ge=0, le=2)] = 0.5
    top_p: Annotated[Number, Field(ge=0, le=1)] = 0.9
    max_tokens: Annotated[Integer, Field(ge=1, le=MAX_TOKENS)] = DEFAULT_TOKENS
    max_objects: Annotated[Integer, Field(ge=1, le=500)] = 150
    stream: Boolean = False

    @model_validator(mode="after")
    def _whole(self) -> MoondreamInput:
        if self.task not in SKILLS:
            raise schema_error(f"'/task': this model answers {' and '.join(SKILLS)}, not {self.task}")
        if self.task == "caption" and self.image is None:
            raise schema_error("required properties at '/' are 'image' for the task caption")
        return self

    @property
    def said(self) -> Said:
        """The field of the answer that the text is in."""
        return "answer" if self.task == "query" else "caption"

    @property
    def reasons(self) -> bool:
        """Whether the model is to reason first, and the caller to be told what."""
        return self.reasoning and self.task == "query"

    def generation(self) -> Generation:
        """What it asks for."""
        return replace(
            super().generation(),
            prompt=self.question if self.task == "query" else CAPTIONS[self.caption_length],
            images=() if self.image is None else (self.image,),
            top_p=self.top_p or 1.0,
            think=self.reasoning if self.task == "query" else None,
        )


def collect(pieces: Sequence[Piece], input: MoondreamInput) -> MoondreamOutput:
    """The pieces of one stream as one output."""
    return MoondreamOutput.of(*first(pieces), input.said, reasons=input.reasons)


def _render(output: MoondreamOutput) -> dict[str, Any]:
    return counted(output.model_dump(exclude={"usage"}), output.usage)


MOONDREAM = Task(
    name="image-to-text",
    title="Image-to-Text",
    input=MoondreamInput,
    output=MoondreamOutput,
    canary={"task": "caption", "image": picture(), "max_tokens": 1},
    shape="moondream",
    render=_render,
    collect=collect,
    addresses=ADDRESSES,
)
