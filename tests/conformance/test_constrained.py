"""The starter model, held to a schema or to a tool: small as it is, what it says is always valid."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Literal

import pytest
from cloudflare import Cloudflare
from openai import OpenAI
from pydantic import BaseModel

from tests.server import ACCOUNT, Server

CHAT = "@local/smollm2-135m-instruct"
PARAMETERS = {
    "type": "object",
    "properties": {"town": {"type": "string", "enum": ["Oslo", "Rome"]}, "tomorrow": {"type": "boolean"}},
    "required": ["town", "tomorrow"],
    "additionalProperties": False,
}
TOOLS: Any = [
    {"type": "function", "function": {"name": "weather", "description": "The weather", "parameters": PARAMETERS}}
]
ASKED: Any = [{"role": "user", "content": "How is the weather in Oslo?"}]


class Forecast(BaseModel):
    """What a parsed answer is."""

    town: Literal["Oslo", "Rome"]
    rain: bool


def check(arguments: Any) -> None:
    assert arguments["town"] in ("Oslo", "Rome")
    assert isinstance(arguments["tomorrow"], bool)


@pytest.fixture
def openai(starters: Server) -> Iterator[OpenAI]:
    base_url = f"{starters.base_url}/accounts/{ACCOUNT}/ai/v1"
    with OpenAI(api_key="any", base_url=base_url, max_retries=0) as client:
        yield client


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "weather"}}])
def test_a_forced_call_is_valid_whole_and_streamed(openai: OpenAI, choice: Any) -> None:
    options: Any = {"model": CHAT, "messages": ASKED, "tools": TOOLS, "tool_choice": choice, "temperature": 0}
    options |= {"parallel_tool_calls": False}  # so small a model would call again and again
    turn = openai.chat.completions.create(**options, max_tokens=96).choices[0]
    assert turn.finish_reason == "tool_calls"
    assert turn.message.tool_calls is not None
    told = [call.function.arguments for call in turn.message.tool_calls if call.type == "function"]
    for arguments in told:
        check(json.loads(arguments))
    with openai.chat.completions.stream(**options, max_tokens=96) as stream:
        final = stream.get_final_completion().choices[0].message
    assert final.tool_calls is not None
    assert [call.function.arguments for call in final.tool_calls] == told
    assert not (final.content or "").strip()


def test_a_forced_call_of_the_native_family(client: Cloudflare) -> None:
    forced = {"tool_choice": {"type": "function", "function": {"name": "weather"}}}
    answer: Any = client.ai.run(
        CHAT, account_id=ACCOUNT, messages=ASKED, tools=TOOLS, temperature=0, max_tokens=96, extra_body=forced
    )
    assert answer["response"] is None
    for call in answer["tool_calls"]:
        assert call["name"] == "weather"
        check(call["arguments"])


def test_an_answer_fits_the_callers_type(openai: OpenAI) -> None:
    answer = openai.chat.completions.parse(
        model=CHAT, messages=ASKED, response_format=Forecast, temperature=1, max_tokens=64
    )
    assert isinstance(answer.choices[0].message.parsed, Forecast)
    response = openai.responses.parse(model=CHAT, input="Rain in Rome?", text_format=Forecast, max_output_tokens=64)
    assert isinstance(response.output_parsed, Forecast)


def test_json_mode_gives_an_object_natively(client: Cloudflare) -> None:
    form = {"type": "json_schema", "json_schema": Forecast.model_json_schema()}
    answer: Any = client.ai.run(CHAT, account_id=ACCOUNT, messages=ASKED, response_format=form, max_tokens=64)
    Forecast.model_validate(answer["response"])
