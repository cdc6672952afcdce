"""Calls of custom tools on every route that has them, whole and streamed, with an engine that says what it is told."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator

from tests.api.conftest import ACCOUNT, Served
from tests.api.events import events, frames

pytestmark = pytest.mark.asyncio(loop_scope="session")
V1 = f"/client/v4/accounts/{ACCOUNT}/ai/v1"
CODE = 'print("日本 😀")\n# \\ and \t\n'
CHAT_TOOLS = [
    {"type": "custom", "custom": {"name": "run", "description": "Runs Python"}},
    {"type": "function", "function": {"name": "weather"}},
]
FLAT_TOOLS: list[dict[str, Any]] = [
    {"type": "custom", "name": "run", "description": "Runs Python"},
    {"type": "custom", "name": "dial", "format": {"type": "grammar", "syntax": "regex", "definition": "[0-9]+"}},
    {"type": "function", "name": "weather"},
]
STEPS = [
    {"text": "I look. "},
    {"call": ["run", {"input": CODE}]},
    {"call": ["weather", {"town": "Oslo"}]},
    {"call": ["run", {"code": "1"}]},
]
# What a call of `run` that has no `input` has in its place.
AS_WRITTEN = '{"code": "1"}'


async def chat(served: Served, route: str, steps: Any = STEPS, **fields: Any) -> httpx.Response:
    """Ask a row of the native family on `v1`, and one of the chat.completion family on `run`."""
    body = {"messages": [{"role": "user", "content": json.dumps(steps)}], "tools": CHAT_TOOLS, **fields}
    if route == "v1":
        return await served.http.post(f"{V1}/chat/completions", json={"model": "@cf/test/say", **body})
    return await served.run("say-chat", json=body)


async def respond(served: Served, steps: Any = STEPS, **fields: Any) -> httpx.Response:
    body = {"model": "@cf/test/say", "input": json.dumps(steps), "tools": FLAT_TOOLS, **fields}
    return await served.http.post(f"{V1}/responses", json=body)


def deltas(response: httpx.Response) -> list[dict[str, Any]]:
    """The increments of calls in a stream of chunks."""
    *chunks, _ = frames(response.text)
    choices = [choice for chunk in chunks for choice in chunk.get("choices", [])]
    return [delta for choice in choices for delta in choice["delta"].get("tool_calls", [])]


BOTH = pytest.mark.parametrize("route", ["v1", "run"])


@BOTH
async def test_a_custom_call_has_its_text(served: Served, route: str) -> None:
    answer = (await chat(served, route)).json()
    (choice,) = (answer if route == "v1" else answer["result"])["choices"]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["tool_calls"] == [
        {"id": "call-0-0", "type": "custom", "custom": {"name": "run", "input": CODE}},
        {"id": "call-0-1", "type": "function", "function": {"name": "weather", "arguments": '{"town": "Oslo"}'}},
        {"id": "call-0-2", "type": "custom", "custom": {"name": "run", "input": AS_WRITTEN}},
    ]


@BOTH
async def test_a_stream_of_chunks_tells_the_text_in_fragments(served: Served, route: str) -> None:
    told = deltas(await chat(served, route, stream=True))
    first, *rest = [delta for delta in told if delta["index"] == 0]
    assert {key: first[key] for key in ("index", "id", "type")} == {"index": 0, "id": "call-0-0", "type": "custom"}
    assert first["custom"]["name"] == "run"
    assert rest
    assert all(set(delta) == {"index", "custom"} and set(delta["custom"]) == {"input"} for delta in rest)
    assert "".join(delta["custom"]["input"] for delta in [first, *rest]) == CODE
    assert "".join(delta["custom"]["input"] for delta in told if delta["index"] == 2) == AS_WRITTEN
    functions = [delta["function"] for delta in told if delta["index"] == 1]
    assert "".join(function["arguments"] for function in functions) == '{"town": "Oslo"}'


@BOTH
@pytest.mark.parametrize(("begun", "text"), [('{"input": "a\\u00', "a"), ('{"inp', ""), ("print(", "print(")])
async def test_a_call_that_was_cut_short_is_told_alike(served: Served, route: str, begun: str, text: str) -> None:
    steps = [{"cut": ["run", begun], "end": "length"}]
    answer = (await chat(served, route, steps)).json()
    (choice,) = (answer if route == "v1" else answer["result"])["choices"]
    assert choice["finish_reason"] == "length"
    assert [call["custom"]["input"] for call in choice["message"]["tool_calls"]] == [text]
    told = deltas(await chat(served, route, steps, stream=True))
    assert "".join(delta["custom"]["input"] for delta in told) == text


async def test_every_choice_has_its_own_calls(served: Served) -> None:
    choices = (await chat(served, "v1", n=2)).json()["choices"]
    texts = [[call["custom"]["input"] for call in choice["message"]["tool_calls"][::2]] for choice in choices]
    assert texts == [[CODE, AS_WRITTEN]] * 2


async def test_a_response_has_items_of_custom_calls(served: Served) -> None:
    answer = (await respond(served)).json()
    _, first, _, last = answer["output"]
    assert first["id"].startswith("ctc_")
    told = {"type": "custom_tool_call", "call_id": "call-0-0", "name": "run", "input": CODE, "status": "completed"}
    assert first == {"id": first["id"], **told}
    assert (last["type"], last["input"]) == ("custom_tool_call", AS_WRITTEN)
    assert [item["type"] for item in answer["output"]][2] == "function_call"
    assert answer["tools"][:2] == [
        {**FLAT_TOOLS[0], "format": {"type": "text"}},
        {**FLAT_TOOLS[1], "description": ""},
    ]


async def test_events_of_a_custom_call_are_its_own(served: Served) -> None:
    found = events((await respond(served, stream=True)).text)
    (_, completed) = found[-1]
    assert [data["item"] for name, data in found if name == "response.output_item.done"] == completed["response"][
        "output"
    ]
    call = completed["response"]["output"][1]
    mine = [data for _, data in found if data.get("item_id") == call["id"]]
    *parts, done = mine
    assert len(parts) > 1
    assert {data["type"] for data in parts} == {"response.custom_tool_call_input.delta"}
    assert "".join(data["delta"] for data in parts) == CODE
    expected = {"type": "response.custom_tool_call_input.done", "item_id": call["id"], "output_index": 1, "input": CODE}
    assert done == {**expected, "sequence_number": done["sequence_number"]}
    (added,) = [
        data["item"] for name, data in found if name.endswith("output_item.added") and data["output_index"] == 1
    ]
    assert added == {**call, "input": "", "status": "in_progress"}


async def test_a_response_repeats_which_custom_tool_was_chosen(served: Served) -> None:
    choice = {"type": "custom", "name": "run"}
    assert (await respond(served, tool_choice=choice)).json()["tool_choice"] == choice


async def test_the_catalogues_schemas_have_custom_tools_and_their_calls(served: Served) -> None:
    path = f"/client/v4/accounts/{ACCOUNT}/ai/models/schema"
    schemas = (await served.http.get(path, params={"model": "@cf/test/say-chat"})).json()["result"]
    takes, gives = (Draft202012Validator(schemas[key]) for key in ("input", "output"))
    calls = [
        {"id": "a", "type": "custom", "custom": {"name": "run", "input": CODE}},
        {"id": "b", "type": "function", "function": {"name": "weather", "arguments": "{}"}},
        {"name": "weather", "arguments": {}},
    ]
    takes.validate({"messages": [{"role": "assistant", "tool_calls": calls}]})
    for tools in (CHAT_TOOLS, FLAT_TOOLS):
        takes.validate({"prompt": "x", "tools": tools})
    grammar = {"type": "grammar", "grammar": {"syntax": "regex", "definition": "a" * 509}}
    too_long = {"type": "custom", "custom": {"name": "x", "format": grammar}}
    for tool in (too_long, {"type": "custom"}, {"type": "custom", "name": ""}):
        assert not takes.is_valid({"prompt": "x", "tools": [tool]})
    answer = (await chat(served, "run")).json()["result"]
    gives.validate(answer)
    del answer["choices"][0]["message"]["tool_calls"][0]["custom"]["input"]
    assert not gives.is_valid(answer)
