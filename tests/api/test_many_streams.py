"""Two hundred streams at once, of which many are left at a random point: none is lost, none gets another's words."""

from __future__ import annotations

import asyncio
import json
import random

import pytest

from tests.api.conftest import Served, close, until

pytestmark = pytest.mark.asyncio(loop_scope="session")
STREAMS, SEED = 200, 20261122


def prompt_of(stream: int, words: int) -> str:
    """Words that no other stream has."""
    return " ".join(f"s{stream}w{word}" for word in range(words))


async def follow(served: Served, stream: int, leaves_after: int | None) -> str:
    """The text of one stream, up to the event after which its caller leaves."""
    prompt = prompt_of(stream, 40)
    body = json.dumps({"prompt": prompt, "max_tokens": 60, "stream": True}).encode()
    reader, writer = await served.post("chat", body)
    text, events, ended = "", 0, False
    try:
        while not ended and events != leaves_after:
            line = (await reader.readline()).decode()
            assert line, "the connection ended before the stream did"
            if not line.startswith("data: "):
                continue
            events += 1
            ended = line.strip() == "data: [DONE]"
            text += "" if ended else json.loads(line.removeprefix("data: "))["response"]
    finally:
        await close(writer)
    assert (text.strip() == prompt) if ended else prompt.startswith(text.strip())
    return text


async def test_interleaved_streams_with_random_leavers(served: Served) -> None:
    chance = random.Random(SEED)
    leavers = {stream: chance.randrange(1, 40) for stream in range(STREAMS) if chance.random() < 0.5}
    texts = await asyncio.gather(*(follow(served, stream, leavers.get(stream)) for stream in range(STREAMS)))
    stayed = [text.strip() for stream, text in enumerate(texts) if stream not in leavers]
    assert stayed == [prompt_of(stream, 40) for stream in range(STREAMS) if stream not in leavers]
    model = served.model("chat")
    await until(lambda: model.status()["running"] == 0 and model.status()["waiting"] == 0)
    response = await served.run("chat", json={"prompt": "after all of them"})
    assert response.json()["result"]["response"].strip() == "after all of them"
