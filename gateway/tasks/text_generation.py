"""Text generation, native family: prompt or messages in, text in one answer or in pieces out (docs/api.md)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any

import orjson
from pydantic import BaseModel, ConfigDict, Field, model_validator

from gateway.errors import JsonModeFailed
from gateway.tasks.base import Task
from gateway.tasks.chat_options import Effort, Stop, TemplateOptions, thinking
from gateway.tasks.conversation import ADDRESSES as IN_MESSAGES
from gateway.tasks.conversation import need_prompt_or_messages
from gateway.tasks.generation import Choice, FinishedCall, Generation, first
from gateway.tasks.image import ADDRESSES, Image
from gateway.tasks.json_schema import BoundedSchema
from gateway.tasks.native import SampledInput
from gateway.tasks.output_format import ResponseFormat, output_format
from gateway.tasks.pieces import Counted, Piece, Usage
from gateway.tasks.schema import forms
from gateway.tasks.tool_choice import ToolChoiceField, callable_tools, tool_choice
from gateway.tasks.tools import Tools
from gateway.tasks.validation import Boolean, Integer, Number, Text


class EmbeddedFunction(BaseModel):
    """Code that some clients offer to run themselves; it is taken and has no effect here."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    name: Text
    code: Text


class TextGenerationInput(SampledInput):
    """`messages` or `prompt`. `image` belongs to the user's last turn.

    The last four fields are no part of the published schema, but clients send them to this route as well.
    """

    model_config = ConfigDict(json_schema_extra=forms(Prompt="prompt", Messages="messages"))

    image: Image | None = None
    stream: Boolean = False
    top_p: Annotated[Number, Field(ge=0.001, le=1)] | None = None
    top_k: Annotated[Integer, Field(ge=1, le=50)] | None = None
    seed: Annotated[Integer, Field(ge=1, le=9_999_999_999)] | None = None
    lora: Text | None = None
    functions: list[EmbeddedFunction] | None = None
    tools: Tools | None = None
    tool_choice: ToolChoiceField | None = None
    response_format: ResponseFormat | None = None
    guided_json: BoundedSchema | None = None
    stop: Stop | None = None
    parallel_tool_calls: Boolean = True
    reasoning_effort: Effort | None = None
    chat_template_kwargs: TemplateOptions | None = None

    @model_validator(mode="after")
    def _one_of(self) -> TextGenerationInput:
        need_prompt_or_messages(self.prompt, self.messages)
        tool_choice(self.tool_choice, self.tools or [])
        return self

    def generation(self) -> Generation:
        """What it asks for."""
        return replace(
            super().generation(),
            images=() if self.image is None else (self.image,),
            tools=callable_tools(self.tool_choice, self.tools or []),
            tool_choice=tool_choice(self.tool_choice, self.tools or []),
            parallel_tool_calls=self.parallel_tool_calls,
            format=output_format(self.response_format, self.guided_json),
            lora=self.lora,
            stop=tuple(self.stop or ()),
            **thinking(self.reasoning_effort, self.chat_template_kwargs),
        )


class FlatCall(BaseModel):
    """A tool call as the native family gives it."""

    name: str
    arguments: dict[str, Any]


class TextGenerationOutput(BaseModel):
    """The whole text, or the value that the caller's schema asked for, and the tools to call.

    `response` is null if there are only tool calls; `tool_calls` is absent where the caller offered no tools, and
    `reasoning_content` where the model did not think first.
    """

    response: str | dict[str, Any] | list[Any] | int | float | bool | None
    reasoning_content: str | None = None
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
    return TextGenerationOutput(
        response=response,
        reasoning_content=choice.reasoning or None,
        tool_calls=calls if input.tools else None,
        usage=usage,
    )


def _response(choice: Choice, input: TextGenerationInput) -> Any:
    if not output_format(input.response_format, input.guided_json).is_json:
        return choice.text
    try:
        return orjson.loads(choice.text)
    except orjson.JSONDecodeError:
        raise JsonModeFailed from None


def _render(output: TextGenerationOutput) -> dict[str, Any]:
    rendered: dict[str, Any] = {"response": output.response}
    if output.reasoning_content is not None:
        rendered["reasoning_content"] = output.reasoning_content
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
