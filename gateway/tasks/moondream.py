"""Image to text in Moondream's form: a skill and a picture in, its answer and timings out (docs/tasks/vision.md)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field, model_validator

from gateway.tasks.base import Task
from gateway.tasks.generation import Generation, first
from gateway.tasks.image import ADDRESSES, Base64Image
from gateway.tasks.media import picture
from gateway.tasks.native import NativeInput
from gateway.tasks.pieces import Piece, Usage
from gateway.tasks.validation import Boolean, Integer, Number, Text, schema_error

DEFAULT_TOKENS = 512
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
    question: Annotated[Text, Field(min_length=1)] | None = None
    caption_length: Literal["short", "normal", "long"] = "normal"
    target: Text | None = None
    reasoning: Boolean = False
    temperature: Annotated[Number, Field(ge=0, le=5)] = 0.5
    top_p: Annotated[Number, Field(ge=0, le=1)] | None = None
    max_tokens: Annotated[Integer, Field(ge=1)] = DEFAULT_TOKENS
    max_objects: Annotated[Integer, Field(ge=1)] | None = None
    stream: Boolean = False

    @model_validator(mode="after")
    def _whole(self) -> MoondreamInput:
        if self.task not in SKILLS:
            raise schema_error(f"'/task': this model answers {' and '.join(SKILLS)}, not {self.task}")
        if self.task == "query" and self.question is None:
            raise schema_error("required properties at '/' are 'question' for the task query")
        if self.task == "caption" and self.image is None:
            raise schema_error("required properties at '/' are 'image' for the task caption")
        if self.stream:
            raise schema_error("'/stream' must be false: answers in this form come whole")
        return self

    def generation(self) -> Generation:
        """What it asks for."""
        return replace(
            super().generation(),
            prompt=(self.question or "") if self.task == "query" else CAPTIONS[self.caption_length],
            images=() if self.image is None else (self.image,),
            top_p=self.top_p or 1.0,
            think=self.reasoning if self.task == "query" else None,
        )


class Metrics(BaseModel):
    """Token counts, and times since the model's process took the request, in milliseconds."""

    input_tokens: int
    output_tokens: int
    prefill_time_ms: float
    decode_time_ms: float
    ttft_ms: float


class Reasoning(BaseModel):
    """What the model thought before its answer."""

    text: str


class MoondreamOutput(BaseModel):
    """`answer` to a query or `caption`, with `reasoning` if it was asked for and the model gave it."""

    finish_reason: str
    metrics: Metrics
    answer: str | None = None
    caption: str | None = None
    reasoning: Reasoning | None = None
    usage: Usage | None = Field(default=None, exclude=True)


def collect(pieces: Sequence[Piece], input: MoondreamInput) -> MoondreamOutput:
    """The pieces of one stream as one output."""
    choice, usage = first(pieces)
    prefill_ms = round(usage.prefill_s * 1000, 3)
    metrics = Metrics(
        input_tokens=usage.prompt_tokens,
        output_tokens=usage.completion_tokens,
        prefill_time_ms=prefill_ms,
        decode_time_ms=round(usage.decode_s * 1000, 3),
        ttft_ms=prefill_ms,
    )
    thought = Reasoning(text=choice.reasoning) if input.reasoning and choice.reasoning else None
    said = {"answer" if input.task == "query" else "caption": choice.text}
    return MoondreamOutput(finish_reason=choice.finish_reason, metrics=metrics, reasoning=thought, usage=usage, **said)


def _render(output: MoondreamOutput) -> dict[str, Any]:
    return output.model_dump(exclude={"usage"}, exclude_none=True)


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
