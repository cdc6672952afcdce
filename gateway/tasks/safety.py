"""Text generation in Llama Guard's form: a conversation in, whether it is safe out (docs/tasks/chat.md)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from gateway.tasks.base import Task
from gateway.tasks.conversation import MAX_MESSAGES, Message
from gateway.tasks.generation import Generation, first
from gateway.tasks.native import NativeInput
from gateway.tasks.pieces import Counted, Piece, Usage
from gateway.tasks.validation import schema_error


class Turn(Message):
    """One turn of the conversation to judge."""

    role: Literal["user", "assistant"]


class VerdictFormat(BaseModel):
    """`json_object` asks for the verdict as an object instead of the model's own words."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    type: str = "text"


class SafetyInput(NativeInput):
    """The conversation, whose turns alternate and begin with the user's."""

    messages: Annotated[list[Turn], Field(min_length=1, max_length=MAX_MESSAGES)]
    response_format: VerdictFormat | None = None

    @model_validator(mode="after")
    def _alternating(self) -> SafetyInput:
        for index, turn in enumerate(self.messages):
            if turn.role != ("user", "assistant")[index % 2]:
                raise schema_error(f"'/messages/{index}/role' must alternate between 'user' and 'assistant'")
        return self

    def generation(self) -> Generation:
        """What it asks for: the model's own template holds the question."""
        return replace(super().generation(), messages=tuple(self.messages))


class Verdict(BaseModel):
    """`categories` are the kinds of harm, in the model's own numbering (S1, S2, …), empty if it is safe."""

    safe: bool
    categories: list[str]


class SafetyOutput(BaseModel):
    """The model's words, `safe` or `unsafe` and the categories in a second line, or the verdict that they mean."""

    response: str | Verdict
    usage: Counted | None = None


def verdict(text: str) -> Verdict:
    """What the model's words mean; words that say neither count as unsafe, with no category."""
    first_line, _, rest = text.strip().partition("\n")
    categories = [] if first_line == "safe" else [name.strip() for name in rest.split(",") if name.strip()]
    return Verdict(safe=first_line == "safe", categories=categories)


def collect(pieces: Sequence[Piece], input: SafetyInput) -> SafetyOutput:
    """The pieces of one stream as one output."""
    choice, usage = first(pieces)
    as_object = input.response_format is not None and input.response_format.type == "json_object"
    return SafetyOutput(response=verdict(choice.text) if as_object else choice.text, usage=usage)


def _render(output: SafetyOutput) -> dict[str, Any]:
    return {"response": output.response, "usage": (output.usage or Usage()).as_dict()}


TASK = Task(
    name="text-generation",
    title="Text Generation",
    shape="llama-guard",
    input=SafetyInput,
    output=SafetyOutput,
    canary={"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1, "temperature": 0},
    render=_render,
    collect=collect,
)
