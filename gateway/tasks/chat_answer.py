"""The objects of a chat completion, whole and in chunks; knows no route and no framing."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, NotRequired

from typing_extensions import TypedDict  # pydantic reads the standard library's only from Python 3.12 on

from gateway.tasks.base import Origin
from gateway.tasks.generation import Choice, FinishedCall
from gateway.tasks.pieces import TokenCounts, TokenLogprob

LEAST_LOGPROB = -9999.0


class FunctionObject(TypedDict):
    """A function to call; `arguments` is the JSON of an object, as text."""

    name: str
    arguments: str


class ToolCallObject(TypedDict):
    """A tool to call."""

    id: str
    type: str
    function: FunctionObject


class MessageObject(TypedDict):
    """What the model says; `content` is null if it only calls tools."""

    role: str
    content: str | None
    reasoning_content: NotRequired[str]
    tool_calls: NotRequired[list[ToolCallObject]]
    function_call: NotRequired[FunctionObject]


class RivalObject(TypedDict):
    """A token, the natural logarithm of its probability, and its UTF-8 bytes, null for a part of a character."""

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


def head(origin: Origin, kind: str) -> dict[str, Any]:
    """What every object of one answer begins with."""
    prefix = "cmpl" if kind.startswith("text_completion") else "chatcmpl"
    return {
        "id": f"{prefix}-{origin.request_id.replace('-', '')}",
        "object": kind,
        "created": int(time.time()),
        "model": origin.model,
    }


def call_object(call: FinishedCall) -> ToolCallObject:
    """A finished call in OpenAI's form."""
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments or "{}"}}


def logprobs_object(reports: Sequence[TokenLogprob]) -> LogprobsObject:
    """What was reported of the tokens, in OpenAI's form."""
    return {"content": [_token(report) for report in reports], "refusal": None}


def _token(report: TokenLogprob) -> TokenObject:
    rivals = [_rival(token, logprob) for token, logprob in report.top]
    return {**_rival(report.token, report.logprob), "top_logprobs": rivals}


def _rival(token: str, logprob: float) -> RivalObject:
    known = None if "\ufffd" in token else list(token.encode())
    return {"token": token, "logprob": max(logprob, LEAST_LOGPROB), "bytes": known}


def finish_reason(reason: str, *, calls: bool, legacy: bool) -> str:
    """The reason as a caller is told it: a turn that ends with calls ends for them."""
    if reason == "stop" and calls:
        reason = "tool_calls"
    return "function_call" if legacy and reason == "tool_calls" else reason


def message_object(choice: Choice, *, legacy: bool = False) -> MessageObject:
    """The message of one choice; `legacy` callers know a single `function_call`."""
    calls = [call_object(call) for call in choice.tool_calls]
    message: MessageObject = {"role": "assistant", "content": choice.text}
    if calls and not choice.text.strip():
        message["content"] = None
    if choice.reasoning:
        message["reasoning_content"] = choice.reasoning
    if calls and legacy:
        message["function_call"] = calls[0]["function"]
    elif calls:
        message["tool_calls"] = calls
    return message


def choice_object(choice: Choice, *, logprobs: bool = False, legacy: bool = False) -> ChoiceObject:
    """One choice of a whole answer."""
    return {
        "index": choice.index,
        "message": message_object(choice, legacy=legacy),
        "finish_reason": finish_reason(choice.finish_reason, calls=bool(choice.tool_calls), legacy=legacy),
        "logprobs": logprobs_object(choice.logprobs) if logprobs else None,
    }
