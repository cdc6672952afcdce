"""Text generation in OpenAI's form: a chat completion request in, a chat.completion object out (docs/tasks/chat.md)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, model_validator

from gateway.tasks.base import Task
from gateway.tasks.chat_answer import choice_object, head
from gateway.tasks.chat_objects import ChatCompletion
from gateway.tasks.chat_options import (
    Effort,
    Ignored,
    LegacyFunctionCall,
    LegacyFunctions,
    LogitBias,
    Stop,
    StreamOptions,
    TemplateOptions,
    as_tool_choice,
    thinking,
)
from gateway.tasks.conversation import ADDRESSES, Messages, need_prompt_or_messages
from gateway.tasks.custom_text import CustomCalls
from gateway.tasks.generation import Generation, gather
from gateway.tasks.json_schema import BoundedSchema
from gateway.tasks.native import Penalty
from gateway.tasks.output_format import ResponseFormat, output_format
from gateway.tasks.pieces import Piece
from gateway.tasks.schema import forms
from gateway.tasks.tool_choice import ToolChoiceField, callable_tools, tool_choice
from gateway.tasks.tools import AnyTool, AnyTools, ToolChoice, custom_names
from gateway.tasks.validation import Boolean, Integer, Number, Text, schema_error

MAX_CHOICES = 8
MAX_SEED = 2**63 - 1
# The least part of the probability that engines can keep; OpenAI's clients may ask for none.
LEAST_TOP_P = 0.001
Tokens = Annotated[Integer, Field(ge=1)]


class ChatCompletionInput(Ignored):
    """`messages` or `prompt`; if both are there, the messages count."""

    model_config = ConfigDict(json_schema_extra=forms(Prompt="prompt", Messages="messages"))

    prompt: Annotated[Text, Field(min_length=1)] | None = None
    messages: Messages | None = None
    raw: Boolean = False
    stream: Boolean = False
    stream_options: StreamOptions | None = None
    max_tokens: Tokens | None = None
    max_completion_tokens: Tokens | None = None
    temperature: Annotated[Number, Field(ge=0, le=2)] = 1.0
    top_p: Annotated[Number, Field(ge=0, le=1)] = 1.0
    top_k: Annotated[Integer, Field(ge=-1, le=1000)] | None = None
    seed: Annotated[Integer, Field(ge=-MAX_SEED, le=MAX_SEED)] | None = None
    repetition_penalty: Annotated[Number, Field(ge=0, le=2)] | None = None
    frequency_penalty: Penalty = 0.0
    presence_penalty: Penalty = 0.0
    logit_bias: LogitBias | None = None
    logprobs: Boolean = False
    top_logprobs: Annotated[Integer, Field(ge=0, le=20)] = 0
    n: Annotated[Integer, Field(ge=1, le=MAX_CHOICES)] = 1
    stop: Stop | None = None
    ignore_eos: Boolean = False
    tools: AnyTools | None = None
    tool_choice: ToolChoiceField | None = None
    parallel_tool_calls: Boolean = True
    functions: LegacyFunctions | None = None
    function_call: LegacyFunctionCall | None = None
    response_format: ResponseFormat | None = None
    guided_json: BoundedSchema | None = None
    reasoning_effort: Effort | None = None
    chat_template_kwargs: TemplateOptions | None = None
    lora: Text | None = None
    modalities: Annotated[list[Literal["text", "audio"]], Field(max_length=2)] | None = None

    @model_validator(mode="after")
    def _consistent(self) -> ChatCompletionInput:
        need_prompt_or_messages(self.prompt, self.messages)
        if self.top_logprobs and not self.logprobs:
            raise schema_error("'/top_logprobs' needs '/logprobs' to be true")
        if "audio" in (self.modalities or ()):
            raise schema_error("'/modalities' must be 'text': no model here speaks in a chat")
        self.choice_of_tools()
        return self

    @property
    def is_legacy(self) -> bool:
        """Whether the caller knows functions, and no tools."""
        return bool(self.functions) and not self.tools

    @property
    def wants_usage(self) -> bool:
        """Whether a stream ends with the token counts."""
        return self.stream_options is not None and bool(self.stream_options.include_usage)

    @property
    def customs(self) -> frozenset[str]:
        """The names of the tools whose calls have text in place of arguments."""
        return custom_names(self.tools or ())

    def offered(self) -> Sequence[AnyTool]:
        """The tools, under either of their names."""
        return self.tools or self.functions or []

    def choice_of_tools(self) -> ToolChoice:
        """Which of the tools may or must be called; raises a schema error for one that is not there."""
        return tool_choice(self._wanted(), self.offered())

    def _wanted(self) -> str | dict[str, Any] | None:
        return as_tool_choice(self.function_call) if self.is_legacy else self.tool_choice

    def generation(self) -> Generation:
        """What it asks for. `max_tokens` is the older name of `max_completion_tokens`."""
        return Generation(
            messages=tuple(self.messages or ()),
            prompt=self.prompt or "",
            raw=self.raw,
            max_tokens=self.max_completion_tokens or self.max_tokens,
            temperature=self.temperature,
            top_p=max(self.top_p, LEAST_TOP_P),
            top_k=max(self.top_k or 0, 0),
            seed=None if self.seed is None else self.seed % 2**62,
            repetition_penalty=self.repetition_penalty or 1.0,
            frequency_penalty=self.frequency_penalty,
            presence_penalty=self.presence_penalty,
            logit_bias={int(token): bias for token, bias in (self.logit_bias or {}).items()},
            logprobs=self.top_logprobs if self.logprobs else None,
            stop=tuple(self.stop or ()),
            ignore_eos=self.ignore_eos,
            n=self.n,
            tools=callable_tools(self._wanted(), self.offered()),
            tool_choice=self.choice_of_tools(),
            parallel_tool_calls=self.parallel_tool_calls and not self.is_legacy,
            format=output_format(self.response_format, self.guided_json),
            lora=self.lora,
            **thinking(self.reasoning_effort, self.chat_template_kwargs),
        )


def collect(pieces: Sequence[Piece], input: ChatCompletionInput) -> dict[str, Any]:
    """The pieces of one stream as a `ChatCompletion`."""
    generated = gather(map(CustomCalls(input.customs).read, pieces))
    choices = [choice_object(choice, logprobs=input.logprobs, legacy=input.is_legacy) for choice in generated.choices]
    return {**head(input.origin, "chat.completion"), "choices": choices, "usage": generated.usage.as_dict()}


CHAT = Task(
    name="text-generation",
    title="Text Generation",
    input=ChatCompletionInput,
    output=ChatCompletion,
    canary={"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1, "temperature": 0},
    shape="chat-completion",
    collect=collect,
    addresses=ADDRESSES,
)
