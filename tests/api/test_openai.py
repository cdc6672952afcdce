"""The routes under /ai/v1: embeddings, errors, wrong models, what the operator may open, and busy models."""

from __future__ import annotations

import asyncio
import base64
import json
import struct
from pathlib import Path
from typing import Any

import pytest
from fastapi import Request

from gateway.api.access import ANYONE
from gateway.api.choosing import choose
from gateway.api.exchange import begin
from gateway.app import create_app
from gateway.config import Settings
from tests.api.conftest import ACCOUNT, BEARER, FIXTURES, Served, client_of, row, run_path, until
from tests.api.events import events, frames

pytestmark = pytest.mark.asyncio(loop_scope="session")
V1 = f"/client/v4/accounts/{ACCOUNT}/ai/v1"
SCHEMA = {"type": "json_schema", "json_schema": {"type": "object"}}


async def test_embeddings_are_a_list_in_the_order_of_the_texts(served: Served) -> None:
    response = await served.http.post(f"{V1}/embeddings", json={"model": "@cf/test/embed", "input": ["a b", "c"]})
    assert response.json() == {
        "object": "list",
        "data": [
            {"object": "embedding", "index": 0, "embedding": [3.0, 1.0, 1.0]},
            {"object": "embedding", "index": 1, "embedding": [1.0, 0.0, 1.0]},
        ],
        "model": "@cf/test/embed",
        "usage": {"prompt_tokens": 3, "total_tokens": 3},
    }


async def test_base64_is_little_endian_float32(served: Served) -> None:
    body = {"model": "@cf/test/embed", "input": "a b", "encoding_format": "base64"}
    (item,) = (await served.http.post(f"{V1}/embeddings", json=body)).json()["data"]
    assert struct.unpack("<3f", base64.b64decode(item["embedding"])) == (3.0, 1.0, 1.0)


async def test_dimensions_are_cut_where_the_model_was_trained_for_it(served: Served) -> None:
    body = {"model": "@cf/test/embed-cut", "input": "a b", "dimensions": 2}
    (item,) = (await served.http.post(f"{V1}/embeddings", json=body)).json()["data"]
    assert item["embedding"] == pytest.approx([3 / 10**0.5, 1 / 10**0.5])
    beyond = await served.http.post(f"{V1}/embeddings", json=body | {"dimensions": 4})
    assert (beyond.status_code, "'/dimensions' must be <= 3" in beyond.text) == (400, True)


@pytest.mark.parametrize(
    ("path", "body", "text"),
    [
        ("embeddings", {"model": "@cf/test/embed", "input": [1, 2]}, "'/input': must be a text or an array of texts"),
        ("embeddings", {"model": "@cf/test/embed", "input": [[1, 2]]}, "arrays of token ids are not accepted"),
        ("embeddings", {"model": "@cf/test/embed", "input": []}, "Length of '/input' must be >= 1"),
        ("embeddings", {"model": "@cf/test/embed"}, "required properties at '/' are 'input'"),
        ("embeddings", {"model": "@cf/test/embed", "input": "a", "dimensions": 2}, "'/dimensions' cannot be chosen"),
        ("embeddings", {"model": "@cf/test/embed", "input": "a", "dimensions": 0}, "'/dimensions' cannot be chosen"),
        ("embeddings", {"model": "@cf/test/embed-cut", "input": "a", "dimensions": 0}, "'/dimensions' must be >= 1"),
        ("embeddings", {"model": "@cf/test/embed", "input": "a", "encoding_format": "int8"}, "'/encoding_format' must"),
        ("embeddings", {"model": "@cf/test/say", "input": "a"}, "@cf/test/say is for Text Generation"),
        ("chat/completions", {"model": "@cf/test/embed", "prompt": "a"}, "@cf/test/embed is for Text Embeddings"),
        ("chat/completions", {"model": "@cf/test/say"}, "oneOf at '/' not met, 0 matches"),
        ("chat/completions", {"prompt": "a"}, "required properties at '/' are 'model'"),
        ("chat/completions", {"model": 3, "prompt": "a"}, "Type mismatch of '/model', not in 'string'"),
        ("chat/completions", {"model": "@cf/test/nobody", "prompt": "a"}, "No such model @cf/test/nobody or task"),
        ("chat/completions", [], "Type mismatch of '/', not in 'object'"),
        ("responses", {"model": "@cf/test/classify", "input": "a"}, "@cf/test/classify is for Text Classification"),
        (
            "messages",
            {"model": "@cf/test/say", "max_tokens": 1, "messages": []},
            'AiError: Anthropic Messages API is not supported for model "@cf/test/say"',
        ),
        ("messages", {"model": "@cf/test/nobody"}, "No such model @cf/test/nobody or task"),
    ],
)
async def test_a_refusal_is_an_envelope_with_an_error_beside_it(
    served: Served, path: str, body: Any, text: str
) -> None:
    response = await served.http.post(f"{V1}/{path}", json=body)
    found = response.json()
    assert response.status_code == 400
    assert (found["success"], found["result"]) == (False, {})
    assert text in found["errors"][0]["message"]
    assert response.headers["cf-ai-req-id"] in found["errors"][0]["message"]
    beside = found["error"]
    assert (beside["message"], beside["type"]) == (found["errors"][0]["message"], "invalid_request_error")
    assert set(beside) == {"message", "type", "param", "code"}


async def test_only_these_routes_have_the_second_error(served: Served) -> None:
    assert "error" not in (await served.run("say", json={})).json()
    missing = await served.http.post(f"{V1}/audio/speech", json={})
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "7000")
    unauthorized = await served.http.post(f"{V1}/embeddings", json={}, headers={"authorization": "Basic x"})
    assert unauthorized.json()["error"]["code"] == "6003"


async def test_a_failure_after_the_first_chunk_has_the_second_error(served: Served) -> None:
    body = {"model": "@cf/test/fragile", "prompt": "raise", "max_tokens": 9, "stream": True}
    last = frames((await served.http.post(f"{V1}/chat/completions", json=body)).text)[-1]
    assert last["error"]["code"] == str(last["errors"][0]["code"]) == "3043"
    assert last["error"]["type"] == "server_error"


async def test_the_answer_has_the_name_that_was_asked_for(served: Served) -> None:
    body = {"model": "@cf/test/oss-alias", "prompt": "a"}
    assert (await served.http.post(f"{V1}/chat/completions", json=body)).json()["model"] == "@cf/test/oss-alias"


async def test_models_are_only_listed_where_the_operator_wants_it(served: Served, tmp_path: Path) -> None:
    for path in ("models", "models/@cf/test/say"):
        refused = await served.http.get(f"{V1}/{path}")
        assert (refused.status_code, refused.json()["errors"][0]["code"]) == (405, 7001)
        assert refused.json()["errors"][0]["message"] == "GET not supported for requested URI."
    app = create_app(Settings(home=tmp_path, openai_models=True), [row("a", "text-classification", "fake")])
    async with client_of(app, headers=BEARER) as http:
        found = (await http.get(f"{V1}/models")).json()
        item = {"id": "@cf/test/a", "object": "model", "created": 0, "owned_by": "test"}
        assert found == {"object": "list", "data": [item]}
        assert (await http.get(f"{V1}/models/@cf/test/a")).json() == item
        assert (await http.get(f"{V1}/models/nobody")).json()["errors"][0]["code"] == 5007


async def test_the_routes_are_in_the_openapi_document(served: Served) -> None:
    paths = (await served.http.get("/openapi.json")).json()["paths"]
    prefix = "/accounts/{account_id}/ai/v1"
    for name in ("chat/completions", "responses", "embeddings"):
        content = paths[f"{prefix}/{name}"]["post"]["requestBody"]["content"]["application/json"]["schema"]
        assert content["allOf"][0]["required"] == ["model"]
    assert "get" in paths[f"{prefix}/models"]


async def test_a_callers_affinity_is_part_of_the_origin(served: Served) -> None:
    headers = [(b"x-session-affinity", b"ses_" + b"x" * 300)]
    scope = {"type": "http", "app": served.app, "headers": headers, "path_params": {"account_id": ACCOUNT}}
    begin(scope).caller = ANYONE
    chosen = await choose(Request(scope), "@cf/test/oss-alias")
    origin = chosen.origin
    assert (origin.account, origin.model, chosen.model.spec.name) == (ACCOUNT, "@cf/test/oss-alias", "@cf/test/say-oss")
    assert origin.affinity == "ses_" + "x" * 252


REJECT = {"options": {"rejectIfBusy": True}}
WAIT = json.dumps([{"text": "now"}, {"wait": True}])


async def test_a_busy_model_refuses_who_does_not_want_to_wait(served: Served) -> None:
    model = served.model("say")
    await until(lambda: model.status()["running"] == 0)
    bodies = [json.dumps({"prompt": WAIT, "stream": True}).encode()] * 2
    holders = [await served.post("say", body) for body in bodies]
    for reader, _ in holders:
        await reader.readuntil(b'"response":"now"')
    asked = {"model": "@cf/test/say", "prompt": "a", **REJECT}
    for response in (
        await served.run("say", json={"prompt": "a", **REJECT}),
        await served.run("say", json={"prompt": "a", "stream": True, **REJECT}),
        await served.http.post(f"{V1}/chat/completions", json=asked),
        await served.http.post(f"/accounts/{ACCOUNT}/ai/run", json={**asked, "input": {"prompt": "a"}}),
    ):
        assert (response.status_code, response.json()["errors"][0]["code"]) == (429, 3040)
    for _, writer in holders:
        writer.transport.abort()
    await until(lambda: model.status()["running"] == 0)
    assert (await served.run("say", json={"prompt": "a", **REJECT})).status_code == 200


async def test_a_busy_batch_refuses_who_does_not_want_to_wait(served: Served, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    rows = [row("gated", "text-classification", f"{FIXTURES}.waits:Engine", options={"gate": str(gate)})]
    app = create_app(Settings(home=tmp_path, grace_s=0), rows)
    async with app.router.lifespan_context(app), client_of(app, headers=BEARER, timeout=60) as http:
        model = app.state.gateway.registry.get("@cf/test/gated")
        running = asyncio.create_task(http.post(run_path("gated"), json={"text": "a", **REJECT}))
        await until(lambda: model.status()["running"] == 1)
        refused = await http.post(run_path("gated"), json={"text": "b", **REJECT})
        assert (refused.status_code, refused.json()["errors"][0]["code"]) == (429, 3040)
        gate.touch()
        assert (await running).status_code == 200
        assert (await http.post(run_path("gated"), json={"text": "c", **REJECT})).status_code == 200


async def test_reject_if_busy_must_be_a_boolean(served: Served) -> None:
    response = await served.run("classify", json={"text": "a", "options": {"rejectIfBusy": "yes"}})
    assert "'/options/rejectIfBusy', not in 'boolean'" in response.json()["errors"][0]["message"]


async def test_strict_compatibility_refuses_what_the_service_refuses(tmp_path: Path) -> None:
    rows = [
        row("plain", "text-generation", f"{FIXTURES}.scripted:Engine"),
        row("json", "text-generation", f"{FIXTURES}.scripted:Engine", json_mode=True),
    ]
    whole, streamed = {"response_format": SCHEMA}, {"response_format": SCHEMA, "stream": True}
    text = json.dumps([{"text": '{"a":1}'}])
    app = create_app(Settings(home=tmp_path, grace_s=0, compat="strict"), rows)
    async with app.router.lifespan_context(app), client_of(app, headers=BEARER, timeout=60) as http:
        for name, body, code in (("plain", whole, 5025), ("json", streamed, 5023), ("plain", streamed, 5025)):
            refused = await http.post(run_path(name), json={"prompt": text, **body})
            assert (refused.status_code, refused.json()["errors"][0]["code"]) == (400, code)
        failed = await http.post(run_path("json"), json={"prompt": "no json", **whole})
        assert failed.json()["errors"][0]["code"] == 5024
        found = await http.post(run_path("json"), json={"prompt": text, **whole})
        assert found.json()["result"]["response"] == {"a": 1}
        streaming = await http.post(f"{V1}/responses", json={"model": "@cf/test/json", "input": "a", "stream": True})
        assert "'/stream' must be false" in streaming.json()["error"]["message"]


async def test_json_mode_streams_by_default(served: Served) -> None:
    prompt = json.dumps([{"text": '{"a":'}, {"text": "1}"}])
    response = await served.run("say", json={"prompt": prompt, "response_format": SCHEMA, "stream": True})
    *texts, _, _ = frames(response.text)
    assert json.loads("".join(text["response"] for text in texts)) == {"a": 1}
    found = events(
        (
            await served.http.post(f"{V1}/responses", json={"model": "@cf/test/say", "input": prompt, "stream": True})
        ).text
    )
    assert found[-1][0] == "response.completed"
