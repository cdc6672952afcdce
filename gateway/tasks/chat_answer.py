"""From what a model gave to the objects of a chat completion, whole or in chunks; knows no route and no framing."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from gateway.tasks.base import Origin
from gateway.tasks.chat_objects import (
    ChoiceObject,
    FunctionObject,
    LogprobsObject,
    MessageObject,
    RivalObject,
    TokenObject,
    ToolCallObject,
)
from gateway.tasks.generation import Choice, FinishedCall
from gateway.tasks.pieces import RatedToken, TokenLogprob

LEAST_LOGPROB = -9999.0


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
    if call.is_custom:
        return {"id": call.id, "type": "custom", "custom": {"name": call.name, "input": call.arguments}}
    return {"id": call.id, "type": "function", "function": function_object(call)}


def function_object(call: FinishedCall) -> FunctionObject:
    """What is called, and with what."""
    return {"name": call.name, "arguments": call.arguments}


def logprobs_object(reports: Sequence[TokenLogprob]) -> LogprobsObject:
    """What was reported of the tokens, in OpenAI's form."""
    return {"content": [_token(report) for report in reports], "refusal": None}


def _token(report: TokenLogprob) -> TokenObject:
    return {**_rival(report), "top_logprobs": [_rival(rival) for rival in report.top]}


def _rival(rated: RatedToken) -> RivalObject:
    data = rated.known_bytes()
    logprob = max(rated.logprob, LEAST_LOGPROB)
    return {"token": rated.token, "logprob": logprob, "bytes": None if data is None else list(data)}


def finish_reason(reason: str, *, calls: bool, legacy: bool) -> str:
    """The reason as a caller is told it: a turn that ends with calls ends for them."""
    if reason == "stop" and calls:
        reason = "tool_calls"
    return "function_call" if legacy and reason == "tool_calls" else reason


def message_object(choice: Choice, *, legacy: bool = False) -> MessageObject:
    """The message of one choice; `legacy` callers know a single `function_call`."""
    calls = choice.tool_calls
    message: MessageObject = {"role": "assistant", "content": choice.text}
    if calls and not choice.text.strip():
        message["content"] = None
    if choice.reasoning:
        message["reasoning_content"] = choice.reasoning
    if calls and legacy:
        message["function_call"] = function_object(calls[0])
    elif calls:
        message["tool_calls"] = [call_object(call) for call in calls]
    return message


def choice_object(choice: Choice, *, logprobs: bool = False, legacy: bool = False) -> ChoiceObject:
    """One choice of a whole answer."""
    return {
        "index": choice.index,
        "message": message_object(choice, legacy=legacy),
        "finish_reason": finish_reason(choice.finish_reason, calls=bool(choice.tool_calls), legacy=legacy),
        "logprobs": logprobs_object(choice.logprobs) if logprobs else None,
    }
