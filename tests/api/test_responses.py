"""The Responses API: whole answers, the series of events, and the run route of models that take both requests."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from tests.api.conftest import ACCOUNT, Served
from tests.api.events import events

pytestmark = pytest.mark.asyncio(loop_scope="session")
V1 = f"/client/v4/accounts/{ACCOUNT}/ai/v1/responses"
TOOLS = [{"type": "function", "name": "weather", "parameters": {"type": "object"}}]
TALK = [{"reasoning": "hm"}, {"text": "It "}, {"text": "rains."}, {"call": ["weather", {"town": "Oslo"}]}]


async def ask(served: Served, steps: Any, **fields: Any) -> httpx.Response:
    return await served.http.post(V1, json={"model": "@cf/test/say", "input": json.dumps(steps), **fields})


def plain(response: dict[str, Any]) -> dict[str, Any]:
    """A response without what differs between two answers to one request."""
    text = json.dumps(response).replace(response["id"].removeprefix("resp_"), "ID")
    return {key: value for key, value in json.loads(text).items() if key != "created_at"}


async def test_a_whole_response_has_an_item_for_each_kind(served: Served) -> None:
    response = await ask(served, TALK, tools=TOOLS, instructions="Be brief.", temperature=0.5)
    answer = response.json()
    reasoning, message, call = answer["output"]
    assert reasoning["content"] == [{"type": "reasoning_text", "text": "hm"}]
    assert reasoning["summary"] == []
    assert message["content"] == [{"type": "output_text", "annotations": [], "logprobs": [], "text": "It rains."}]
    assert (message["role"], message["status"]) == ("assistant", "completed")
    assert (call["call_id"], call["name"], call["arguments"]) == ("call-0-0", "weather", '{"town": "Oslo"}')
    assert (answer["status"], answer["object"], answer["error"]) == ("completed", "response", None)
    assert (answer["instructions"], answer["temperature"], answer["model"]) == ("Be brief.", 0.5, "@cf/test/say")
    assert answer["id"] == "resp_" + response.headers["cf-ai-req-id"].replace("-", "")
    usage = answer["usage"]
    assert usage["output_tokens_details"] == {"reasoning_tokens": 1}
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"] > 6


async def test_a_stream_is_the_whole_response_told_in_order(served: Served) -> None:
    whole = (await ask(served, TALK, tools=TOOLS)).json()
    response = await ask(served, TALK, tools=TOOLS, stream=True)
    found = events(response.text)
    assert [data["sequence_number"] for _, data in found] == list(range(len(found)))
    assert all(name == data["type"] for name, data in found)
    # Deltas may be fewer for a slow caller; all else is fixed.
    kinds = [name.removeprefix("response.") for name, _ in found]
    distinct = [kind for kind, last in zip(kinds, ["", *kinds], strict=False) if kind != last]
    text = ["content_part.added", "output_text.delta", "output_text.done", "content_part.done"]
    thought = [kind.replace("output_text", "reasoning_text") for kind in text]
    call = ["function_call_arguments.delta", "function_call_arguments.done"]
    assert distinct == [
        *("created", "in_progress"),
        *("output_item.added", *thought, "output_item.done"),
        *("output_item.added", *text, "output_item.done"),
        *("output_item.added", *call, "output_item.done"),
        "completed",
    ]
    (opened, *_, last) = (data for _, data in found)
    assert opened["response"]["status"] == "in_progress"
    assert opened["response"]["output"] == []
    assert plain(last["response"]) == plain(whole)
    done = [data["item"] for name, data in found if name == "response.output_item.done"]
    assert done == last["response"]["output"]


async def test_deltas_join_to_what_is_done(served: Served) -> None:
    found = events((await ask(served, TALK, tools=TOOLS, stream=True)).text)
    for kind, key in (("output_text", "text"), ("reasoning_text", "text"), ("function_call_arguments", "arguments")):
        deltas = [data for name, data in found if name == f"response.{kind}.delta"]
        (done,) = (data for name, data in found if name == f"response.{kind}.done")
        assert "".join(delta["delta"] for delta in deltas) == done[key] != ""
        assert {(delta["item_id"], delta["output_index"]) for delta in deltas} == {
            (done["item_id"], done["output_index"])
        }


async def test_a_stream_that_is_cut_short_ends_incomplete(served: Served) -> None:
    found = events((await ask(served, [{"text": "tex", "end": "length"}], stream=True)).text)
    name, last = found[-1]
    assert name == "response.incomplete"
    assert last["response"]["incomplete_details"] == {"reason": "max_output_tokens"}
    assert last["response"]["output"][0]["status"] == "incomplete"


async def test_logprobs_are_in_the_part_and_in_its_deltas(served: Served) -> None:
    asked = {"include": ["message.output_text.logprobs"], "top_logprobs": 1}
    steps = [{"say": ["Hi", -0.25]}, {"say": ["!", -0.5]}]
    whole = (await ask(served, steps, **asked)).json()["output"][0]["content"][0]["logprobs"]
    assert [(token["token"], len(token["top_logprobs"])) for token in whole] == [("Hi", 1), ("!", 1)]
    found = events((await ask(served, steps, stream=True, **asked)).text)
    told = [token for name, data in found if name.endswith("output_text.delta") for token in data["logprobs"]]
    assert told == whole


async def test_the_run_route_tells_the_two_requests_apart(served: Served) -> None:
    chat = await served.run("say-oss", json={"messages": [{"role": "user", "content": "hello"}]})
    assert chat.json()["result"]["object"] == "chat.completion"
    response = (await served.run("say-oss", json={"input": "hello", "instructions": "x"})).json()["result"]
    assert (response["object"], response["output"][0]["content"][0]["text"]) == ("response", "hello ")
    streamed = await served.run("say-oss", json={"input": "hello", "stream": True})
    assert events(streamed.text)[-1][0] == "response.completed"
    refused = await served.run("say-chat", json={"input": "hello"})
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (400, 5006)


async def test_a_failure_within_a_stream_is_an_error_event(served: Served) -> None:
    response = await ask(served, [{"text": "a"}, {"raise": True}], stream=True)
    name, last = events(response.text)[-1]
    assert (response.status_code, name, last["code"]) == (200, "error", "3043")
    assert last["error"]["message"] == last["errors"][0]["message"] == last["message"]


async def test_a_refusal_before_the_first_event_has_its_own_status(served: Served) -> None:
    response = await ask(served, [], previous_response_id="resp_0", stream=True)
    assert response.status_code == 400
    assert "'/previous_response_id' is not supported" in response.json()["error"]["message"]
