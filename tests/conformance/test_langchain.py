"""LangChain's Cloudflare classes: chats over both routes, tools, structured output, embeddings."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from langchain_cloudflare import ChatCloudflareWorkersAI, CloudflareWorkersAIEmbeddings
from langchain_core.messages import HumanMessage, ToolMessage
from pydantic import BaseModel

from tests.conformance.conftest import SAY
from tests.server import ACCOUNT, Server

ROUTES = pytest.mark.parametrize("route", ["workers_ai", "openai_compatible"])
FAMILIES = pytest.mark.parametrize(
    ("route", "model"),
    [
        ("workers_ai", SAY),
        ("workers_ai", f"{SAY}-chat"),
        ("openai_compatible", SAY),
        ("openai_compatible", f"{SAY}-chat"),
    ],
)


def weather(town: str) -> str:
    """The weather of a town."""
    return f"rain in {town}"


class Town(BaseModel):
    """A town and how many live there."""

    name: str
    inhabitants: int


@contextmanager
def chat(server: Server, route: str, model: str, **options: Any) -> Iterator[ChatCloudflareWorkersAI]:
    llm = ChatCloudflareWorkersAI(
        account_id=ACCOUNT, api_token="any", base_url=server.base_url, model=model, endpoint_format=route, **options
    )
    with llm.client:
        yield llm


def script(*steps: dict[str, Any]) -> HumanMessage:
    return HumanMessage(json.dumps(steps))


@FAMILIES
def test_an_answer_and_its_stream(scripted: Server, route: str, model: str) -> None:
    asked = [script({"text": "It "}, {"text": "rains."})]
    with chat(scripted, route, model) as llm:
        assert llm.invoke(asked).content == "It rains."
        assert "".join(str(chunk.content) for chunk in llm.stream(asked)) == "It rains."


@FAMILIES
async def test_the_same_asynchronously(scripted: Server, route: str, model: str) -> None:
    asked = [script({"text": "It "}, {"text": "rains."})]
    with chat(scripted, route, model) as llm:
        async with llm.async_client:
            assert (await llm.ainvoke(asked)).content == "It rains."
            assert "".join([str(chunk.content) async for chunk in llm.astream(asked)]) == "It rains."


@FAMILIES
def test_a_tool_round_trip(scripted: Server, route: str, model: str) -> None:
    asked: list[Any] = [script({"call": ["weather", {"town": "Oslo"}]})]
    with chat(scripted, route, model) as plain:
        llm = plain.bind_tools([weather])
        turn: Any = llm.invoke(asked)
        (call,) = turn.tool_calls
        assert (call["name"], call["args"]) == ("weather", {"town": "Oslo"})
        told = llm.invoke([*asked, turn, ToolMessage(weather(**call["args"]), tool_call_id=call["id"])])
    assert told.content == "The tool says: rain in Oslo"


@FAMILIES
@pytest.mark.parametrize("method", ["json_schema", "json_mode"])
def test_structured_output(scripted: Server, route: str, model: str, method: str) -> None:
    expected = Town(name="Oslo", inhabitants=700000)
    with chat(scripted, route, model) as plain:
        llm: Any = plain.with_structured_output(Town, method=method)
        assert llm.invoke([script({"text": expected.model_dump_json()})]) == expected


@ROUTES
def test_a_real_model_knows_a_capital(starters: Server, route: str) -> None:
    with chat(starters, route, "@local/smollm2-135m-instruct", temperature=0, max_tokens=40) as llm:
        answer = llm.invoke("What is the capital of Japan?")
        assert "Tokyo" in str(answer.content)
        assert "".join(str(chunk.content) for chunk in llm.stream("What is the capital of Japan?")) == answer.content
        assert "Tokyo" not in str(llm.invoke("What is the capital of Japan?", stop=["Tokyo"]).content)


def test_embeddings(starters: Server) -> None:
    embedder = CloudflareWorkersAIEmbeddings(
        account_id=ACCOUNT,
        api_token="any",
        api_base_url=f"{starters.base_url}/accounts",
        model_name="@local/all-minilm-l6-v2",
    )
    documents = embedder.embed_documents(["a cat", "a dog"])
    assert [len(vector) for vector in documents] == [384, 384]
    assert embedder.embed_query("a cat") == pytest.approx(documents[0], abs=1e-5)
