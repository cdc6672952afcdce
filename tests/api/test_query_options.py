"""Options in the query: for the tasks whose bodies are raw media, and only for those."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.conftest import Served, run_path

pytestmark = pytest.mark.asyncio(loop_scope="session")

AUDIO = {"content-type": "audio/mpeg"}


async def refusal(served: Served, name: str, **request: Any) -> str:
    response = await served.run(name, **request)
    assert response.status_code == 400
    (error,) = response.json()["errors"]
    assert error["code"] == 5006
    return str(error["message"]).removesuffix(f" ({response.headers['cf-ai-req-id']})")


async def test_options_of_a_raw_body_are_in_the_query(served: Served) -> None:
    params: list[tuple[str, str]] = [("detect_language", "true"), ("keyterm", "a"), ("keyterm", "b")]
    response = await served.run("listen-nova", content=b"sound", headers=AUDIO, params=params)
    (channel,) = response.json()["result"]["results"]["channels"]
    assert channel["detected_language"] == "en"


@pytest.mark.parametrize("body", [b'{"audio":"AAAA"}', b'{"audio":[1,2,3]}'])
async def test_audio_in_json_needs_its_object(served: Served, body: bytes) -> None:
    detail = await refusal(served, "listen-nova", content=body)
    assert detail == "AiError: Bad input: Error: required properties at '/audio' are 'body,contentType'"


async def test_audio_in_its_object_is_taken(served: Served) -> None:
    response = await served.run("listen-nova", json={"audio": {"body": "AAAA", "contentType": "audio/mpeg"}})
    assert response.json()["success"]


async def test_a_bad_option_is_named(served: Served) -> None:
    detail = await refusal(served, "listen-nova", content=b"sound", headers=AUDIO, params={"utt_split": "-1"})
    assert detail == "AiError: Bad input: Error: '/utt_split' must be >= 0.1"


@pytest.mark.parametrize("query", ["a=1&" * 500, "extra=" + "x" * 33_000])
async def test_a_query_is_bounded(served: Served, query: str) -> None:
    response = await served.http.post(f"{run_path('listen-nova')}?{query}", content=b"sound", headers=AUDIO)
    assert (response.status_code, response.json()["errors"][0]["code"]) == (400, 5006)


async def test_other_tasks_have_no_options_in_the_query(served: Served) -> None:
    response = await served.run("classify", json={"text": "a"}, params={"text": "overridden"})
    assert response.json()["result"][0]["score"] == 0.5
