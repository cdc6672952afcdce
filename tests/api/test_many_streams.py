"""Many streams at once, some of whose callers leave: none is lost, none is mixed with another, every place is free."""

from __future__ import annotations

import asyncio
import json
import random

import pytest

from tests.api.conftest import ACCOUNT, Served, close, until
from tests.api.events import DONE, frames

pytestmark = pytest.mark.asyncio(loop_scope="session")
STREAMS, AT_ONCE = 200, 50


async def test_two_hundred_streams_of_which_some_are_left(served: Served) -> None:
    model, chance, slots = served.model("chat"), random.Random(7), asyncio.Semaphore(AT_ONCE)

    async def native(number: int, leaves: bool) -> str | None:
        words = [f"w{number}-{i}" for i in range(40)]
        body = json.dumps({"prompt": " ".join(words), "stream": True, "max_tokens": 64}).encode()
        async with slots:
            reader, writer = await served.post("chat", body)
            if leaves:
                await reader.readuntil(f"w{number}-0".encode())
                await close(writer)
                return None
            head = await reader.readuntil(b"\r\n\r\n")
            assert b" 200 " in head
            told = await reader.readuntil(b"[DONE]")
            await close(writer)
        return "".join(json.loads(part)["response"] for part in _data(told) if '"response"' in part)

    async def chat(number: int) -> str:
        prompt = " ".join(f"w{number}-{i}" for i in range(40))
        async with slots:
            body = {"model": "@cf/test/chat", "prompt": prompt, "stream": True}
            response = await served.http.post(f"/accounts/{ACCOUNT}/ai/v1/chat/completions", json=body)
        *chunks, done = frames(response.text)
        assert done == DONE
        return "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks)

    leaving = {number for number in range(STREAMS) if chance.random() < 0.3}
    asked = [chat(n) if n % 2 and n not in leaving else native(n, n in leaving) for n in range(STREAMS)]
    answers = await asyncio.gather(*asked)
    for number, answer in enumerate(answers):
        expected = " ".join(f"w{number}-{i}" for i in range(40))
        assert answer == (None if number in leaving else expected)
    await until(lambda: (model.status()["running"], model.status()["waiting"]) == (0, 0))
    assert (await served.run("chat", json={"prompt": "one two"})).json()["result"]["response"] == "one two"


def _data(told: bytes) -> list[str]:
    """The data of each event in a body sent in chunks."""
    lines = told.decode().splitlines()
    return [line.removeprefix("data: ") for line in lines if line.startswith("data: {")]
