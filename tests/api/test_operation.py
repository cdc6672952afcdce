"""Health, readiness, metrics, the log line of each request, and the OpenAPI document."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
from structlog.contextvars import merge_contextvars

from gateway.app import create_app
from gateway.config import Settings
from tests.api.conftest import ACCOUNT, BEARER, Served, client_of, row, run_path, until

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_health_needs_nothing(served: Served, method: str) -> None:
    async with client_of(served.app) as http:
        response = await http.request(method, "/health")
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"


async def test_ready_follows_the_preloaded_models(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    waits = "tests.fixtures.engines.waits:Engine"
    specs = [row("slow", "text-classification", waits, preload=True, options={"gate": str(gate)})]
    app = create_app(Settings(home=tmp_path), specs)
    async with app.router.lifespan_context(app), client_of(app) as http:
        before = await http.get("/ready")
        gate.touch()
        await until(app.state.gateway.registry.is_ready)
        after = await http.get("/ready")
    assert (before.status_code, before.json()["ready"]) == (503, False)
    assert before.json()["models"][0]["name"] == "@cf/test/slow"
    assert (after.status_code, after.json()["ready"]) == (200, True)
    assert after.json()["models"][0]["state"] == "ready"


async def test_metrics_count_requests_by_model_and_code(served: Served) -> None:
    await served.run("embed", json={"text": "a"})
    await served.run("embed", json={"text": 1})
    await served.run("nobody", json={"text": 1})
    response = await served.http.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain")
    labels = 'model="@cf/test/embed",status="{}",task="text-embeddings"'
    assert f'gateway_requests_total{{code="0",{labels.format(200)}}}' in response.text
    assert f'gateway_requests_total{{code="5006",{labels.format(400)}}}' in response.text
    assert 'gateway_requests_total{code="5007",model="",status="400",task=""}' in response.text
    assert "nobody" not in response.text


async def logged(http: httpx.AsyncClient, method: str, path: str, **request: Any) -> tuple[dict[str, Any], str]:
    """The one log line of a request, and the request id in its answer."""
    with structlog.testing.capture_logs([merge_contextvars]) as lines:
        response = await http.request(method, path, **request)
    (line,) = [line for line in lines if line["event"] == "request"]
    return dict(line), response.headers["cf-ai-req-id"]


@pytest.mark.parametrize(
    ("method", "path", "body", "expected"),
    [
        (
            "POST",
            run_path("alias"),
            {"text": "hi"},
            {
                "path": "/accounts/{account_id}/ai/run/{model_name}",
                "model": "@cf/test/classify",
                "status": 200,
                "code": 0,
            },
        ),
        (
            "POST",
            run_path("classify"),
            {},
            {
                "path": "/accounts/{account_id}/ai/run/{model_name}",
                "model": "@cf/test/classify",
                "status": 400,
                "code": 5006,
            },
        ),
        ("GET", "/nowhere", None, {"path": "", "model": "", "status": 404, "code": 7000}),
        ("POST", "/accounts/1/ai", {}, {"path": "", "model": "", "status": 404, "code": 7003}),
    ],
)
async def test_each_request_is_one_line_with_its_id(
    served: Served, method: str, path: str, body: Any, expected: dict[str, Any]
) -> None:
    line, request_id = await logged(served.http, method, path, json=body)
    assert {key: line[key] for key in expected} == expected
    assert (line["method"], line["request_id"], line["log_level"]) == (method, request_id, "info")
    assert line["ms"] > 0


async def test_credentials_are_never_logged(served: Served) -> None:
    secrets = {"authorization": "Bearer s3cret", "x-auth-key": "s3cret", "x-auth-email": "a@example.com"}
    with structlog.testing.capture_logs([merge_contextvars]) as lines:
        await served.run("classify", json={"text": "s3cret"}, headers=secrets)
        await served.run("nobody", json={"text": "s3cret"}, headers=secrets)
        await served.run("classify", content=b"s3cret", headers=secrets)
    assert len(lines) >= 3
    assert "s3cret" not in repr(lines)


async def test_a_bug_is_logged_with_its_traceback_and_answered_without(tmp_path: Path) -> None:
    app = create_app(Settings(home=tmp_path), [])

    async def broken(request: Any) -> Any:
        raise KeyError("a secret path")

    app.router.add_route("/broken", broken)
    async with client_of(app, headers=BEARER) as http:
        with structlog.testing.capture_logs() as lines:
            response = await http.get("/broken")
    request_id = response.headers["cf-ai-req-id"]
    assert response.status_code == 500
    assert response.text == (
        f'{{"errors":[{{"message":"AiError: Internal error: Internal error ({request_id})","code":3001}}],'
        '"success":false,"result":{},"messages":[]}'
    )
    (error,) = [line for line in lines if line["log_level"] == "error"]
    assert isinstance(error["exc_info"], KeyError)


async def test_the_openapi_document_describes_the_run_routes(served: Served) -> None:
    document = (await served.http.get("/openapi.json")).json()
    assert document["servers"] == [{"url": "/client/v4"}, {"url": "/"}]
    run = document["paths"]["/accounts/{account_id}/ai/run/{model_name}"]["post"]
    assert [parameter["name"] for parameter in run["parameters"]] == ["account_id", "model_name"]
    kinds = {"application/json", "multipart/form-data", "application/octet-stream"}
    assert set(run["requestBody"]["content"]) == kinds
    named = document["paths"]["/accounts/{account_id}/ai/run"]["post"]
    assert named["requestBody"]["content"]["application/json"]["schema"]["required"] == ["model", "input"]


async def test_a_lower_bound_for_all_bodies_wins(tmp_path: Path) -> None:
    specs = [row("small", "text-classification", "fake")]
    app = create_app(Settings(home=tmp_path, max_body_bytes=1024), specs)
    async with client_of(app, headers=BEARER) as http:
        for path, body in ((run_path("small"), {}), (f"/accounts/{ACCOUNT}/ai/run", {"model": "@cf/test/small"})):
            response = await http.post(path, json={**body, "text": "x" * 1024})
            assert (response.status_code, response.json()["errors"][0]["code"]) == (413, 3006)
