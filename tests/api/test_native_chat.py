"""Answers of the native family, whole and streamed, with an engine that says what it is told."""

from __future__ import annotations

import json

import pytest

from tests.api.conftest import Served
from tests.api.events import DONE, frames
from tests.api.test_chat_completions import CALLS, TALK, TOOLS, script

pytestmark = pytest.mark.asyncio(loop_scope="session")
FLAT = [{"name": "weather", "arguments": {"town": town}} for town in ("Oslo", "Rome")]


@pytest.mark.parametrize("stream", [False, True])
async def test_native_calls_are_flat_and_come_in_one_frame(served: Served, stream: bool) -> None:
    response = await served.run("say", json=script({"text": "so"}, *CALLS) | {"tools": TOOLS, "stream": stream})
    if not stream:
        assert response.json()["result"]["tool_calls"] == FLAT
        return
    text, calls, tail, done = frames(response.text)
    assert (text["response"], done) == ("so", DONE)
    assert "tool_calls" not in text
    assert calls["response"] == ""
    assert calls["tool_calls"] == [{**call, "index": index} for index, call in enumerate(FLAT)]
    assert tail["usage"]["total_tokens"] > 0


@pytest.mark.parametrize("written", ["5", "5.0", "true", "null", '"a"', "[1, 2.5]", '{"a": 1}'])
async def test_json_of_the_native_family_is_the_value_that_was_written(served: Served, written: str) -> None:
    body = script({"text": written}) | {"response_format": {"type": "json_schema", "json_schema": {"title": "any"}}}
    found = (await served.run("say", json=body)).json()["result"]["response"]
    assert json.dumps(found) == written


@pytest.mark.parametrize("stream", [False, True])
async def test_a_call_that_was_cut_is_no_call_of_the_native_family(served: Served, stream: bool) -> None:
    body = script({"cut": ["weather", '{"town": "Os']}, {"end": "length"}) | {"tools": TOOLS, "stream": stream}
    response = await served.run("say", json=body)
    if not stream:
        assert response.json()["result"] | {"usage": None} == {"response": "", "tool_calls": [], "usage": None}
        return
    tail, done = frames(response.text)
    assert (set(tail), done) == ({"response", "usage"}, DONE)


@pytest.mark.parametrize("stream", [False, True])
async def test_native_reasoning_stands_beside_the_response(served: Served, stream: bool) -> None:
    response = await served.run("say", json=script(*TALK) | {"stream": stream})
    if not stream:
        result = response.json()["result"]
        assert (result["response"], result["reasoning_content"]) == ("It rains.", "hm so")
        return
    *chunks, _, _ = frames(response.text)
    assert "".join(chunk["response"] for chunk in chunks) == "It rains."
    assert "".join(chunk.get("reasoning_content", "") for chunk in chunks) == "hm so"
