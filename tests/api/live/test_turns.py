"""Turn detection over a real socket: one answer for each message."""

from __future__ import annotations

import json

import numpy as np
import pytest

from gateway.engines.audio import decode
from gateway.tasks.media import vowels
from tests.api.live.conftest import Live, rest

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_each_message_gets_its_answer_and_bad_audio_an_error(live: Live) -> None:
    speech = decode(vowels(1.0))
    done = np.concatenate([speech, np.zeros(16_000, np.float32)])
    async with live.connect("turn", dtype="float32") as client:
        await client.send(speech.tobytes())
        await client.send(b"\0")
        await client.send(done.tobytes())
        going_on, error, over = [json.loads(await client.recv()) for _ in range(3)]
        await client.send('{"type":"CloseStream"}')
        assert await rest(client) == []
    assert (going_on["is_complete"], over["is_complete"]) == (False, True)
    assert set(over) == {"is_complete", "probability"}
    assert (error["type"], error["code"]) == ("Error", 5006)
