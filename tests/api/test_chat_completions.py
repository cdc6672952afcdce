"""Chat completions on both routes, whole and streamed, with an engine that says what it is told."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from tests.api.conftest import ACCOUNT, Served
from tests.api.events import DONE, frames

pytestmark = pytest.mark.asyncio(loop_scope="session")
V1 = f"/client/v4/accounts/{ACCOUNT}/ai/v1/chat/completions"
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]
TALK = [{"reasoning": "hm "}, {"reasoning": "so"}, {"text": "It "}, {"text": "rains."}]
CALLS = [{"call": ["weather", {"town": "Oslo"}]}, {"call": ["weather", {"town": "Rome"}]}]


def script(*steps: dict[str, Any]) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": json.dumps(steps)}]}


async def ask(served: Served, route: str, body: dict[str, Any]) -> httpx.Response:
    """Ask a row of the native family on `v1`, and one of the chat.completion family on `run`."""
    if route == "v1":
        return await served.http.post(V1, json={"model": "@cf/test/say", **body})
    return await served.run("say-chat", json=body)


def whole(route: str, response: httpx.Response) -> Any:
    assert response.status_code == 200, response.text
    return response.json() if route == "v1" else response.json()["result"]


def joined(chunks: list[Any]) -> dict[int, dict[str, Any]]:
    """What a client makes of the chunks: for each choice its message, finish reasons and logprobs."""
    choices: dict[int, dict[str, Any]] = {}
    for chunk in chunks:
        for choice in chunk.get("choices", []):
            empty: dict[str, Any] = {
                "content": "",
                "reasoning": "",
                "calls": {},
                "reasons": [],
                "roles": [],
                "tokens": [],
            }
            known = choices.setdefault(choice["index"], empty)
            delta = choice["delta"]
            known["content"] += delta.get("content") or ""
            known["reasoning"] += delta.get("reasoning_content") or ""
            known["roles"] += [delta["role"]] if "role" in delta else []
            known["reasons"] += [choice["finish_reason"]] if choice["finish_reason"] else []
            known["tokens"] += (choice["logprobs"] or {}).get("content", [])
            for part in delta.get("tool_calls", []):
                call = known["calls"].setdefault(part["index"], {"arguments": ""})
                call |= {key: part[key] for key in ("id", "type") if key in part}
                call |= {"name": part["function"]["name"]} if "name" in part["function"] else {}
                call["arguments"] += part["function"]["arguments"]
    return choices


BOTH = pytest.mark.parametrize("route", ["v1", "run"])


@BOTH
async def test_a_whole_answer_is_the_exact_object(served: Served, route: str) -> None:
    response = await ask(served, route, script(*TALK))
    answer = whole(route, response)
    request_id = response.headers["cf-ai-req-id"].replace("-", "")
    tokens = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    assert answer == {
        "id": f"chatcmpl-{request_id}",
        "object": "chat.completion",
        "created": answer["created"],
        "model": "@cf/test/say" if route == "v1" else "@cf/test/say-chat",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "It rains.", "reasoning_content": "hm so"},
                "finish_reason": "stop",
                "logprobs": None,
            }
        ],
        "usage": {
            **tokens,
            "prompt_tokens_details": {"cached_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 2},
        },
    }
    assert 1_700_000_000 < answer["created"] < 4_000_000_000


@BOTH
async def test_a_stream_says_what_the_whole_answer_says(served: Served, route: str) -> None:
    body = script(*TALK, *CALLS) | {"tools": TOOLS, "n": 2}
    answer = whole(route, await ask(served, route, body))
    response = await ask(served, route, body | {"stream": True})
    *chunks, done = frames(response.text)
    assert done == DONE
    assert response.headers["content-type"] == "text/event-stream"
    choices = joined(chunks)
    assert list(choices) == [0, 1]
    for choice in answer["choices"]:
        message, streamed = choice["message"], choices[choice["index"]]
        assert streamed["roles"] == ["assistant"]
        assert streamed["content"] == message["content"] == "It rains."
        assert streamed["reasoning"] == message["reasoning_content"]
        assert streamed["reasons"] == [choice["finish_reason"]] == ["tool_calls"]
        told = [{"id": call["id"], "type": "function", **call["function"]} for call in message["tool_calls"]]
        assert list(streamed["calls"].values()) == told


@BOTH
async def test_calls_alone_have_no_content(served: Served, route: str) -> None:
    message = whole(route, await ask(served, route, script(*CALLS) | {"tools": TOOLS}))["choices"][0]["message"]
    assert message["content"] is None
    assert [json.loads(call["function"]["arguments"])["town"] for call in message["tool_calls"]] == ["Oslo", "Rome"]


async def test_chunks_of_v1_share_an_id_and_only_the_wanted_one_has_counts(served: Served) -> None:
    body = script(*TALK) | {"stream": True}
    *chunks, _ = frames((await ask(served, "v1", body)).text)
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert not any("usage" in chunk or "response" in chunk for chunk in chunks)
    assert all(chunk["p"] for chunk in chunks)
    *chunks, counts, _ = frames((await ask(served, "v1", body | {"stream_options": {"include_usage": True}})).text)
    assert counts["choices"] == []
    assert counts["usage"]["completion_tokens"] == 5
    assert all(chunk["usage"] is None for chunk in chunks)
    plain = {"include_obfuscation": False}
    *chunks, _ = frames((await ask(served, "v1", body | {"stream_options": plain})).text)
    assert not any("p" in chunk for chunk in chunks)


async def test_the_run_route_sends_the_longer_series(served: Served) -> None:
    response = await ask(served, "run", script({"text": "a"}, {"text": "b", "stop": "!"}) | {"stream": True})
    first, *middle, end, counts, tail, done = frames(response.text)
    zeros = {
        "prompt_tokens": 0,
        "completion_tokens": 0,
        "total_tokens": 0,
        "prompt_tokens_details": {"cached_tokens": 0},
    }
    assert first["choices"] == [
        {
            "delta": {"role": "assistant", "content": "", "reasoning_content": None},
            "finish_reason": None,
            "index": 0,
            "logprobs": None,
            "matched_stop": None,
        }
    ]
    assert first["usage"] == {**zeros, "prompt_tokens": 6, "total_tokens": 6}
    # Pieces that wait for a slow caller grow together, so their number is not certain.
    assert {tuple(chunk["choices"][0]["delta"]) for chunk in middle} == {("reasoning_content", "content")}
    assert "".join(chunk["choices"][0]["delta"]["content"] for chunk in middle) == "ab"
    assert sum(chunk["usage"]["total_tokens"] for chunk in (*middle, end)) == 3
    assert end["choices"][0] == {
        "delta": {"reasoning_content": None},
        "finish_reason": "stop",
        "index": 0,
        "logprobs": None,
        "matched_stop": "!",
    }
    assert counts["choices"] == []
    assert counts["usage"] == tail["usage"]
    assert tail == {"response": "", "usage": {**zeros, "prompt_tokens": 6, "completion_tokens": 3, "total_tokens": 9}}
    assert done == DONE


@BOTH
async def test_logprobs_come_whole_and_with_their_chunks(served: Served, route: str) -> None:
    body = script({"say": ["Hi", -0.25]}, {"say": [" é", -1.0]}) | {"logprobs": True, "top_logprobs": 1}
    rival = {"token": "other", "logprob": -5.0, "bytes": list(b"other")}
    expected = [
        {"token": "Hi", "logprob": -0.25, "bytes": [72, 105], "top_logprobs": [rival]},
        {"token": " é", "logprob": -1.0, "bytes": [32, 195, 169], "top_logprobs": [rival]},
    ]
    choice = whole(route, await ask(served, route, body))["choices"][0]
    assert choice["logprobs"] == {"content": expected, "refusal": None}
    *chunks, _ = frames((await ask(served, route, body | {"stream": True})).text)
    assert joined(chunks)[0]["tokens"] == expected


async def test_what_is_reported_beside_a_call_is_no_content(served: Served) -> None:
    """OpenAI's helper takes every content, empty or not, for something that was said."""
    steps = [{"say": ["", -0.5]}, *CALLS]
    body = script(*steps) | {"tools": TOOLS, "logprobs": True, "stream": True}
    first, *rest, _ = frames((await ask(served, "v1", body)).text)
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert not any("content" in chunk["choices"][0]["delta"] for chunk in rest)
    assert len(joined(rest)[0]["tokens"]) == 1


async def test_legacy_functions_are_called_in_the_legacy_form(served: Served) -> None:
    body = script(*CALLS[:1]) | {"functions": [TOOLS[0]["function"]]}
    choice = whole("v1", await ask(served, "v1", body))["choices"][0]
    assert choice["message"]["function_call"] == {"name": "weather", "arguments": '{"town": "Oslo"}'}
    assert "tool_calls" not in choice["message"]
    assert choice["finish_reason"] == "function_call"
    *chunks, _ = frames((await ask(served, "v1", body | {"stream": True})).text)
    deltas = [chunk["choices"][0]["delta"].get("function_call", {}) for chunk in chunks]
    assert "".join(delta.get("arguments", "") for delta in deltas) == '{"town": "Oslo"}'
    assert [delta["name"] for delta in deltas if "name" in delta] == ["weather"]
    assert joined(chunks)[0]["reasons"] == ["function_call"]


async def test_the_native_request_may_have_either_answer(served: Served) -> None:
    text = (await served.run("say-native", json={"prompt": json.dumps([{"text": "a", "stop": "!"}])})).json()["result"]
    assert text["object"] == "text_completion"
    assert text["choices"] == [
        {
            "index": 0,
            "text": "a",
            "finish_reason": "stop",
            "stop_reason": "!",
            "logprobs": None,
            "prompt_logprobs": None,
        }
    ]
    chat = (await served.run("say-native", json=script(*TALK))).json()["result"]
    assert chat["object"] == "chat.completion"
    assert chat["choices"][0]["message"]["content"] == "It rains."
    assert chat["choices"][0]["stop_reason"] is None
    assert chat["prompt_logprobs"] is None


async def test_a_streamed_text_completion_has_texts(served: Served) -> None:
    response = await served.run("say-native", json={"prompt": "one two", "stream": True})
    *chunks, counts, tail, done = frames(response.text)
    assert "".join(chunk["choices"][0]["text"] for chunk in chunks) == "one two "
    assert {chunk["object"] for chunk in chunks} == {"text_completion"}
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks][-2:] == [None, "stop"]
    assert sum(chunk["usage"]["total_tokens"] for chunk in chunks) == tail["usage"]["total_tokens"] == 5
    assert (counts["choices"], done) == ([], DONE)


async def test_a_text_completion_loses_neither_calls_nor_thoughts(served: Served) -> None:
    """Calls have no place in one, so a prompt with tools is answered as a chat; thoughts stand beside the text."""
    calls, talk = ({"prompt": json.dumps(steps)} for steps in (CALLS, TALK))
    chat = (await served.run("say-native", json=calls | {"tools": TOOLS})).json()["result"]
    assert (chat["object"], len(chat["choices"][0]["message"]["tool_calls"])) == ("chat.completion", 2)
    *chunks, _, _, _ = frames((await served.run("say-native", json=calls | {"tools": TOOLS, "stream": True})).text)
    assert len(joined(chunks)[0]["calls"]) == 2
    (text,) = (await served.run("say-native", json=talk)).json()["result"]["choices"]
    assert (text["text"], text["reasoning_content"]) == ("It rains.", "hm so")
    *chunks, _, _, _ = frames((await served.run("say-native", json=talk | {"stream": True})).text)
    parts = [chunk["choices"][0] for chunk in chunks]
    assert "".join(part["text"] for part in parts) == "It rains."
    assert "".join(part.get("reasoning_content", "") for part in parts) == "hm so"


@BOTH
async def test_a_call_that_was_cut_before_its_arguments_is_given_none(served: Served, route: str) -> None:
    body = script({"cut": ["weather", ""]}, {"end": "length"}) | {"tools": TOOLS}
    (choice,) = whole(route, await ask(served, route, body))["choices"]
    (call,) = choice["message"]["tool_calls"]
    *chunks, _ = frames((await ask(served, route, body | {"stream": True})).text)
    (told,) = joined(chunks)[0]["calls"].values()
    assert call["function"]["arguments"] == told["arguments"] == ""
    assert choice["finish_reason"] == "length"


@BOTH
async def test_no_markup_of_the_gateway_leaks_into_errors_after_the_first_piece(served: Served, route: str) -> None:
    body = {"prompt": "raise", "max_tokens": 9, "stream": True}
    if route == "v1":
        response = await served.http.post(V1, json={"model": "@cf/test/fragile", **body})
    else:
        response = await served.run("fragile", json=body)
    last = frames(response.text)[-1]
    assert last["errors"][0]["code"] == 3043
    assert ("error" in last) is (route == "v1")
