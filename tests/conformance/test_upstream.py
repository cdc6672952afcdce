"""A gateway whose chat model is llama.cpp's server, asked by the official client, and killed."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from cloudflare import Cloudflare

from tests.engines.conftest import starter_files
from tests.server import ACCOUNT, Server, gateway, write_models

SERVERS = Path(__file__).parents[1] / "fixtures" / "servers"
MODEL = "@local/llama"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    gguf = starter_files("@local/smollm2-135m-instruct")
    command = [sys.executable, str(SERVERS / "llama.py"), "{files}", "{port}", "2"]
    options = {"command": command, "environment": {"LLAMA_API_KEY": "{key}"}}
    row = {"name": MODEL, "task": "text-generation", "engine": "auto", "source": f"file:{gguf}", "options": options}
    models = write_models(tmp_path_factory.mktemp("upstream") / "models.yaml", json.dumps(row))
    with gateway("--models", str(models), "--offline") as running:
        yield running


@pytest.fixture
def client(server: Server) -> Iterator[Cloudflare]:
    with Cloudflare(api_token="any", base_url=server.base_url, max_retries=0) as client:
        yield client


def run(client: Cloudflare, **body: Any) -> Any:
    return client.ai.run(MODEL, account_id=ACCOUNT, **body)


def test_an_answer_counts_its_tokens(client: Cloudflare) -> None:
    result = run(client, messages=[{"role": "user", "content": "Hi"}], max_tokens=4, temperature=0)
    assert result["response"]
    assert result["usage"]["completion_tokens"] == 4


def test_ready_says_what_answers(client: Cloudflare, server: Server) -> None:
    run(client, prompt="Hi", max_tokens=1)
    root = server.base_url.removesuffix("/client/v4")
    headers = {"authorization": "Bearer any"}
    (model,) = httpx.get(f"{root}/ready", headers=headers).json()["models"]
    assert model["engine"] == "llm"
    assert set(model["sandbox"].values()) == {"allowed: the row starts a program"}
    assert re.fullmatch(r"upstream llama.cpp at 127\.0\.0\.1:\d+ \(\S+\.gguf, window 1024\)", model["served_by"])
    assert any("model loaded" in line and "upstream llama.cpp at" in line for line in server.log)


def test_a_stream_ends_as_the_service_ends_it(client: Cloudflare) -> None:
    with client.ai.with_streaming_response.run(
        MODEL, account_id=ACCOUNT, prompt="Hi", max_tokens=3, stream=True
    ) as response:
        lines = [line for line in response.iter_lines() if line]
    assert lines[-1] == "data: [DONE]"
    assert json.loads(lines[-2].removeprefix("data: "))["usage"]["completion_tokens"] == 3


def test_json_mode_gives_an_object(client: Cloudflare) -> None:
    schema = {"type": "object", "properties": {"yes": {"type": "boolean"}}, "required": ["yes"]}
    schema["additionalProperties"] = False
    result = run(client, prompt="Is it?", response_format={"type": "json_schema", "json_schema": schema})
    assert set(result["response"]) == {"yes"}


def test_a_forced_tool_is_called(client: Cloudflare) -> None:
    parameters = {"type": "object", "properties": {"n": {"enum": [1, 2]}}, "required": ["n"]}
    tool = {"name": "count", "description": "Count", "parameters": {**parameters, "additionalProperties": False}}
    messages = [{"role": "user", "content": "Hi"}]
    result = run(client, messages=messages, tools=[tool], extra_body={"tool_choice": "required"})
    assert result["response"] is None
    (call,) = result["tool_calls"]
    assert (call["name"], call["arguments"]["n"] in (1, 2)) == ("count", True)


def test_the_server_does_not_outlive_a_killed_gateway(client: Cloudflare, server: Server) -> None:
    run(client, prompt="Hi", max_tokens=1)
    (pid,) = {int(found[1]) for line in server.log if (found := re.search(r"process (\d+) serves", line))}
    descriptor = os.pidfd_open(pid)
    server.process.send_signal(signal.SIGKILL)
    assert select.select([descriptor], [], [], 60)[0], "the server is left"
    os.close(descriptor)
