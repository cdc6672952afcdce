"""The official openai client and tools that take text: calls, streams, and a starter model held to a regex."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from openai import BadRequestError, OpenAI
from openai.types.responses import (
    ResponseCustomToolCall,
    ResponseCustomToolCallInputDeltaEvent,
    ResponseCustomToolCallInputDoneEvent,
)

from tests.conformance.conftest import SAY
from tests.server import ACCOUNT, Server

CHAT = "@local/smollm2-135m-instruct"
CODE = 'print("日本 😀")\n# \\ and \t\n'
RUN: Any = [{"type": "custom", "custom": {"name": "run", "description": "Runs Python"}}]
FLAT_RUN: Any = [{"type": "custom", "name": "run", "description": "Runs Python"}]
# What one dials is told apart from JSON by what JSON escapes.
DIALLED = r'"[0-9]{2,4}"\n(?:ok|no)'
REGEX = {"syntax": "regex", "definition": DIALLED}
DIAL: Any = [{"type": "custom", "custom": {"name": "dial", "format": {"type": "grammar", "grammar": REGEX}}}]
ASKED: Any = [{"role": "user", "content": "Dial the number of the police."}]


def script(*steps: dict[str, Any]) -> Any:
    return [{"role": "user", "content": json.dumps(steps)}]


def client_of(server: Server) -> OpenAI:
    return OpenAI(api_key="any", base_url=f"{server.base_url}/accounts/{ACCOUNT}/ai/v1", max_retries=0)


@pytest.fixture
def said(scripted: Server) -> Iterator[OpenAI]:
    """Asks the engine that says what it is told."""
    with client_of(scripted) as client:
        yield client


@pytest.fixture
def started(starters: Server) -> Iterator[OpenAI]:
    """Asks the starter models."""
    with client_of(starters) as client:
        yield client


def streamed(client: OpenAI, **asked: Any) -> list[dict[str, Any]]:
    """The custom calls of a stream, joined from its chunks; the client's own helper knows functions alone."""
    calls: list[dict[str, Any]] = []
    for chunk in client.chat.completions.create(**asked, stream=True):
        for delta in chunk.choices[0].delta.tool_calls or () if chunk.choices else ():
            part = delta.to_dict()
            custom: Any = part["custom"]
            if "id" in part:
                calls.append({"id": part["id"], "type": part["type"], "custom": {"name": custom["name"], "input": ""}})
            calls[delta.index]["custom"]["input"] += custom["input"]
    return calls


def test_a_custom_tool_round_trip(said: OpenAI) -> None:
    messages = script({"call": ["run", {"input": CODE}]})
    turn = said.chat.completions.create(model=SAY, messages=messages, tools=RUN).choices[0]
    assert turn.finish_reason == "tool_calls"
    assert turn.message.tool_calls is not None
    (call,) = turn.message.tool_calls
    assert call.type == "custom"
    assert (call.custom.name, call.custom.input) == ("run", CODE)
    assert streamed(said, model=SAY, messages=messages, tools=RUN) == [call.to_dict()]
    messages += [turn.message, {"role": "tool", "tool_call_id": call.id, "content": "日本"}]
    answer = said.chat.completions.create(model=SAY, messages=messages, tools=RUN).choices[0]
    assert answer.message.content == "The tool says: 日本"


def test_a_response_with_a_custom_tool_round_trip(said: OpenAI) -> None:
    items = script({"reasoning": "hm"}, {"call": ["run", {"input": CODE}]})
    first = said.responses.create(model=SAY, input=items, tools=FLAT_RUN, store=False)
    call = first.output[1]
    assert isinstance(call, ResponseCustomToolCall)
    assert (call.name, call.input) == ("run", CODE)
    items += [item.model_dump() for item in first.output]
    items.append({"type": "custom_tool_call_output", "call_id": call.call_id, "output": "日本"})
    assert said.responses.create(model=SAY, input=items, tools=FLAT_RUN).output_text == "The tool says: 日本"


def test_the_response_stream_helper_reads_the_text(said: OpenAI) -> None:
    asked: Any = {"model": SAY, "input": script({"call": ["run", {"input": CODE}]}), "tools": FLAT_RUN}
    with said.responses.stream(**asked) as stream:
        events = list(stream)
        final = stream.get_final_response()
    deltas = [event for event in events if isinstance(event, ResponseCustomToolCallInputDeltaEvent)]
    (done,) = [event for event in events if isinstance(event, ResponseCustomToolCallInputDoneEvent)]
    (call,) = final.output
    assert call.type == "custom_tool_call"
    assert "".join(event.delta for event in deltas) == done.input == call.input == CODE
    assert {event.item_id for event in deltas} == {done.item_id} == {call.id}


@pytest.mark.parametrize("choice", ["required", {"type": "custom", "custom": {"name": "dial"}}])
def test_a_forced_call_keeps_to_its_regex(started: OpenAI, choice: Any) -> None:
    asked: Any = {"model": CHAT, "messages": ASKED, "tools": DIAL, "tool_choice": choice, "temperature": 0}
    asked |= {"parallel_tool_calls": False, "max_tokens": 64}
    (turn,) = started.chat.completions.create(**asked).choices
    assert turn.finish_reason == "tool_calls"
    assert turn.message.tool_calls is not None
    (call,) = turn.message.tool_calls
    assert call.type == "custom"
    assert re.fullmatch(DIALLED, call.custom.input)
    assert [told["custom"] for told in streamed(started, **asked)] == [call.custom.to_dict()]


def test_a_forced_call_of_free_text_is_the_same_in_a_response_and_its_stream(started: OpenAI) -> None:
    asked: Any = {"model": CHAT, "input": "Print the first squares.", "tools": FLAT_RUN, "temperature": 0}
    asked |= {"tool_choice": {"type": "custom", "name": "run"}, "max_output_tokens": 48}
    (call,) = started.responses.create(**asked).output
    assert isinstance(call, ResponseCustomToolCall)
    assert call.input
    with started.responses.stream(**asked) as stream:
        (told,) = stream.get_final_response().output
    assert isinstance(told, ResponseCustomToolCall)
    assert told.input == call.input


def test_a_regex_that_cannot_be_kept_to_is_refused(started: OpenAI) -> None:
    format = {"type": "grammar", "syntax": "regex", "definition": "(?=a)b"}
    tools: Any = [{"type": "custom", "name": "dial", "format": format}]
    with pytest.raises(BadRequestError, match=r"'/tools' cannot be kept to: regex parse error: look-around"):
        started.responses.create(model=CHAT, input="x", tools=tools, tool_choice="required")
