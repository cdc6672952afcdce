"""Image to text in Moondream's form: a skill and a picture in, words or places and their timings out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from gateway.tasks.base import Task
from gateway.tasks.cost import Cost, tokens_of
from gateway.tasks.generation import Generation, first
from gateway.tasks.image import ADDRESSES, Base64Image, pixels
from gateway.tasks.media import picture
from gateway.tasks.moondream_answer import MoondreamOutput, Said
from gateway.tasks.native import NativeInput
from gateway.tasks.pieces import Piece, counted
from gateway.tasks.places import Search
from gateway.tasks.validation import Boolean, Integer, Number, Text, schema_error

DEFAULT_TOKENS, MAX_TOKENS = 8192, 28_672
MAX_TARGET, MAX_OBJECTS = 1000, 500
# The skills that are answered with places in place of words.
SEARCHES = ("point", "detect")
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
    """A question about a picture, or none; a caption of one; or where on it `target` is, as points or as rectangles.

    Words are any model's that sees; places need a row with a detector.
    """

    task: Literal["query", "caption", "point", "detect"] = "query"
    image: Annotated[Base64Image, BeforeValidator(_in_the_request)] | None = None
    question: Annotated[Text, Field(min_length=1)] = "What's in this image?"
    caption_length: Literal["short", "normal", "long"] = "normal"
    target: Annotated[Text, Field(min_length=1, max_length=MAX_TARGET)] = "person"
    reasoning: Boolean = True
    temperature: Annotated[Number, Field(ge=0, le=2)] = 0.5
    top_p: Annotated[Number, Field(ge=0, le=1)] = 0.9
    max_tokens: Annotated[Integer, Field(ge=1, le=MAX_TOKENS)] = DEFAULT_TOKENS
    max_objects: Annotated[Integer, Field(ge=1, le=MAX_OBJECTS)] = 150
    stream: Boolean = False

    @model_validator(mode="before")
    @classmethod
    def _places_come_whole(cls, data: Any) -> Any:
        is_about_places = isinstance(data, dict) and data.get("task") in SEARCHES
        return {**data, "stream": False} if is_about_places else data

    @model_validator(mode="after")
    def _whole(self) -> MoondreamInput:
        if self.task != "query" and self.image is None:
            raise schema_error(f"required properties at '/' are 'image' for the task {self.task}")
        return self

    @property
    def said(self) -> Said:
        """The field of the answer that the text is in."""
        return "answer" if self.task == "query" else "caption"

    def search(self) -> Search | None:
        """What is looked for, if it is places that are asked for."""
        if self.task not in SEARCHES or self.image is None:
            return None
        return Search(self.task, self.image, self.target, self.max_objects)

    def cost(self) -> Cost:
        """As for any request for text; of a search, the words and the pixels to look at."""
        if self.search() is None or self.image is None:
            return super().cost()
        return {"tokens": tokens_of([self.target]), "pixels": pixels(self.image)}

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
    """The pieces of one stream as one output; raises `BadInput` if an engine has words where places were wanted."""
    search = input.search()
    if search is not None:
        if "places" not in pieces[-1].extra:
            raise search.refusal()
        return MoondreamOutput.of_places(pieces[-1], as_points=input.task == "point")
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
