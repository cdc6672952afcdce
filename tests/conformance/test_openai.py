"""The official openai client: chats, tools, parsed answers, responses and embeddings, whole and streamed.

What a model is told to say is fixed by an engine that follows the prompt; the starter model answers the rest.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import openai
import pytest
from cloudflare import Cloudflare
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

from tests.conformance.conftest import SAY
from tests.server import ACCOUNT, Server

CHAT, EMBEDDER = "@local/smollm2-135m-instruct", "@local/all-minilm-l6-v2"
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a town",
        "parameters": {"type": "object", "properties": {"town": {"type": "string"}}, "required": ["town"]},
    },
}
CAPITAL: Any = [{"role": "user", "content": "What is the capital of Japan?"}]


class Town(BaseModel):
    """What a parsed answer is."""

    name: str
    inhabitants: int


def base_url(server: Server) -> str:
    return f"{server.base_url}/accounts/{ACCOUNT}/ai/v1"


@pytest.fixture
def said(scripted: Server) -> Iterator[OpenAI]:
    """Asks the engine that says what it is told."""
    with OpenAI(api_key="any", base_url=base_url(scripted), max_retries=0) as client:
        yield client


@pytest.fixture
def started(starters: Server) -> Iterator[OpenAI]:
    """Asks the starter models."""
    with OpenAI(api_key="any", base_url=base_url(starters), max_retries=0) as client:
        yield client


def script(*steps: dict[str, Any]) -> Any:
    return [{"role": "user", "content": json.dumps(steps)}]


def test_a_model_knows_a_capital_and_says_it_in_a_stream(started: OpenAI) -> None:
    options: Any = {"model": CHAT, "messages": CAPITAL, "temperature": 0, "max_completion_tokens": 24}
    whole = started.chat.completions.create(**options)
    assert "Tokyo" in (whole.choices[0].message.content or "")
    assert whole.usage is not None
    chunks = list(started.chat.completions.create(**options, stream=True, stream_options={"include_usage": True}))
    text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    reasons = [choice.finish_reason for chunk in chunks for choice in chunk.choices if choice.finish_reason]
    assert text == whole.choices[0].message.content
    assert reasons == [whole.choices[0].finish_reason]
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens
    assert len({chunk.id for chunk in chunks}) == 1
    assert whole.id.startswith("chatcmpl-")


async def test_the_async_client_streams_side_by_side(starters: Server) -> None:
    async with AsyncOpenAI(api_key="any", base_url=base_url(starters), max_retries=0) as client:

        async def ask(word: str) -> str:
            prompt: Any = [{"role": "user", "content": f"Repeat the word {word} ten times."}]
            stream = await client.chat.completions.create(
                model=CHAT, messages=prompt, temperature=0, max_tokens=24, stream=True
            )
            return "".join([chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices])

        told = await asyncio.gather(ask("apple"), ask("river"))
    assert "apple" in told[0].lower()
    assert "river" in told[1].lower()


def test_choices_and_stops_of_a_real_model(started: OpenAI) -> None:
    answer = started.chat.completions.create(
        model=CHAT, messages=CAPITAL, temperature=0, max_tokens=24, n=2, stop=["Tokyo"]
    )
    assert [choice.index for choice in answer.choices] == [0, 1]
    assert len({choice.message.content for choice in answer.choices}) == 1
    assert not any("Tokyo" in (choice.message.content or "") for choice in answer.choices)
    assert {choice.finish_reason for choice in answer.choices} == {"stop"}


def test_a_tool_round_trip(said: OpenAI) -> None:
    messages: list[Any] = script({"call": ["weather", {"town": "Oslo"}]})
    tools: Any = [TOOL]
    turn = said.chat.completions.create(model=SAY, messages=messages, tools=tools).choices[0]
    assert turn.finish_reason == "tool_calls"
    assert turn.message.content is None
    assert turn.message.tool_calls is not None
    (call,) = turn.message.tool_calls
    assert call.type == "function"
    assert json.loads(call.function.arguments) == {"town": "Oslo"}
    messages += [turn.message, {"role": "tool", "tool_call_id": call.id, "content": "rain"}]
    answer = said.chat.completions.create(model=SAY, messages=messages, tools=tools).choices[0]
    assert answer.message.content == "The tool says: rain"


def test_the_stream_helper_gathers_calls_and_text(said: OpenAI) -> None:
    messages = script({"text": "I look. "}, {"call": ["weather", {"town": "Oslo"}]})
    tools: Any = [TOOL]
    with said.chat.completions.stream(model=SAY, messages=messages, tools=tools) as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_completion().choices[0]
    assert {"content.delta", "tool_calls.function.arguments.delta", "tool_calls.function.arguments.done"} <= kinds
    assert final.message.content == "I look. "
    assert final.message.tool_calls is not None
    assert json.loads(final.message.tool_calls[0].function.arguments) == {"town": "Oslo"}


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_is_parsed_into_the_callers_type(said: OpenAI, stream: bool) -> None:
    messages = script({"text": '{"name":"Oslo",'}, {"text": '"inhabitants":700000}'})
    if stream:
        with said.chat.completions.stream(model=SAY, messages=messages, response_format=Town) as events:
            answer = events.get_final_completion()
    else:
        answer = said.chat.completions.parse(model=SAY, messages=messages, response_format=Town)
    assert answer.choices[0].message.parsed == Town(name="Oslo", inhabitants=700000)


def test_logprobs_are_read(said: OpenAI) -> None:
    messages = script({"say": ["Hi", -0.25]})
    answer = said.chat.completions.create(model=SAY, messages=messages, logprobs=True, top_logprobs=2)
    assert answer.choices[0].logprobs is not None
    assert answer.choices[0].logprobs.content is not None
    (token,) = answer.choices[0].logprobs.content
    assert (token.token, token.logprob, token.bytes, len(token.top_logprobs)) == ("Hi", -0.25, [72, 105], 2)


def test_the_bytes_of_a_real_models_tokens_join_to_its_text(started: OpenAI) -> None:
    form: Any = {"type": "json_schema", "json_schema": {"name": "said", "schema": {"const": "日本 😀"}}}
    answer = started.chat.completions.create(
        model=CHAT, messages=CAPITAL, response_format=form, logprobs=True, top_logprobs=1
    )
    (choice,) = answer.choices
    assert choice.logprobs is not None
    tokens = choice.logprobs.content or []
    assert b"".join(bytes(token.bytes or []) for token in tokens).decode() == choice.message.content == '"日本 😀"'
    assert any(token.token.startswith("\\x") for token in tokens), "no token was a part of a character"


def test_a_response_and_its_stream(started: OpenAI) -> None:
    options: Any = {"model": CHAT, "input": "What is the capital of Japan?", "temperature": 0}
    whole = started.responses.create(**options, max_output_tokens=40)
    assert "Tokyo" in whole.output_text
    assert whole.usage is not None
    assert whole.usage.total_tokens == whole.usage.input_tokens + whole.usage.output_tokens
    with started.responses.stream(**options, max_output_tokens=40) as stream:
        events = list(stream)
        final = stream.get_final_response()
    assert final.output_text == whole.output_text
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == whole.output_text
    assert [event.sequence_number for event in events] == sorted({event.sequence_number for event in events})


def test_a_response_with_a_tool_round_trip(said: OpenAI) -> None:
    tools: Any = [{"type": "function", "strict": True, **TOOL["function"]}]  # type: ignore[dict-item]
    items: list[Any] = script({"reasoning": "hm"}, {"call": ["weather", {"town": "Oslo"}]})
    first = said.responses.create(model=SAY, input=items, tools=tools, store=False)
    assert [item.type for item in first.output] == ["reasoning", "function_call"]
    call = first.output[1]
    assert call.type == "function_call"
    assert json.loads(call.arguments) == {"town": "Oslo"}
    items += [item.model_dump() for item in first.output]
    items.append({"type": "function_call_output", "call_id": call.call_id, "output": "rain"})
    assert said.responses.create(model=SAY, input=items, tools=tools).output_text == "The tool says: rain"


def test_a_response_is_parsed_into_the_callers_type(said: OpenAI) -> None:
    items = script({"text": '{"name":"Oslo","inhabitants":700000}'})
    answer = said.responses.parse(model=SAY, input=items, text_format=Town)
    assert answer.output_parsed == Town(name="Oslo", inhabitants=700000)


def test_embeddings_are_the_same_in_both_encodings_and_on_both_routes(started: OpenAI, client: Cloudflare) -> None:
    texts = ["A cat sits on the mat.", "Quarterly tax returns are due in April."]
    decoded = started.embeddings.create(model=EMBEDDER, input=texts)
    floats = started.embeddings.create(model=EMBEDDER, input=texts, encoding_format="float")
    native: Any = client.ai.run(EMBEDDER, account_id=ACCOUNT, text=texts)
    assert [item.index for item in decoded.data] == [0, 1]
    assert decoded.usage.total_tokens > 10
    vectors = np.array([item.embedding for item in decoded.data])
    assert vectors.shape == (2, 384)
    assert vectors == pytest.approx(np.array([item.embedding for item in floats.data]), abs=1e-6)
    assert vectors == pytest.approx(np.array(native["data"]), abs=1e-6)


def test_errors_say_what_is_wrong(said: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="'/temperature' must be <= 2") as refused:
        said.chat.completions.create(model=SAY, messages=CAPITAL, temperature=3)
    assert (refused.value.code, refused.value.type) == ("5006", "invalid_request_error")
    with pytest.raises(openai.BadRequestError, match="No such model"):
        said.chat.completions.create(model="@cf/test/nobody", messages=CAPITAL)
    with pytest.raises(openai.APIError, match="the model failed on this input"):
        list(said.chat.completions.create(model=SAY, messages=script({"text": "a"}, {"raise": True}), stream=True))
    with pytest.raises(openai.APIError, match="the model failed on this input"):
        list(said.responses.create(model=SAY, input=script({"text": "a"}, {"raise": True}), stream=True))


def test_models_are_listed(said: OpenAI) -> None:
    assert [model.id for model in said.models.list()] == [SAY, f"{SAY}-chat"]
    assert said.models.retrieve(SAY).owned_by == "test"


def test_the_cloudflare_client_reads_both_families(scripted: Server) -> None:
    with Cloudflare(api_token="any", base_url=scripted.base_url, max_retries=0) as client:
        messages = script({"text": "It rains."}, {"call": ["weather", {"town": "Oslo"}]})
        options: Any = {"account_id": ACCOUNT, "messages": messages, "tools": [TOOL]}
        native: Any = client.ai.run(SAY, **options)
        assert native["response"] == "It rains."
        assert native["tool_calls"] == [{"name": "weather", "arguments": {"town": "Oslo"}}]
        chat: Any = client.ai.run(f"{SAY}-chat", **options)
        assert chat["choices"][0]["message"]["content"] == "It rains."
        assert chat["choices"][0]["message"]["tool_calls"][0]["function"]["name"] == "weather"


def test_the_async_helper_leaves_a_stream(scripted: Server) -> None:
    """A caller who breaks off is noticed: the next one, alone in the model, is answered."""

    async def leave() -> str:
        async with AsyncOpenAI(api_key="any", base_url=base_url(scripted), max_retries=0) as client:
            endless = script({"text": "now"}, {"wait": True})
            stream = await client.chat.completions.create(model=SAY, messages=endless, stream=True)
            async for chunk in stream:
                if chunk.choices and chunk.choices[0].delta.content:
                    break
            await stream.close()
            after = await client.chat.completions.create(model=SAY, messages=script({"text": "after"}))
            return after.choices[0].message.content or ""

    assert asyncio.run(leave()) == "after"
