"""The official client raises, for each failure, what it would raise against Cloudflare."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cloudflare
import httpx
import pytest
from cloudflare import Cloudflare

from tests.server import ACCOUNT, Server, gateway, write_models

ECHO = "{name: '@test/echo', task: text-classification, engine: fake}"
CHAT = "{name: '@test/chat', task: text-generation, engine: fake_chat}"
HEAR = "{name: '@test/hear', task: automatic-speech-recognition, shape: whisper-large-v3-turbo, engine: fake}"
DIES = "{name: '@test/dies', task: text-classification, engine: 'tests.fixtures.engines.dies:Engine'}"
HANGS = (
    "{name: '@test/hangs', task: text-classification, engine: 'tests.fixtures.engines.hangs:Engine', "
    "timeout_s: 1, run_limit_s: 0.5}"
)
ABSENT = "{name: '@test/absent', task: text-classification, engine: classifier, source: 'hf:org/absent@abc'}"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Models that fail in every way a caller may see."""
    home = tmp_path_factory.mktemp("home")
    models = write_models(home / "models.yaml", ECHO, CHAT, HEAR, DIES, HANGS, ABSENT)
    root = str(Path(__file__).parents[2])
    with gateway("--models", str(models), "--home", str(home), "--offline", env={"PYTHONPATH": root}) as server:
        yield server


@pytest.fixture
def client(server: Server) -> Iterator[Cloudflare]:
    with Cloudflare(api_token="any", base_url=server.base_url, max_retries=0) as client:
        yield client


@pytest.mark.parametrize(
    ("model", "input", "error", "code", "text"),
    [
        (
            "@cf/none/such",
            {"text": "x"},
            cloudflare.BadRequestError,
            5007,
            "AiError: No such model: No such model @cf/none/such or task",
        ),
        (
            "@test/chat",
            {"prompt": "x", "temperature": 9},
            cloudflare.BadRequestError,
            5006,
            "AiError: Bad input: Error: '/temperature' must be <= 5",
        ),
        (
            "@test/chat",
            {"extra_body": {}},
            cloudflare.BadRequestError,
            5006,
            "AiError: Bad input: Error: oneOf at '/' not met, 0 matches: ",
        ),
        (
            "@test/hear",
            {"audio": "!"},
            cloudflare.BadRequestError,
            5004,
            "AiError: Invalid data type for base64 input: string",
        ),
        (
            "@test/chat",
            {"prompt": "x", "max_tokens": 9000},
            cloudflare.APIStatusError,
            5021,
            "AiError: Bad input: The estimated number of input and maximum output tokens (9001) exceeded",
        ),
        ("@test/dies", {"text": "die"}, cloudflare.InternalServerError, 3043, "AiError: Internal server error: "),
        ("@test/hangs", {"text": "hang"}, cloudflare.APIStatusError, 3046, "AiError: Timeout: Request timeout"),
        (
            "@test/absent",
            {"text": "x"},
            cloudflare.InternalServerError,
            3050,
            "gateway models pull @test/absent",
        ),
    ],
)
def test_model_errors(
    client: Cloudflare, model: str, input: dict[str, Any], error: type[cloudflare.APIStatusError], code: int, text: str
) -> None:
    with pytest.raises(error) as found:
        client.ai.run(model, account_id=ACCOUNT, **input)
    (item,) = found.value.errors
    assert item.code == code
    assert text in str(item.message)
    body = found.value.response.json()
    assert list(body) == ["errors", "success", "result", "messages"]
    assert body["result"] == {}
    request_id = found.value.response.headers["cf-ai-req-id"]
    assert f"({request_id})" in str(item.message)
    assert "/" not in re.sub(r"'/[^']*'|@\S+", "", str(item.message)), "a path leaked"


def test_a_neighbour_is_unharmed_by_all_of_it(client: Cloudflare) -> None:
    answer = client.ai.run("@test/echo", account_id=ACCOUNT, text="still here")
    assert isinstance(answer, list)


def test_the_client_does_not_send_a_killing_input_again(server: Server) -> None:
    with Cloudflare(api_token="any", base_url=server.base_url, max_retries=2) as client:
        with pytest.raises(cloudflare.InternalServerError) as found:
            client.ai.run("@test/dies", account_id=ACCOUNT, text="die")
        assert found.value.response.request.headers["x-stainless-retry-count"] == "0"


@pytest.mark.parametrize(
    ("account", "status", "code"),
    [("short", 404, 7003), ("g" * 32, 404, 7003), ("023E105F4ECEF8AD9CA31A8372D0C353", 200, 0)],
)
def test_account_ids(server: Server, account: str, status: int, code: int) -> None:
    url = server.run_url("@test/echo").replace(ACCOUNT, account)
    answer = httpx.post(url, json={"text": "x"}, headers={"Authorization": "Bearer any"})
    assert answer.status_code == status
    assert not code or answer.json()["errors"][0]["code"] == code


def test_no_credential_at_all_is_9106(server: Server) -> None:
    answer = httpx.post(server.run_url("@test/echo"), json={"text": "x"})
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, 9106)
    assert answer.json()["result"] is None


def test_a_client_that_gives_up_is_forgotten(server: Server) -> None:
    asked = {"prompt": "word " * 4000, "max_tokens": 4000, "stream": True}
    with httpx.stream(
        "POST", server.run_url("@test/chat"), json=asked, headers={"Authorization": "Bearer any"}
    ) as left:
        assert "word" in next(left.iter_text())
    answer = httpx.post(server.run_url("@test/chat"), json={"prompt": "a b"}, headers={"Authorization": "Bearer any"})
    assert answer.json()["result"]["response"] == "a b"
