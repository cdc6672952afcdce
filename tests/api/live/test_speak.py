"""Aura over a real socket: text in, audio out, in the order of the flushes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from websockets.exceptions import ConnectionClosedError

from gateway.api.live.speak import MAX_FLUSHES
from gateway.app import create_app
from gateway.config import Settings
from tests.api.conftest import FIXTURES, row, until
from tests.api.live.conftest import Live, rest, serving

pytestmark = pytest.mark.asyncio(loop_scope="session")


def speak(text: str) -> str:
    return orjson.dumps({"type": "Speak", "text": text}).decode()


def told(found: list[Any]) -> list[Any]:
    """Audio as it is, the rest by its type."""
    return [message if isinstance(message, bytes) else message["type"] for message in found]


async def test_text_is_said_at_each_flush_and_at_the_close(live: Live) -> None:
    async with live.connect("spell") as client:
        for message in (speak("one "), speak("two"), '{"type":"Flush"}', speak("three"), '{"type":"Close"}'):
            await client.send(message)
        found = await rest(client)
    assert told(found) == ["Metadata", b"[one]", b"[two]", "Flushed", b"[three]", "Flushed"]
    assert [found[at]["sequence_id"] for at in (3, 5)] == [0, 1]


@pytest.mark.parametrize(
    ("query", "spelt"),
    [
        ({}, b"[linear16-none-None]"),
        ({"sample_rate": 16_000}, b"[linear16-none-16000]"),
        ({"encoding": "linear16", "sample_rate": 8_000}, b"[linear16-none-8000]"),
        ({"encoding": "mulaw"}, b"[mulaw-none-None]"),
        ({"encoding": "linear16", "container": "wav"}, b"[linear16-wav-None]"),
        ({"encoding": "mp3"}, b"[mp3-none-None]"),
    ],
)
async def test_the_query_says_how_the_sound_comes_and_samples_come_without_a_header(
    live: Live, query: dict[str, Any], spelt: bytes
) -> None:
    async with live.connect("spell", **query) as client:
        for message in (speak("format"), '{"type":"Close"}'):
            await client.send(message)
        assert told(await rest(client)) == ["Metadata", spelt, "Flushed"]


async def test_clear_stops_what_is_being_said(live: Live) -> None:
    async with live.connect("spell") as client:
        await client.send(speak("one gate cleared"))
        await client.send('{"type":"Flush"}')
        while await client.recv() != b"[one]":
            pass
        await client.send('{"type":"Clear"}')
        await client.send(speak("two"))
        await client.send('{"type":"Close"}')
        assert told(await rest(client)) == ["Cleared", b"[two]", "Flushed"]
    drops = live.folder / "gate.drops"
    await until(lambda: drops.exists() and "cleared" in drops.read_text())


async def test_a_text_that_cannot_be_said_is_told_and_spares_the_session(live: Live) -> None:
    async with live.connect("spell") as client:
        for message in (speak("refuse"), '{"type":"Flush"}', speak("two"), '{"type":"Close"}'):
            await client.send(message)
        found = await rest(client)
    assert told(found) == ["Metadata", "Error", "Flushed", b"[two]", "Flushed"]
    assert found[1]["code"] == 5006


async def test_a_text_over_the_callers_bound_is_told_and_spares_the_session(tmp_path: Path) -> None:
    spell = row(
        "spell", "text-to-speech", f"{FIXTURES}.spells:Engine", shape="aura", options={"gate": str(tmp_path / "gate")}
    )
    app = create_app(Settings(home=tmp_path, grace_s=0.0, max_cost=("characters=3",)), [spell])
    async with serving(app) as live, live.connect("spell") as client:
        for message in (speak("four"), '{"type":"Flush"}', speak("two"), '{"type":"Close"}'):
            await client.send(message)
        found = await rest(client)
    assert told(found) == ["Metadata", "Error", "Flushed", b"[two]", "Flushed"]
    assert found[1]["code"] == 3006


@pytest.mark.parametrize(
    ("message", "code"),
    [(b"sound", 1008), ('{"type":"Speak"}', 1008), ('{"type":"Sing"}', 1008), (speak("x" * 10_001), 1009)],
)
async def test_what_is_not_understood_closes(live: Live, message: bytes | str, code: int) -> None:
    async with live.connect("spell") as client:
        await client.send(message)
        with pytest.raises(ConnectionClosedError) as closed:
            await rest(client)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == code


async def test_flushes_that_wait_are_bounded(live: Live) -> None:
    async with live.connect("spell") as client:
        await client.send(speak("gate"))
        for _ in range(MAX_FLUSHES + 1):
            await client.send('{"type":"Flush"}')
        with pytest.raises(ConnectionClosedError) as closed:
            await rest(client)
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1008, "more than 64 flushes are waiting")
