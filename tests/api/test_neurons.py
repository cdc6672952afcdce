"""What an answer would have cost on Cloudflare: in a header, in the token counts and in the metrics."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
import structlog

from gateway.app import create_app
from gateway.config import ModelSpec, Settings
from gateway.tasks.media import vowels
from tests.api.conftest import ACCOUNT, BEARER, FIXTURES, client_of, row, run_path

TOKENS = [{"unit": "per M input tokens", "price": 11.0}, {"unit": "per M output tokens", "price": 22.0}]
NEVER = f"{FIXTURES}.fails_to_load:Engine"
CHARACTERS = [{"unit": "per 1k characters", "price": 0.011}]
HEADER = "cf-ai-neurons"


def priced(name: str, task: str, engine: str, price: list[dict[str, Any]], **fields: Any) -> ModelSpec:
    return row(name, task, engine, properties={"price": price}, **fields)


ROWS = [
    priced("chat", "text-generation", "fake_chat", TOKENS),
    priced("chat-objects", "text-generation", "fake_chat", TOKENS, shape="chat-completion"),
    priced("embed", "text-embeddings", "fake", TOKENS[:1]),
    priced(
        "listen",
        "automatic-speech-recognition",
        "fake",
        [{"unit": "per audio minute", "price": 0.066}],
        shape="whisper",
    ),
    priced("turn", "voice-activity-detection", "silero_turn", [{"unit": "per audio minute", "price": 0.066}]),
    priced("speak", "text-to-speech", "fake", CHARACTERS, shape="melotts"),
    priced("speak-raw", "text-to-speech", "fake", CHARACTERS, shape="aura"),
    priced("speak-never", "text-to-speech", NEVER, CHARACTERS, shape="aura", options={"fault": "/"}),
    priced("blinks", "text-generation", "fake_chat", [{"unit": "per blink", "price": 1.0}]),
    row("free", "text-generation", "fake_chat"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def http(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[httpx.AsyncClient]:
    home: Path = tmp_path_factory.mktemp("neurons")
    app = create_app(Settings(home=home, grace_s=0.0), ROWS)
    async with app.router.lifespan_context(app), client_of(app, headers=BEARER, timeout=60) as client:
        yield client


pytestmark = pytest.mark.asyncio(loop_scope="session")


def chat_path(route: str) -> str:
    return f"/client/v4/accounts/{ACCOUNT}/ai/v1/{route}"


@pytest.mark.parametrize(
    ("name", "request_", "expected"),
    [
        ("chat", {"json": {"prompt": "four words of text"}}, "12.00"),  # 4 x 1 neuron in, 4 x 2 out
        ("embed", {"json": {"text": ["two words", "three more words"]}}, "5.00"),
        ("listen", {"content": vowels(0.5)}, "100.00"),  # the engine says: one second
        ("turn", {"content": vowels(0.5)}, "50.00"),
        ("speak", {"json": {"prompt": "twelve chars"}}, "12.00"),
        ("speak-raw", {"json": {"text": "twelve chars"}}, "12.00"),
        ("blinks", {"json": {"prompt": "a b"}}, None),
        ("free", {"json": {"prompt": "a b"}}, None),
    ],
)
async def test_the_header(http: httpx.AsyncClient, name: str, request_: Any, expected: str | None) -> None:
    answer = await http.post(run_path(name), **request_)
    assert answer.status_code == 200
    assert answer.headers.get(HEADER) == expected


async def test_the_log_line_tells_them_where_the_header_does(http: httpx.AsyncClient) -> None:
    told = []
    for name in ("chat", "free"):
        with structlog.testing.capture_logs() as lines:
            await http.post(run_path(name), json={"prompt": "a b"})
        told += [line.get("neurons") for line in lines if line["event"] == "request"]
    assert told == [6.0, None]


async def test_an_error_costs_nothing(http: httpx.AsyncClient) -> None:
    refused = await http.post(run_path("chat"), json={"prompt": ""})
    failed = await http.post(run_path("speak-never"), json={"text": "twelve chars"})
    assert (refused.status_code, failed.status_code) == (400, 503)
    assert not any(HEADER in answer.headers for answer in (refused, failed))


async def test_the_token_counts_of_an_answer_tell_them(http: httpx.AsyncClient) -> None:
    native = (await http.post(run_path("chat"), json={"prompt": "a b c"})).json()["result"]["usage"]
    messages = [{"role": "user", "content": "a b c"}]
    objects = (await http.post(run_path("chat-objects"), json={"messages": messages})).json()["result"]["usage"]
    assert native == objects
    assert (native["total_tokens"], native["neurons"]) == (6, pytest.approx(9.0))


async def test_vectors_come_with_the_tokens_of_their_texts(http: httpx.AsyncClient) -> None:
    answer = await http.post(run_path("embed"), json={"text": ["two words", "three more words"]})
    usage = answer.json()["result"]["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["neurons"]) == (5, 0, pytest.approx(5.0))


@pytest.mark.parametrize("name", ["chat", "chat-objects"])
async def test_a_stream_tells_them_once_at_its_end(http: httpx.AsyncClient, name: str) -> None:
    messages = [{"role": "user", "content": "a b c"}]
    answer = await http.post(run_path(name), json={"messages": messages, "stream": True})
    events = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: {")]
    assert [event["usage"]["neurons"] for event in events if "neurons" in event.get("usage", {})] == [9.0]
    assert events[-1]["usage"]["neurons"] == 9.0


async def test_openai_chunks_tell_them_only_when_counts_are_asked_for(http: httpx.AsyncClient) -> None:
    told = []
    for options in ({}, {"stream_options": {"include_usage": True}}):
        body = {"model": "@cf/test/chat-objects", "messages": [{"role": "user", "content": "a b c"}], "stream": True}
        answer = await http.post(chat_path("chat/completions"), json=body | options)
        told.append(answer.text.count('"neurons":9.0'))
    assert told == [0, 1]


async def test_the_metrics_add_them_up(http: httpx.AsyncClient) -> None:
    def total(text: str) -> float:
        sample = next(
            (
                line
                for line in text.splitlines()
                if line.startswith("gateway_neurons_total{") and "chat-objects" in line
            ),
            "0",
        )
        return float(sample.split()[-1])

    before = total((await http.get("/metrics")).text)
    for stream in (False, True):
        body = {"messages": [{"role": "user", "content": "a b"}], "stream": stream}
        await http.post(run_path("chat-objects"), json=body)
    assert total((await http.get("/metrics")).text) - before == pytest.approx(12.0)
