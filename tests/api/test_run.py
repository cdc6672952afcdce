"""The run route: how models are named, how inputs arrive, what answers look like."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from tests.api.conftest import ACCOUNT, Served

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


@pytest.mark.parametrize("times", [1, 400])
@pytest.mark.parametrize(
    ("model", "odd", "code", "text"),
    [
        ("listen", 256, 5006, "the items of a byte array must be integers from 0 to 255"),
        ("listen", "7", 5006, "the items of a byte array must be integers from 0 to 255"),
        ("listen-turbo", 7, 5004, "array"),
    ],
)
async def test_bad_numbers_fail_alike_in_small_and_large_bodies(
    served: Served, model: str, odd: Any, code: int, text: str, times: int
) -> None:
    response = await served.run(model, json={"audio": [*range(256)] * times + [odd]})
    error = response.json()["errors"][0]
    assert (response.status_code, error["code"]) == (400, code)
    assert text in error["message"]


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
            b'{"result":{"shape":[1,3],"data":[[3.0,1.0,1.0]],"pooling":"mean","usage":{"prompt_tokens":2,'
            b'"completion_tokens":0,"total_tokens":2,"prompt_tokens_details":{"cached_tokens":0}}},'
            b'"success":true,"errors":[],"messages":[]}',
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
