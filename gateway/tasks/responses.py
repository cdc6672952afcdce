"""Text generation in the form of OpenAI's Responses API: items in, a response object out (docs/tasks/chat.md)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from gateway.tasks.base import Task
from gateway.tasks.chat_completion import CHAT, LEAST_TOP_P, Tokens
from gateway.tasks.chat_options import Effort, StreamOptions, thinking
from gateway.tasks.conversation import Message
from gateway.tasks.generation import Generation, GenerationInput
from gateway.tasks.output_format import ResponseFormat, output_format
from gateway.tasks.pieces import Piece
from gateway.tasks.response_answer import Assembly
from gateway.tasks.response_echo import echoed_choice, echoed_format, echoed_tools
from gateway.tasks.response_items import ADDRESSES, Conversation, Items
from gateway.tasks.response_objects import ResponseObject
from gateway.tasks.tool_choice import ToolChoiceField, callable_tools, tool_choice
from gateway.tasks.tools import AnyTools, custom_names
from gateway.tasks.validation import Boolean, Integer, Number, Text, schema_error

LOGPROBS = "message.output_text.logprobs"
# What needs answers that are kept, which none is here.
_STORED = ("previous_response_id", "conversation", "prompt")


class Reasoning(BaseModel):
    """How much to think; summaries are not made."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    effort: Effort | None = None


class TextOptions(BaseModel):
    """The form of the answer's text."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    format: ResponseFormat | None = None


def _known_includes(value: Any) -> Any:
    """Of what a caller wants included, that which exists here."""
    return [item for item in value if item == LOGPROBS] if isinstance(value, list) else value


class ResponsesInput(GenerationInput):
    """A text or a list of items to answer. Nothing is stored: `store` has no effect."""

    input: Items
    instructions: Text | None = None
    stream: Boolean = False
    stream_options: StreamOptions | None = None
    max_output_tokens: Tokens | None = None
    temperature: Annotated[Number, Field(ge=0, le=2)] = 1.0
    top_p: Annotated[Number, Field(ge=0, le=1)] = 1.0
    top_logprobs: Annotated[Integer, Field(ge=0, le=20)] = 0
    include: Annotated[list[Text], BeforeValidator(_known_includes), Field(max_length=64)] | None = None
    tools: AnyTools | None = None
    tool_choice: ToolChoiceField | None = None
    parallel_tool_calls: Boolean = True
    reasoning: Reasoning | None = None
    text: TextOptions | None = None
    truncation: Literal["auto", "disabled"] = "disabled"
    metadata: Annotated[dict[str, Text], Field(max_length=16)] | None = None
    lora: Text | None = None

    @model_validator(mode="before")
    @classmethod
    def _refuse_storage(cls, data: Any) -> Any:
        if isinstance(data, dict):
            for name in _STORED:
                if data.get(name) is not None:
                    raise schema_error(f"'/{name}' is not supported: responses are not stored, so send all items")
            if data.get("background"):
                raise schema_error("'/background' is not supported: responses are not stored")
        return data

    @model_validator(mode="after")
    def _consistent(self) -> ResponsesInput:
        tool_choice(self.tool_choice, self.tools or [])
        # Made while parsing, which is done off the event loop for a large body.
        _ = self.messages
        return self

    @cached_property
    def messages(self) -> tuple[Message, ...]:
        """The conversation that instructions and items are."""
        return Conversation(self.instructions).messages(self.input)

    def generation(self) -> Generation:
        """What it asks for."""
        effort = self.reasoning.effort if self.reasoning is not None else None
        wants_logprobs = bool(self.include) or self.top_logprobs > 0
        return Generation(
            messages=self.messages,
            max_tokens=self.max_output_tokens,
            temperature=self.temperature,
            top_p=max(self.top_p, LEAST_TOP_P),
            logprobs=self.top_logprobs if wants_logprobs else None,
            tools=callable_tools(self.tool_choice, self.tools or []),
            tool_choice=tool_choice(self.tool_choice, self.tools or []),
            parallel_tool_calls=self.parallel_tool_calls,
            format=output_format(self.text.format if self.text is not None else None),
            lora=self.lora,
            **thinking(effort),
        )

    @property
    def customs(self) -> frozenset[str]:
        """The names of the tools whose calls have text in place of arguments."""
        return custom_names(self.tools or ())

    def echo(self) -> dict[str, Any]:
        """What a response object repeats of its request."""
        format = self.text.format if self.text is not None else None
        return {
            "instructions": self.instructions,
            "max_output_tokens": self.max_output_tokens,
            "metadata": self.metadata or {},
            "parallel_tool_calls": self.parallel_tool_calls,
            "previous_response_id": None,
            "reasoning": {"effort": self.reasoning.effort if self.reasoning is not None else None, "summary": None},
            "store": False,
            "temperature": self.temperature,
            "text": {"format": echoed_format(format)},
            "tool_choice": echoed_choice(self.tool_choice, self.tools),
            "tools": echoed_tools(self.tools),
            "top_logprobs": self.top_logprobs,
            "top_p": self.top_p,
            "truncation": "disabled",
        }


def collect(pieces: Sequence[Piece], input: ResponsesInput) -> dict[str, Any]:
    """The pieces of one stream as a `ResponseObject`: what the last event of a stream would hold."""
    assembly = Assembly(input.origin, input.echo(), input.customs)
    for piece in pieces:
        assembly.feed(piece)
    return assembly.response()


RESPONSES = Task(
    name="text-generation",
    title="Text Generation",
    input=ResponsesInput,
    output=ResponseObject,
    canary={"input": "Hi", "max_output_tokens": 1, "temperature": 0},
    shape="responses",
    collect=collect,
    addresses=ADDRESSES,
)
GPT_OSS = replace(CHAT, shape="gpt-oss", variants={"input": RESPONSES})
