"""A transducer over HTTP: the same words alone and among others; over a socket, in turns."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
import websockets
from cloudflare import Cloudflare

from gateway.tasks.media import vowels
from tests.engines import tiny_transducer
from tests.server import ACCOUNT, Server, gateway, write_models

MODEL, FLUX = "@cf/nvidia/nemotron-speech-streaming-en-0.6b", "@test/flux"
CLIPS = [vowels(seconds) for seconds in (0.5, 0.8, 1.1, 1.4)]
WAV_HEADER_BYTES = 44


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("home")
    files = tiny_transducer.write(home / "nemotron")
    fields = "task: automatic-speech-recognition, engine: transducer, device: cpu, dtype: float32, threads: 1"
    fields += f", source: 'file:{files}', max_batch_tokens: 4000000"
    rows = [
        f"{{name: '{MODEL}', shape: nemotron-speech, {fields}}}",
        f"{{name: '{FLUX}', shape: flux, {fields}}}",
    ]
    with gateway("--models", str(write_models(home / "models.yaml", *rows)), "--home", str(home)) as server:
        yield server


def heard(server: Server, clip: bytes) -> dict[str, Any]:
    with Cloudflare(api_token="any", base_url=server.base_url, max_retries=0, timeout=120) as client:
        body = {"audio": base64.b64encode(clip).decode(), "encoding": "wav"}
        answer: Any = client.ai.run(MODEL, account_id=ACCOUNT, extra_body=body)
    return dict(answer)


def test_neighbours_and_the_form_of_the_request_change_nothing(server: Server) -> None:
    alone = [heard(server, clip) for clip in CLIPS]
    assert [answer["duration"] for answer in alone] == [0.5, 0.8, 1.1, 1.4]
    assert all(answer["text"] for answer in alone)
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda clip: heard(server, clip), CLIPS * 2)) == alone * 2
    headers = {"Authorization": "Bearer any", "Content-Type": "audio/wav"}
    bare = httpx.post(server.run_url(MODEL), content=CLIPS[3], headers=headers, timeout=120).json()
    assert bare["result"] == alone[3]


async def test_a_live_session_hears_a_turn(server: Server) -> None:
    url = server.run_url(FLUX).replace("http://", "ws://") + "?encoding=linear16&sample_rate=16000"
    headers = {"Authorization": "Bearer any"}
    async with websockets.connect(url, additional_headers=headers, proxy=None) as socket:
        await socket.send(vowels(2.0)[WAV_HEADER_BYTES:])
        await socket.send('{"type":"CloseStream"}')
        events = [json.loads(message) async for message in socket]
    assert [event["event"] for event in events if "event" in event][-1] == "EndOfTurn"
    assert events[-1]["transcript"]
