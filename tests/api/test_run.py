"""The run route: how models are named, how inputs arrive, what answers look like, which failure has which code."""

from __future__ import annotations

import asyncio
import base64
import json
import uuid
from typing import Any

import pytest

from tests.api.conftest import ACCOUNT, Served, run_path, until

pytestmark = pytest.mark.asyncio(loop_scope="session")
LABELS = b'[{"label":"SHORT","score":0.33333333333333337},{"label":"LONG","score":0.6666666666666666}]'
JSON = "application/json"


@pytest.mark.parametrize("prefix", ["", "/client/v4", "/client/v4/"])
@pytest.mark.parametrize(
    "name",
    [
        "@cf/test/classify",
        "@cf%2Ftest%2Fclassify",
        "%40cf%2ftest%2fclassify",
        "%2540cf%252Ftest%252Fclassify",
        "@cf/test/classify/",
        "@cf/test/classify?queueRequest=false&tags=a&unknown=",
        "@cf/test/alias",
    ],
)
async def test_every_spelling_of_the_path_reaches_the_model(served: Served, prefix: str, name: str) -> None:
    response = await served.http.post(f"{prefix}/accounts/{ACCOUNT}/ai/run/{name}", json={"text": "hi"})
    assert response.content == b'{"result":%b,"success":true,"errors":[],"messages":[]}' % LABELS
    assert response.status_code == 200
    assert response.headers["content-type"] == JSON


@pytest.mark.parametrize("path", ["run", "run/"])
async def test_the_model_may_be_named_in_the_body(served: Served, path: str) -> None:
    body = {"model": "@cf/test/classify", "input": {"text": "hi"}, "options": {}}
    response = await served.http.post(f"/accounts/{ACCOUNT}/ai/{path}", json=body)
    assert response.content == b'{"result":%b,"success":true,"errors":[],"messages":[]}' % LABELS


@pytest.mark.parametrize(
    ("body", "status", "code", "text"),
    [
        ({"input": {"text": "hi"}}, 400, 5006, "required properties at '/' are 'model'"),
        ({}, 400, 5006, "required properties at '/' are 'model,input'"),
        ({"model": 1, "input": {}}, 400, 5006, "'/model'"),
        ([], 400, 5006, "Type mismatch of '/', 'array' not in 'object'"),
        ({"model": "@cf/test/nobody", "input": {}}, 400, 5007, "@cf/test/nobody"),
        ({"model": "@cf/test/classify", "input": {}}, 400, 5006, "required properties at '/' are 'text'"),
        ({"model": "@cf/test/classify", "input": [1]}, 400, 5006, "Type mismatch of '/', 'array' not in 'object'"),
    ],
)
async def test_bodies_that_name_no_model_or_no_input(
    served: Served, body: Any, status: int, code: int, text: str
) -> None:
    response = await served.http.post(f"/accounts/{ACCOUNT}/ai/run", json=body)
    error = response.json()["errors"][0]
    assert (response.status_code, error["code"]) == (status, code)
    assert text in error["message"]


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        JSON,
        "application/json; charset=utf-8",
        "APPLICATION/JSON",
        "application/x-www-form-urlencoded",
        "text/plain;charset=UTF-8",
        "application/octet-stream",
        "application/cloudflare+json",
    ],
)
@pytest.mark.parametrize("body", [b'{"text":"hi"}', b' \r\n\t{"text":"hi"}', b'\xef\xbb\xbf{"text":"hi"}'])
async def test_json_is_recognised_under_every_type(served: Served, content_type: str | None, body: bytes) -> None:
    headers = {"content-type": content_type} if content_type else {}
    response = await served.run("classify", content=body, headers=headers)
    assert response.json()["result"] == json.loads(LABELS)


@pytest.mark.parametrize(
    "content_type", [None, "application/octet-stream", "audio/wav", "application/x-www-form-urlencoded"]
)
@pytest.mark.parametrize("model", ["listen", "listen-turbo"])
async def test_raw_bytes_are_the_media(served: Served, model: str, content_type: str | None) -> None:
    headers = {"content-type": content_type} if content_type else {}
    response = await served.run(model, content=bytes(range(256)), headers=headers)
    assert response.json()["result"]["text"] == "256 bytes"


async def test_an_audio_type_is_never_taken_for_json(served: Served) -> None:
    response = await served.run("listen", content=b'{"audio":1}', headers={"content-type": "audio/wav"})
    assert response.json()["result"]["text"] == "11 bytes"


@pytest.mark.parametrize(
    ("model", "audio"), [("listen", list(range(100))), ("listen-turbo", base64.b64encode(bytes(100)).decode())]
)
async def test_media_inside_json(served: Served, model: str, audio: Any) -> None:
    response = await served.run(model, json={"audio": audio})
    assert response.json()["result"]["text"] == "100 bytes"


async def test_a_large_json_body_gives_the_same_answer_as_raw_bytes(served: Served) -> None:
    media = bytes(range(256)) * 400
    raw = await served.run("listen", content=media, headers={"content-type": "audio/wav"})
    numbers = await served.run("listen", json={"audio": list(media)})
    assert numbers.json() == raw.json()
    assert raw.json()["result"]["text"] == "102400 bytes"


@pytest.mark.parametrize(
    ("model", "body", "media_type", "content"),
    [
        ("speak-raw", {"text": "hello", "stream": True}, "audio/mpeg", b"hello"),
        (
            "speak",
            {"prompt": "hello"},
            JSON,
            b'{"result":{"audio":"aGVsbG8="},"success":true,"errors":[],"messages":[]}',
        ),
        (
            "embed",
            {"text": "a b", "stream": True},
            JSON,
            b'{"result":{"shape":[1,3],"data":[[3.0,1.0,1.0]],"pooling":"mean"},"success":true,"errors":[],"messages":[]}',
        ),
        (
            "chat",
            {"messages": [{"role": "user", "content": "one two"}], "stream": False},
            JSON,
            b'{"result":{"response":"one two","usage":{"prompt_tokens":2,"completion_tokens":2,"total_tokens":4,'
            b'"prompt_tokens_details":{"cached_tokens":0}}},"success":true,"errors":[],"messages":[]}',
        ),
    ],
)
async def test_answers_byte_for_byte(
    served: Served, model: str, body: dict[str, Any], media_type: str, content: bytes
) -> None:
    response = await served.run(model, json=body)
    assert response.content == content
    assert response.headers["content-type"] == media_type


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
    ("GET", f"/accounts/{ACCOUNT}/ai/v1/models", 404, 7000, "No route for that URI"),
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
