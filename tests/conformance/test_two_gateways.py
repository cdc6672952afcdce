"""A gateway whose rows are another gateway's: callers of the first get what callers of the second would."""

from __future__ import annotations

import json
import re
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cloudflare
import httpx
import pytest
from cloudflare import Cloudflare
from openai import OpenAI

from tests.engines.conftest import starter_files
from tests.server import ACCOUNT, Server, gateway, write_models

SAY, CHAT, SMALL, GONE, KEYLESS = (f"@test/{name}" for name in ("say", "say-chat", "small", "gone", "keyless"))
ENVIRONMENT = {"PYTHONPATH": str(Path(__file__).parents[2]), "BACK_KEY": "any"}
HEADERS = {"Authorization": "Bearer any"}
TOOL = {
    "name": "count",
    "description": "Count",
    "parameters": {"type": "object", "properties": {"n": {"enum": [1, 2]}}},
}


@dataclass(frozen=True)
class Pair:
    """The gateway that callers know, and the one behind it."""

    front: Server
    back: Server


def row(name: str, **fields: Any) -> str:
    return json.dumps({"name": name, "task": "text-generation", **fields})


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    home = tmp_path_factory.mktemp("pair")
    engine = "tests.fixtures.engines.scripted:Engine"
    gguf = starter_files("@local/smollm2-135m-instruct")
    own = (
        row(SAY, engine=engine),
        row(CHAT, engine=engine, shape="chat-completion"),
        row(SMALL, engine="llm", source=f"file:{gguf}", device="cpu"),
    )
    back_models = write_models(home / "back.yaml", *own)
    with gateway("--models", str(back_models), "--home", str(home / "back"), env=ENVIRONMENT) as back:
        options = {"url": f"{back.base_url}/accounts/{ACCOUNT}/ai/v1", "api_key_env": "BACK_KEY"}
        theirs = (
            row(SAY, engine="auto", options=options),
            row(CHAT, engine="auto", shape="chat-completion", options=options),
            row(SMALL, engine="auto", options=options),
            row(GONE, engine="auto", options=options),
            row(KEYLESS, engine="auto", options={"url": options["url"]}),
        )
        front_models = write_models(home / "front.yaml", *theirs)
        with gateway("--models", str(front_models), "--home", str(home / "front"), env=ENVIRONMENT) as front:
            yield Pair(front, back)


@pytest.fixture
def client(pair: Pair) -> Iterator[Cloudflare]:
    with Cloudflare(api_token="any", base_url=pair.front.base_url, max_retries=0) as client:
        yield client


@pytest.fixture
def chat(pair: Pair) -> Iterator[Any]:
    base_url = f"{pair.front.base_url}/accounts/{ACCOUNT}/ai/v1"
    with OpenAI(api_key="any", base_url=base_url, max_retries=0) as client:
        yield client.chat.completions


def run(server: Server, model: str, **body: Any) -> Any:
    answer = httpx.post(server.run_url(model), json=body, headers=HEADERS, timeout=60)
    return answer.json()


def asked(*steps: dict[str, Any]) -> list[Any]:
    return [{"role": "user", "content": json.dumps(steps)}]


@pytest.mark.parametrize(
    "body",
    [
        {"prompt": "one two three"},
        {"prompt": "one two three", "raw": True},
        {"messages": asked({"text": "a"}, {"text": "é"})},
        {"messages": asked({"text": "a"}), "temperature": 0.5, "top_k": 7, "repetition_penalty": 1.2, "seed": 5},
        {"messages": asked({"text": "a"}, {"call": ["count", {"n": 1}]}), "tools": [TOOL]},
        {"messages": [*asked({"text": "a"}), {"role": "assistant", "content": None, "tool_calls":
                      [{"name": "count", "arguments": {"n": 1}}]}, {"role": "tool", "content": "7"}]},
    ],
    ids=["prompt", "raw", "messages", "sampling", "call", "tool answer"],
)  # fmt: skip
def test_an_answer_and_its_counts_are_those_of_the_gateway_behind(pair: Pair, body: dict[str, Any]) -> None:
    there, here = run(pair.back, SAY, **body), run(pair.front, SAY, **body)
    assert there["success"], there
    assert here == there


def test_choices_probabilities_and_reasoning_come_through(chat: Any) -> None:
    messages = asked({"reasoning": "hm"}, {"say": ["a", -0.5]})
    answer = chat.create(model=CHAT, messages=messages, n=2, logprobs=True, top_logprobs=1)
    assert [choice.message.content for choice in answer.choices] == ["a", "a"]
    assert [choice.message.reasoning_content for choice in answer.choices] == ["hm", "hm"]
    (token,) = answer.choices[1].logprobs.content
    assert (token.token, token.logprob, token.top_logprobs[0].token) == ("a", -0.5, "other")
    assert answer.usage.completion_tokens == 6


def test_a_stream_gives_text_calls_and_counts(chat: Any) -> None:
    tool = {"type": "function", "function": TOOL}
    messages = asked({"text": "a"}, {"text": "b"}, {"call": ["count", {"n": 2}]})
    stream = chat.create(
        model=CHAT, messages=messages, tools=[tool], stream=True, stream_options={"include_usage": True}
    )
    *chunks, last = list(stream)
    deltas = [chunk.choices[0].delta for chunk in chunks]
    assert "".join(delta.content or "" for delta in deltas) == "ab"
    calls = [call.function for delta in deltas for call in delta.tool_calls or []]
    assert ("".join(call.name or "" for call in calls), "".join(call.arguments for call in calls)) == (
        "count",
        '{"n": 2}',
    )
    assert chunks[-1].choices[0].finish_reason == "tool_calls"
    assert last.usage.completion_tokens == 5


def test_a_call_of_a_custom_tool_has_its_text_through_both(chat: Any) -> None:
    tools = [{"type": "custom", "custom": {"name": "run"}}]
    told = {"messages": asked({"call": ["run", {"input": 'é"\n'}]}), "model": CHAT, "tools": tools}
    (call,) = chat.create(**told).choices[0].message.tool_calls
    assert (call.type, call.custom.name, call.custom.input) == ("custom", "run", 'é"\n')
    deltas = [chunk.choices[0].delta for chunk in chat.create(**told, stream=True)]
    parts = [part.to_dict()["custom"] for delta in deltas for part in delta.tool_calls or []]
    assert "".join(part["input"] for part in parts) == 'é"\n'


def test_a_custom_tool_that_must_be_called_keeps_to_its_regex_through_both(chat: Any) -> None:
    grammar = {"syntax": "regex", "definition": "[0-9]{2,4}"}
    tool = {"type": "custom", "custom": {"name": "dial", "format": {"type": "grammar", "grammar": grammar}}}
    choice = {"type": "custom", "custom": {"name": "dial"}}
    messages = [{"role": "user", "content": "Hi"}]
    answer = chat.create(model=SMALL, messages=messages, tools=[tool], tool_choice=choice, max_tokens=40)
    (call,) = answer.choices[0].message.tool_calls
    assert re.fullmatch("[0-9]{2,4}", call.custom.input)


def test_a_schema_holds_through_both(client: Cloudflare) -> None:
    schema = {"type": "object", "properties": {"yes": {"type": "boolean"}}, "required": ["yes"]}
    schema["additionalProperties"] = False
    wanted: Any = {"type": "json_schema", "json_schema": schema}
    result: Any = client.ai.run(SMALL, account_id=ACCOUNT, prompt="Is it?", response_format=wanted)
    assert set(result["response"]) == {"yes"}


def test_a_tool_that_must_be_called_is(client: Cloudflare) -> None:
    tool = {**TOOL, "parameters": {**TOOL["parameters"], "required": ["n"], "additionalProperties": False}}
    body = {
        "messages": [{"role": "user", "content": "Hi"}],
        "tools": [tool],
        "tool_choice": "required",
        "max_tokens": 40,
    }
    result: Any = client.ai.run(SMALL, account_id=ACCOUNT, extra_body=body)
    call, *_ = result["tool_calls"]
    assert (call["name"], call["arguments"]["n"] in (1, 2)) == ("count", True)


@pytest.mark.parametrize(
    ("model", "body", "status", "code", "text"),
    [
        (SAY, {"prompt": "a", "temperature": 3}, 400, 5006, "Error: '/temperature' must be <= 2 ("),
        (SMALL, {"prompt": "a", "lora": "none"}, 405, 5005, "'/lora' is neither the name nor the id"),
        (SMALL, {"prompt": "a " * 20_000}, 413, 5021, "exceeded this model context window limit (8192)"),
        (SMALL, {"prompt": "a", "max_tokens": 20_000}, 413, 5021, "exceeded this model context window limit (8192)"),
        (SAY, {"messages": asked({"raise": True})}, 500, 3043, "failed on this input"),
        (GONE, {"prompt": "a"}, 503, 3050, "refuses its requests; the log says why"),
    ],
    ids=["bound", "lora", "prompt", "tokens", "failure", "model"],
)
def test_a_refusal_means_the_same(
    pair: Pair, model: str, body: dict[str, Any], status: int, code: int, text: str
) -> None:
    answer = httpx.post(pair.front.run_url(model), json=body, headers=HEADERS, timeout=60)
    (error,) = answer.json()["errors"]
    assert (answer.status_code, error["code"]) == (status, code), error
    assert text in error["message"]
    assert error["message"].count("AiError") == 1
    assert str(pair.back.port) not in error["message"]


def test_a_failure_in_the_middle_ends_the_stream_with_it(pair: Pair) -> None:
    body = {"messages": asked({"text": "a"}, {"raise": True}), "stream": True}
    *_, first, last = frames(httpx.post(pair.front.run_url(SAY), json=body, headers=HEADERS, timeout=60).text)
    assert first["response"] == "a"
    assert last["errors"][0]["code"] == 3043


def test_ready_says_what_answers(pair: Pair) -> None:
    run(pair.front, SAY, prompt="a")
    models = httpx.get(f"http://127.0.0.1:{pair.front.port}/ready", headers=HEADERS).json()["models"]
    assert f"upstream gateway at 127.0.0.1:{pair.back.port} (say)" in [model["served_by"] for model in models]


def test_a_row_without_the_key_is_told_of(pair: Pair) -> None:
    answer = httpx.post(pair.front.run_url(KEYLESS), json={"prompt": "a"}, headers=HEADERS, timeout=60)
    assert answer.status_code == 503
    assert "the server refuses the key (options: api_key_file, api_key_env)" in answer.text


def test_a_caller_who_leaves_frees_the_gateway_behind(pair: Pair) -> None:
    body = {"messages": asked({"text": "a"}, {"wait": True}), "stream": True}
    with httpx.stream("POST", pair.front.run_url(SAY), json=body, headers=HEADERS, timeout=60) as answer:
        lines = answer.iter_lines()
        next(lines)
        assert running(pair.back) == 1
    pause = threading.Event()
    assert any(running(pair.back) == 0 or pause.wait(0.05) for _ in range(600))


def running(server: Server) -> int:
    """Requests inside the workers of a gateway."""
    models = httpx.get(f"http://127.0.0.1:{server.port}/ready", headers=HEADERS).json()["models"]
    return sum(model["running"] for model in models)


def frames(text: str) -> list[dict[str, Any]]:
    return [json.loads(line.removeprefix("data: ")) for line in text.splitlines() if line.startswith("data: {")]


def test_the_official_client_raises_what_it_raises_there(pair: Pair) -> None:
    for server in (pair.back, pair.front):
        with (
            Cloudflare(api_token="any", base_url=server.base_url, max_retries=0) as client,
            pytest.raises(cloudflare.BadRequestError),
        ):
            client.ai.run(SAY, account_id=ACCOUNT, prompt="a", temperature=9)


def test_a_gateway_behind_that_is_killed_ends_streams_and_is_asked_again_later(pair: Pair) -> None:
    """The last of this file: it leaves no gateway behind."""
    body = {"messages": asked({"text": "a"}, {"wait": True}), "stream": True}
    with httpx.stream("POST", pair.front.run_url(SAY), json=body, headers=HEADERS, timeout=60) as answer:
        lines = answer.iter_lines()
        assert json.loads(next(lines).removeprefix("data: "))["response"] == "a"
        pair.back.stop(signal.SIGKILL)
        (last,) = frames("\n".join(lines))
    assert last["errors"][0]["code"] == 3043
    assert "broke the answer off" in last["errors"][0]["message"]
    answer = httpx.post(pair.front.run_url(SAY), json={"prompt": "a"}, headers=HEADERS, timeout=60)
    assert (answer.status_code, answer.json()["errors"][0]["code"]) in [(429, 3040), (503, 3050)]
    assert "retry-after" in answer.headers
