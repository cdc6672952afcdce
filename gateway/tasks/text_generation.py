"""Text generation, native family: prompt or messages in, text in one answer or in pieces out (docs/api.md)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, model_validator

from gateway.tasks.base import Extent, Task, TaskInput
from gateway.tasks.pieces import Counted, Piece, Usage
from gateway.tasks.schema import forms
from gateway.tasks.validation import Boolean, Integer, Number, Text, schema_error

Penalty = Annotated[Number, Field(ge=-2, le=2)]


class ContentPart(BaseModel):
    """A part of a message; parts of types other than text keep their own keys."""

    model_config = ConfigDict(extra="allow", frozen=True)

    type: Text = "text"
    text: Text | None = None


def _as_parts(value: Any) -> Any:
    """A single part stands for a list of one, and null for the empty string, as clients send both."""
    if value is None:
        return ""
    return [value] if isinstance(value, dict) else value


def _content_kind(value: Any) -> str:
    return "<array>" if isinstance(value, list) else "<string>"


Content = Annotated[
    Annotated[Text, Tag("<string>")] | Annotated[list[ContentPart], Tag("<array>")], Discriminator(_content_kind)
]


class Message(BaseModel):
    """One turn of a conversation."""

    model_config = ConfigDict(extra="allow", frozen=True)

    role: Annotated[Text, Field(min_length=1, max_length=64)]
    content: Annotated[Content, BeforeValidator(_as_parts)] = ""

    def text(self) -> str:
        """The text of the message, its parts joined by newlines."""
        if isinstance(self.content, str):
            return self.content
        return "\n".join(part.text for part in self.content if part.text is not None)


class TextGenerationInput(TaskInput):
    """`messages` or `prompt`; if both are there, the messages count."""

    model_config = ConfigDict(json_schema_extra=forms(Prompt="prompt", Messages="messages"))

    prompt: Annotated[Text, Field(min_length=1)] | None = None
    messages: Annotated[list[Message], Field(min_length=1, max_length=10_000)] | None = None
    raw: Boolean = False
    stream: Boolean = False
    max_tokens: Annotated[Integer, Field(ge=1)] = 256
    temperature: Annotated[Number, Field(ge=0, le=5)] = 0.6
    top_p: Annotated[Number, Field(ge=0.001, le=1)] | None = None
    top_k: Annotated[Integer, Field(ge=1, le=50)] | None = None
    seed: Annotated[Integer, Field(ge=1, le=9_999_999_999)] | None = None
    repetition_penalty: Annotated[Number, Field(ge=0, le=2)] | None = None
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    lora: Text | None = None

    @model_validator(mode="after")
    def _one_of(self) -> TextGenerationInput:
        if self.prompt is None and self.messages is None:
            raise schema_error(
                "oneOf at '/' not met, 0 matches: "
                "required properties at '/' are 'prompt', required properties at '/' are 'messages'"
            )
        return self

    def extent(self) -> Extent:
        """One row of prompt and output; a token is about four characters."""
        if self.messages is not None:
            characters = sum(len(message.text()) for message in self.messages)
        else:
            characters = len(self.prompt or "")
        return Extent(1, 2 + characters // 4 + self.max_tokens)


class TextGenerationOutput(BaseModel):
    """The whole text and its token counts."""

    response: str | None
    usage: Counted | None = None


def collect(pieces: Sequence[Piece], input: TextGenerationInput) -> TextGenerationOutput:
    """The pieces of one stream as one output."""
    usage = next((piece.usage for piece in reversed(pieces) if piece.usage is not None), None)
    return TextGenerationOutput(response="".join(piece.text for piece in pieces), usage=usage)


def _render(output: TextGenerationOutput) -> dict[str, Any]:
    usage = output.usage or Usage()
    return {"response": output.response, "usage": usage.as_dict()}


TASK = Task(
    name="text-generation",
    title="Text Generation",
    input=TextGenerationInput,
    output=TextGenerationOutput,
    canary={"prompt": "Hi", "max_tokens": 1, "temperature": 0},
    render=_render,
    collect=collect,
)
