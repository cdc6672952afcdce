"""Live recognition with a real model over a real socket: spoken sentences come back as turns."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import numpy as np
import pytest
import websockets
from cloudflare import Cloudflare

from gateway.engines.audio import decode
from tests.server import ACCOUNT, Server

SENTENCES = (
    "Please remember to bring your umbrella because it might rain this afternoon.",
    "The old library on the corner has been closed since March.",
)
RATE_HZ = 16_000


@pytest.fixture(scope="module")
def talk(starters: Server) -> bytes:
    """The sentences as samples, with a second of silence after each."""
    with Cloudflare(api_token="any", base_url=starters.base_url, max_retries=0) as client:
        parts = []
        for sentence in SENTENCES:
            answer: Any = client.ai.run("@local/espeak-ng", account_id=ACCOUNT, prompt=sentence)
            parts += [decode(base64.b64decode(answer["audio"]), RATE_HZ), np.zeros(RATE_HZ * 6 // 5, np.float32)]
    return (np.concatenate(parts) * 32767).astype("<i2").tobytes()


async def converse(server: Server, model: str, sound: bytes, **query: str) -> list[Any]:
    """All messages of a session in which `sound` comes in frames of a tenth of a second."""
    url = server.run_url(model).replace("http://", "ws://")
    pairs = {"encoding": "linear16", "sample_rate": str(RATE_HZ), **query}
    address = f"{url}?" + "&".join(f"{key}={value}" for key, value in pairs.items())
    headers = {"authorization": "Bearer any"}
    async with websockets.connect(address, additional_headers=headers, proxy=None) as client:

        async def say() -> None:
            for start in range(0, len(sound), RATE_HZ // 5):
                await client.send(sound[start : start + RATE_HZ // 5])
            await client.send('{"type":"CloseStream"}')

        speaking = asyncio.create_task(say())
        found = [json.loads(message) async for message in client]
        await speaking
    return found


async def spoken(server: Server, **query: str) -> bytes:
    """The audio of a sentence that is said over a WebSocket."""
    url = server.run_url("@local/espeak-ng-aura").replace("http://", "ws://")
    address = f"{url}?" + "&".join(f"{key}={value}" for key, value in query.items())
    headers = {"authorization": "Bearer any"}
    async with websockets.connect(address, additional_headers=headers, proxy=None) as client:
        await client.send(json.dumps({"type": "Speak", "text": SENTENCES[0]}))
        await client.send('{"type":"Close"}')
        return b"".join([message async for message in client if isinstance(message, bytes)])


def heard(text: str) -> set[str]:
    return {word.strip(".,").lower() for word in text.split()}


async def test_flux_hears_two_turns(starters: Server, talk: bytes) -> None:
    found = await converse(starters, "@local/whisper-tiny-en-flux", talk, eager_eot_threshold="0.4")
    ends = [message["transcript"] for message in found if message.get("event") == "EndOfTurn"]
    assert len(ends) == 2
    assert {"remember", "umbrella", "afternoon"} <= heard(ends[0])
    assert {"corner", "closed", "march"} <= heard(ends[1])
    assert [m["event"] for m in found[1:] if m["event"] == "StartOfTurn"] == ["StartOfTurn"] * 2


@pytest.mark.parametrize(
    ("query", "asked"),
    [
        ({}, {"encoding": "linear16", "container": "none"}),
        (
            {"encoding": "linear16", "sample_rate": "16000"},
            {"encoding": "linear16", "container": "none", "sample_rate": 16_000},
        ),
        ({"encoding": "mulaw"}, {"encoding": "mulaw", "container": "none"}),
        ({"encoding": "mp3", "bit_rate": "32000"}, {"encoding": "mp3", "bit_rate": 32_000}),
        ({"encoding": "opus"}, {"encoding": "opus"}),
        ({"encoding": "alaw", "container": "wav"}, {"encoding": "alaw", "container": "wav"}),
    ],
)
async def test_aura_speaks_in_the_form_that_the_query_asks_for(
    starters: Server, query: dict[str, str], asked: dict[str, Any]
) -> None:
    live = await spoken(starters, **query)
    with Cloudflare(api_token="any", base_url=starters.base_url, max_retries=0) as client:
        body = {"text": SENTENCES[0], **asked}
        answer = client.ai.with_raw_response.run("@local/espeak-ng-aura", account_id=ACCOUNT, extra_body=body)
    whole = answer.read()
    # The voice trembles a little each time: no two sayings are alike to the sample.
    assert (live[:4], len(live)) == (whole[:4], pytest.approx(len(whole), rel=0.02))


async def test_nova_tells_both_sentences(starters: Server, talk: bytes) -> None:
    query = {"punctuate": "true", "interim_results": "true", "endpointing": "500"}
    found = await converse(starters, "@local/whisper-tiny-en-nova", talk, **query)
    results = [message for message in found if message["type"] == "Results"]
    final = " ".join(m["channel"]["alternatives"][0]["transcript"] for m in results if m["is_final"])
    assert {"umbrella", "afternoon", "corner", "march"} <= heard(final)
    words = [w for m in results if m["is_final"] for w in m["channel"]["alternatives"][0]["words"]]
    times = [moment for word in words for moment in (word["start"], word["end"])]
    assert times == sorted(times)
    assert times[-1] <= len(talk) / 2 / RATE_HZ
