"""The objects that a chat completion is made of, as the catalogue describes them; knows no engine and no route."""

from __future__ import annotations

from typing import Literal, NotRequired

from typing_extensions import TypedDict  # pydantic reads the standard library's only from Python 3.12 on

from gateway.tasks.pieces import TokenCounts


class FunctionObject(TypedDict):
    """A function to call; `arguments` is the JSON of an object, as text."""

    name: str
    arguments: str


class FunctionCallObject(TypedDict):
    """A function to call, with the id that its result refers to."""

    id: str
    type: Literal["function"]
    function: FunctionObject


class CustomObject(TypedDict):
    """A custom tool to call; `input` is the text for it."""

    name: str
    input: str


class CustomCallObject(TypedDict):
    """A custom tool to call, with the id that its result refers to."""

    id: str
    type: Literal["custom"]
    custom: CustomObject


ToolCallObject = FunctionCallObject | CustomCallObject


class MessageObject(TypedDict):
    """What the model says; `content` is null if it only calls tools."""

    role: str
    content: str | None
    reasoning_content: NotRequired[str]
    tool_calls: NotRequired[list[ToolCallObject]]
    function_call: NotRequired[FunctionObject]


class RivalObject(TypedDict):
    """A token, the natural logarithm of its probability, and its UTF-8 bytes, null if nobody knows them.

    A part of a character has its bytes as `\\xe6` in `token`.
    """

    token: str
    logprob: float
    bytes: list[int] | None


class TokenObject(RivalObject):
    """A token of the answer and those that were likeliest in its place."""

    top_logprobs: list[RivalObject]


class LogprobsObject(TypedDict):
    """The tokens of the answer."""

    content: list[TokenObject]
    refusal: None


class ChoiceObject(TypedDict):
    """One answer; `stop_reason` is the stop string that ended it."""

    index: int
    message: MessageObject
    finish_reason: str
    logprobs: LogprobsObject | None
    stop_reason: NotRequired[str | None]


class ChatCompletion(TypedDict):
    """The whole answer."""

    id: str
    object: str
    created: int
    model: str
    choices: list[ChoiceObject]
    usage: TokenCounts
    prompt_logprobs: NotRequired[None]


class TextChoiceObject(TypedDict):
    """One continuation of a prompt."""

    index: int
    text: str
    reasoning_content: NotRequired[str]
    finish_reason: str
    stop_reason: str | None
    logprobs: None
    prompt_logprobs: None


class TextCompletion(TypedDict):
    """The answer to a plain prompt, of the families that tell the two apart."""

    id: str
    object: str
    created: int
    model: str
    choices: list[TextChoiceObject]
    usage: TokenCounts
