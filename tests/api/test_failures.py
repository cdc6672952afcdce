"""What goes wrong on the way to an answer: status, code and text of each failure, byte for byte."""

from __future__ import annotations

import asyncio
import json
import uuid
from pathlib import Path
from typing import Any

import pytest

from gateway.app import create_app
from gateway.config import Settings
from tests.api.conftest import ACCOUNT, BEARER, FIXTURES, Served, client_of, row, run_path, until

pytestmark = pytest.mark.asyncio(loop_scope="session")
JSON = "application/json"
JSON_TYPE = {"content-type": JSON}
FAILURES: list[tuple[str, dict[str, Any], int, int, str]] = [
    ("nobody", {"json": {}}, 400, 5007, "AiError: No such model: No such model @cf/test/nobody or task ({id})"),
    ("classify", {"content": b""}, 400, 3003, "AiError: Bad request: the request has no body ({id})"),
    ("classify", {"json": {}}, 400, 5006, "AiError: Bad input: Error: required properties at '/' are 'text' ({id})"),
    (
        "classify",
        {"json": [1]},
        400,
        5006,
        "AiError: Bad input: Error: Type mismatch of '/', 'array' not in 'object' ({id})",
    ),
    (
        "classify",
        {"content": b"5", "headers": JSON_TYPE},
        400,
        5006,
        "AiError: Bad input: Error: Type mismatch of '/', 'integer' not in 'object' ({id})",
    ),
    (
        "classify",
        {"content": b"RIFF", "headers": {"content-type": "audio/wav"}},
        400,
        5006,
        "AiError: Bad input: Error: Type mismatch of '/', 'binary' not in 'object' ({id})",
    ),
    (
        "classify",
        {"files": {"text": b"hi"}},
        400,
        5006,
        "AiError: Bad input: Error: multipart bodies are not accepted by this model; send JSON ({id})",
    ),
    (
        "classify",
        {"content": b"\x1f\x8b", "headers": {"content-encoding": "gzip"}},
        400,
        5006,
        "AiError: Bad input: Error: the body must be sent without Content-Encoding, not as 'gzip' ({id})",
    ),
    (
        "chat",
        {"json": {"prompt": "a", "temperature": 6}},
        400,
        5006,
        "AiError: Bad input: Error: '/temperature' must be <= 5 ({id})",
    ),
    (
        "listen-turbo",
        {"json": {"audio": "###"}},
        400,
        5004,
        "AiError: Invalid data type for base64 input: string ({id})",
    ),
    (
        "chat",
        {"json": {"prompt": "a", "max_tokens": 600}},
        413,
        5021,
        "AiError: Bad input: The estimated number of input and maximum output tokens (601) exceeded "
        "this model context window limit (512) ({id})",
    ),
    (
        "classify",
        {"json": {"text": "x" * (10 << 20)}},
        413,
        3006,
        "AiError: Request too large: the body is larger than 10485760 bytes ({id})",
    ),
    ("hangs", {"json": {"text": "hang"}}, 408, 3046, "AiError: Timeout: Request timeout ({id})"),
    (
        "raises",
        {"json": {"text": "poison"}},
        500,
        3043,
        "AiError: Internal server error: the model failed on this input ({id})",
    ),
]


@pytest.mark.parametrize(("model", "request_", "status", "code", "message"), FAILURES)
async def test_failures_byte_for_byte(
    served: Served, model: str, request_: dict[str, Any], status: int, code: int, message: str
) -> None:
    response = await served.run(model, **request_)
    request_id = response.headers["cf-ai-req-id"]
    text = json.dumps(message.replace("{id}", request_id))
    expected = f'{{"errors":[{{"message":{text},"code":{code}}}],"success":false,"result":{{}},"messages":[]}}'
    assert (response.status_code, response.text) == (status, expected)
    assert response.headers["content-type"] == JSON
    assert uuid.UUID(request_id).version == 4


@pytest.mark.parametrize(
    ("model", "text", "status", "code", "should_retry"),
    [
        ("raises", "poison", 500, 3043, "false"),
        ("dies", "die", 500, 3043, "false"),
        ("raises", "refuse", 400, 5006, None),
    ],
)
async def test_clients_are_told_not_to_retry_what_cannot_succeed(
    served: Served, model: str, text: str, status: int, code: int, should_retry: str | None
) -> None:
    response = await served.run(model, json={"text": text})
    assert (response.status_code, response.json()["errors"][0]["code"]) == (status, code)
    assert response.headers.get("x-should-retry") == should_retry
    assert "/secret/path" not in response.text


async def test_a_model_that_cannot_be_loaded(served: Served) -> None:
    response = await served.run("unloadable", json={"text": "a"})
    assert (response.status_code, response.json()["errors"][0]["code"]) == (503, 3050)


async def test_where_the_weights_are_is_not_told(tmp_path: Path) -> None:
    files = tmp_path / "weights"
    files.mkdir()
    lost = row("lost", "text-classification", f"{FIXTURES}.names_its_files:Engine", source=f"file:{files}")
    app = create_app(Settings(home=tmp_path, grace_s=0.0), [lost])
    async with app.router.lifespan_context(app), client_of(app, headers=BEARER) as client:
        text = (await client.post(run_path("lost"), json={"text": "a"})).text
    assert "OSError: no model.safetensors found in directory weights, only weights/notes.txt" in text
    assert "nor 'model.bin' of @local/other, see https://docs.example/a/b" in text
    assert str(tmp_path.parent) not in text


async def test_a_full_queue_refuses_at_once(served: Served) -> None:
    model = served.model("crowded")
    async with asyncio.TaskGroup() as group:
        running = group.create_task(served.run("crowded", json={"text": "running"}))
        await until(lambda: model.status()["running"] == 1)
        waiting = group.create_task(served.run("crowded", json={"text": "waiting"}))
        await until(lambda: model.status()["waiting"] == 1)
        refused = await served.run("crowded", json={"text": "refused"})
        (served.folder / "crowd").touch()
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (429, 3040)
    assert "Capacity temporarily exceeded, please try again." in refused.text
    assert (running.result().status_code, waiting.result().status_code) == (200, 200)


ROUTER_FAILURES = [
    ("GET", run_path("classify"), 405, 7001, "GET not supported for requested URI."),
    ("PUT", run_path("classify"), 405, 7001, "PUT not supported for requested URI."),
    ("OPTIONS", run_path("classify"), 405, 7001, "OPTIONS not supported for requested URI."),
    ("POST", f"/accounts/{ACCOUNT}/ai", 404, 7000, "No route for that URI"),
    ("GET", "/", 404, 7000, "No route for that URI"),
    (
        "POST",
        "/client/v4/accounts/nonsense/ai/run/@cf%2Fx",
        404,
        7003,
        "Could not route to /client/v4/accounts/nonsense/ai/run/@cf%2Fx, perhaps your object identifier is invalid?",
    ),
]


@pytest.mark.parametrize(("method", "path", "status", "code", "message"), ROUTER_FAILURES)
async def test_router_failures_byte_for_byte(
    served: Served, method: str, path: str, status: int, code: int, message: str
) -> None:
    response = await served.http.request(method, path)
    error = f'{{"code":{code},"message":{json.dumps(message)}}}'
    assert response.text == f'{{"result":null,"success":false,"errors":[{error}],"messages":[]}}'
    assert response.status_code == status
    assert response.headers["content-type"] == JSON
    assert uuid.UUID(response.headers["cf-ai-req-id"])


async def test_head_on_a_post_route_is_refused(served: Served) -> None:
    response = await served.http.head(run_path("classify"))
    assert response.status_code == 405


async def test_no_answer_is_a_redirect(served: Served) -> None:
    for path in ("", "/", "/health/", "/user/tokens/verify/", f"{run_path('classify')}/"):
        response = await served.http.post(path, json={"text": "hi"})
        assert not response.has_redirect_location
