"""Rates and costs over HTTP and WebSocket: what is refused, in which words, and what does not count."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from starlette.datastructures import URL

from gateway.api.access import Key
from gateway.api.keyfile import KeyFile
from gateway.app import create_app
from gateway.config import Settings
from tests.api.conftest import ACCOUNT, client_of, row, run_path
from tests.api.walk import upgrade
from tests.engines.media import tone, wav

V1 = f"/client/v4/accounts/{ACCOUNT}/ai/v1"
CHAT = {"messages": [{"role": "user", "content": "hello"}]}
ROWS = [
    row("classify", "text-classification", "fake"),
    row("embed", "text-embeddings", "fake"),
    row("chat", "text-generation", "fake_chat", shape="chat-completion", context_window=512),
    row("speak", "text-to-speech", "fake", shape="aura"),
    row("draw", "text-to-image", "fake", shape="stable-diffusion"),
    row("listen", "automatic-speech-recognition", "fake", shape="whisper"),
    row("nova", "automatic-speech-recognition", "fake", shape="nova-3"),
]


@asynccontextmanager
async def serving(home: Path, keys: dict[str, Key], **settings: Any) -> AsyncIterator[dict[str, httpx.AsyncClient]]:
    """A client for each of `keys`, all of one gateway."""
    ring = KeyFile(home / "keys.json")
    headers = {name: {"authorization": f"Bearer {ring.create(name, like)}"} for name, like in keys.items()}
    app = create_app(Settings(home=home, grace_s=0.0, **settings), ROWS)
    async with app.router.lifespan_context(app):
        yield {name: client_of(app, headers=headers[name], timeout=60) for name in keys}


def limited(**rates: int) -> Key:
    return Key("", "", rate_limits={name.replace("_", "-"): limit for name, limit in rates.items()})


def costing(**costs: int) -> Key:
    return Key("", "", max_cost=costs)  # type: ignore[arg-type]


def told(response: httpx.Response) -> tuple[int, int]:
    """Status and code."""
    errors = response.json().get("errors")
    return response.status_code, errors[0]["code"] if errors else 0


LIMITED = (429, 3021)


async def test_a_key_may_ask_so_often_and_others_and_other_tasks_do_not_notice(tmp_path: Path) -> None:
    keys = {"two": limited(text_classification=2), "other": limited(text_classification=2)}
    async with serving(tmp_path, keys) as clients:
        two, other = clients.values()
        assert [told(await two.post(run_path("classify"), json={"text": "a"})) for _ in range(2)] == [(200, 0)] * 2
        refused = await two.post(run_path("classify"), json={"text": "a"})
        assert told(refused) == LIMITED
        assert refused.json()["errors"][0]["message"] == (
            f"AiError: rate limiting: inference request per min rate reached ({refused.headers['cf-ai-req-id']})"
        )
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        assert told(await two.post(run_path("embed"), json={"text": "a"})) == (200, 0)
        assert told(await other.post(run_path("classify"), json={"text": "a"})) == (200, 0)


async def test_every_way_to_ask_a_model_counts_once(tmp_path: Path) -> None:
    """Three that are counted leave no fourth; what is wrong with a request is told only where it may be asked."""
    ways: list[tuple[str, dict[str, Any]]] = [
        (run_path("chat"), CHAT),
        (run_path("chat"), {**CHAT, "stream": True}),
        (f"{V1}/chat/completions", {**CHAT, "model": "@cf/test/chat", "stream": True}),
        (f"{V1}/responses", {"input": "a", "model": "@cf/test/chat"}),
        (run_path("").rpartition("/@")[0], {"model": "@cf/test/chat", "input": CHAT}),
        (run_path("chat"), {"messages": 5}),
        (run_path("chat") + "?queueRequest=true", {"requests": [CHAT, CHAT]}),
    ]
    keys = {str(number): limited(text_generation=3) for number in range(len(ways))}
    async with serving(tmp_path, keys) as clients:
        for http, (path, body) in zip(clients.values(), ways, strict=True):
            answers = [await http.post(path, json=body) for _ in range(3)]
            assert all(answer.status_code in (200, 202, 400) for answer in answers), path
            assert told(await http.post(path, json=body)) == LIMITED, path


async def test_asking_for_the_answers_of_a_batch_does_not_count(tmp_path: Path) -> None:
    async with serving(tmp_path, {"two": limited(text_classification=2)}) as clients:
        http, path = clients["two"], run_path("classify") + "?queueRequest=true"
        queued = await http.post(path, json={"requests": [{"text": "a"}]})
        request_id = queued.json()["result"]["request_id"]
        for _ in range(5):
            assert (await http.post(path, json={"request_id": request_id})).status_code in (200, 202)
        assert told(await http.post(run_path("classify"), json={"text": "a"})) == (200, 0)
        assert told(await http.post(path, json={"requests": [{"text": "a"}]})) == LIMITED


async def test_a_websocket_counts_when_it_is_opened(tmp_path: Path) -> None:
    app = create_app(Settings(home=tmp_path, rate_limits=("*=1",)), ROWS)  # nobody has a key, so all are one
    path = URL(run_path("nova")).path
    headers = {"authorization": "Bearer any"}
    async with client_of(app, headers=headers) as http:
        assert told(await http.post(run_path("listen"), content=b"")) == (400, 3003)
    status, body = await upgrade(app, path, headers)
    assert (status, orjson.loads(body)["errors"][0]["code"]) == LIMITED


ONE_MINUTE = wav(tone(60.0, 8000), 8000)
DRAWING = {"prompt": "a", "width": 512, "height": 512, "num_steps": 4}


@pytest.mark.parametrize(
    ("model", "most", "over", "under", "estimate"),
    [
        ("embed", {"tokens": 50}, {"text": ["x" * 80] * 3}, {"text": ["x" * 80] * 2}, 66),
        ("chat", {"tokens": 100}, {**CHAT, "max_tokens": 60, "n": 2}, {**CHAT, "max_tokens": 40, "n": 2}, 126),
        ("speak", {"characters": 20}, {"text": "x" * 21}, {"text": "x" * 20}, 21),
        ("draw", {"pixel_steps": 2_000_000}, {**DRAWING, "num_steps": 8}, DRAWING, 2_097_152),
        ("listen", {"audio_seconds": 59}, ONE_MINUTE, wav(tone(1.0, 8000), 8000), 60),
    ],
)
async def test_what_is_estimated_over_the_bound_is_refused_before_any_work(
    tmp_path: Path, model: str, most: dict[str, int], over: Any, under: Any, estimate: int
) -> None:
    ((unit, bound),) = most.items()
    async with serving(tmp_path, {"bounded": costing(**most), "free": Key("", "")}) as clients:
        bounded, free = clients.values()
        app_body = {"content" if isinstance(over, bytes) else "json": over}
        refused = await bounded.post(run_path(model), **app_body)
        assert told(refused) == (413, 3006)
        assert f"estimated at {estimate} {unit}, of which one request may take at most {bound}" in refused.text
        assert "server-timing" not in refused.headers
        assert (await bounded.post(run_path(model), **{next(iter(app_body)): under})).status_code == 200
        assert (await free.post(run_path(model), **app_body)).status_code == 200


async def test_an_answer_without_a_bound_counts_as_the_whole_context_window_but_as_no_more(tmp_path: Path) -> None:
    keys = {"window": costing(tokens=512), "less": costing(tokens=511)}
    async with serving(tmp_path, keys) as clients:
        body = {**CHAT, "model": "@cf/test/chat"}
        assert told(await clients["window"].post(f"{V1}/chat/completions", json=body)) == (200, 0)
        refused = await clients["less"].post(f"{V1}/chat/completions", json=body)
        assert told(refused) == (413, 3006)
        assert refused.json()["error"]["type"] == "invalid_request_error"
        assert "estimated at 512 tokens" in refused.json()["error"]["message"]


async def test_the_requests_of_a_batch_count_together_and_nothing_of_it_is_taken(tmp_path: Path) -> None:
    async with serving(tmp_path, {"bounded": costing(tokens=50)}) as clients:
        http, path = clients["bounded"], run_path("classify") + "?queueRequest=true"
        items = [{"text": "x" * 80}] * 3
        assert told(await http.post(path, json={"requests": items[:2]})) == (202, 0)
        assert told(await http.post(path, json={"requests": items})) == (413, 3006)
        assert len(list((tmp_path / "batches").iterdir())) == 1
