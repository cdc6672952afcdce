"""Text generation, native family: prompt or messages in, text in one answer or in pieces out (docs/api.md)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import orjson
from pydantic import BaseModel, ConfigDict, Field, model_validator

from gateway.errors import JsonModeFailed
from gateway.tasks.base import Extent, Task, TaskInput
from gateway.tasks.conversation import ADDRESSES as IN_MESSAGES
from gateway.tasks.conversation import Messages, need_prompt_or_messages
from gateway.tasks.generation import Choice, FinishedCall, Generation, first
from gateway.tasks.image import ADDRESSES, Image
from gateway.tasks.json_schema import BoundedSchema
from gateway.tasks.output_format import ResponseFormat, output_format
from gateway.tasks.pieces import Counted, Piece, Usage
from gateway.tasks.schema import forms
from gateway.tasks.tools import ToolChoiceField, Tools, tool_choice
from gateway.tasks.validation import Boolean, Integer, Number, Text

DEFAULT_TOKENS = 256
Penalty = Annotated[Number, Field(ge=-2, le=2)]


class EmbeddedFunction(BaseModel):
    """Code that some clients offer to run themselves; it is taken and has no effect here."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    name: Text
    code: Text


class TextGenerationInput(TaskInput):
    """`messages` or `prompt`; if both are there, the messages count. `image` belongs to the user's last turn."""

    model_config = ConfigDict(json_schema_extra=forms(Prompt="prompt", Messages="messages"))

    prompt: Annotated[Text, Field(min_length=1)] | None = None
    messages: Messages | None = None
    image: Image | None = None
    raw: Boolean = False
    stream: Boolean = False
    max_tokens: Annotated[Integer, Field(ge=1)] = DEFAULT_TOKENS
    temperature: Annotated[Number, Field(ge=0, le=5)] = 0.6
    top_p: Annotated[Number, Field(ge=0.001, le=1)] | None = None
    top_k: Annotated[Integer, Field(ge=1, le=50)] | None = None
    seed: Annotated[Integer, Field(ge=1, le=9_999_999_999)] | None = None
    repetition_penalty: Annotated[Number, Field(ge=0, le=2)] | None = None
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    lora: Text | None = None
    functions: list[EmbeddedFunction] | None = None
    tools: Tools | None = None
    tool_choice: ToolChoiceField | None = None
    response_format: ResponseFormat | None = None
    guided_json: BoundedSchema | None = None

    @model_validator(mode="after")
    def _one_of(self) -> TextGenerationInput:
        need_prompt_or_messages(self.prompt, self.messages)
        tool_choice(self.tool_choice, self.tools or [])
        return self

    def generation(self) -> Generation:
        """What it asks for. The contract lets clients send a repetition penalty of 0: it counts as none."""
        named = "max_tokens" in self.model_fields_set
        return Generation(
            messages=tuple(self.messages or ()),
            prompt=self.prompt or "",
            images=() if self.image is None else (self.image,),
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
            tools=tuple(self.tools or ()),
            tool_choice=tool_choice(self.tool_choice, self.tools or []),
            format=output_format(self.response_format, self.guided_json),
            lora=self.lora,
        )

    def extent(self) -> Extent:
        """One row of prompt and output."""
        return self.generation().extent()


class FlatCall(BaseModel):
    """A tool call as the native family gives it."""

    name: str
    arguments: dict[str, Any]


class TextGenerationOutput(BaseModel):
    """The whole text, or the value that the caller's schema asked for, and the tools to call.

    `response` is null if there are only tool calls; `tool_calls` is absent where the caller offered no tools.
    """

    response: str | dict[str, Any] | list[Any] | float | bool | None
    tool_calls: list[FlatCall] | None = None
    usage: Counted | None = None


def flat_calls(calls: Sequence[FinishedCall]) -> list[FlatCall]:
    """The calls with their arguments as objects; one whose arguments were cut short is left out."""
    found = ((call.name, _object(call.arguments)) for call in calls)
    return [FlatCall(name=name, arguments=arguments) for name, arguments in found if arguments is not None]


def _object(text: str) -> dict[str, Any] | None:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


def collect(pieces: Sequence[Piece], input: TextGenerationInput) -> TextGenerationOutput:
    """The pieces of one stream as one output; raises `JsonModeFailed` if the text is not the JSON it had to be."""
    choice, usage = first(pieces)
    calls = flat_calls(choice.tool_calls)
    response = None if calls and not choice.text.strip() else _response(choice, input)
    return TextGenerationOutput(response=response, tool_calls=calls if input.tools else None, usage=usage)


def _response(choice: Choice, input: TextGenerationInput) -> Any:
    if not output_format(input.response_format, input.guided_json).is_json:
        return choice.text
    try:
        return orjson.loads(choice.text)
    except orjson.JSONDecodeError:
        raise JsonModeFailed from None


def _render(output: TextGenerationOutput) -> dict[str, Any]:
    rendered: dict[str, Any] = {"response": output.response}
    if output.tool_calls is not None:
        rendered["tool_calls"] = output.tool_calls
    return rendered | {"usage": (output.usage or Usage()).as_dict()}


TASK = Task(
    name="text-generation",
    title="Text Generation",
    input=TextGenerationInput,
    output=TextGenerationOutput,
    canary={"prompt": "Hi", "max_tokens": 1, "temperature": 0},
    render=_render,
    collect=collect,
    addresses=(*ADDRESSES, *IN_MESSAGES),
)
