"""Flux over a real socket: turns begin, may end, go on after all, and end."""

from __future__ import annotations

import json
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosedError

from tests.api.live.conftest import PCM, Live, rest, sound

pytestmark = pytest.mark.asyncio(loop_scope="session")
CLOSE = '{"type":"CloseStream"}'


async def events(live: Live, *parts: bytes, **query: Any) -> list[Any]:
    """All events of a session; each part is sent when the one before has been heard."""
    async with live.connect("flux", **PCM, **query) as client:
        sent_s, found = 0.0, []
        for part in parts:
            await client.send(part)
            sent_s += len(part) / 16_000
            while True:
                message = json.loads(await client.recv())
                found.append(message)
                if message.get("audio_window_end") == pytest.approx(sent_s, abs=0.01):
                    break
        await client.send(CLOSE)
        return found + await rest(client)


def course(found: list[Any]) -> list[tuple[str, str]]:
    """Event and transcript of each message, without updates."""
    return [(m["event"], m["transcript"]) for m in found if m.get("event", "Update") != "Update"]


async def test_a_turn_begins_and_ends(live: Live) -> None:
    found = await events(live, sound(0, 1, 2), sound(0, 0))
    assert course(found) == [("StartOfTurn", "Word1. Word2."), ("EndOfTurn", "Word1. Word2.")]


async def test_every_message_has_the_fields_of_the_contract(live: Live) -> None:
    greeting, *found = await events(live, sound(0, 1, 2), sound(0, 0))
    assert greeting["type"] == "Connected"
    assert [message["sequence_id"] for message in (greeting, *found)] == list(range(len(found) + 1))
    end = next(message for message in found if message["event"] == "EndOfTurn")
    assert end == {
        "type": "TurnInfo",
        "request_id": greeting["request_id"],
        "sequence_id": end["sequence_id"],
        "event": "EndOfTurn",
        "turn_index": 0,
        "audio_window_start": 0.0,
        "audio_window_end": 2.5,
        "transcript": "Word1. Word2.",
        "words": [{"word": "Word1.", "confidence": 0.5}, {"word": "Word2.", "confidence": 0.5}],
        "end_of_turn_confidence": 1.0,
    }


async def test_a_turn_may_end_eagerly_and_be_resumed(live: Live) -> None:
    parts = (sound(1), sound(0), sound(2), sound(0, 0))
    found = await events(live, *parts, eager_eot_threshold=0.4, eot_threshold=0.9)
    assert course(found) == [
        ("StartOfTurn", "Word1."),
        ("EagerEndOfTurn", "Word1."),
        ("TurnResumed", "Word1. Word2."),
        ("EndOfTurn", "Word1. Word2."),
    ]


async def test_an_eager_end_keeps_its_words_to_the_end(live: Live) -> None:
    found = await events(live, sound(1), sound(0), sound(0), eager_eot_threshold=0.3, eot_threshold=0.9)
    assert course(found) == [("StartOfTurn", "Word1."), ("EagerEndOfTurn", "Word1."), ("EndOfTurn", "Word1.")]


async def test_turns_that_come_at_once_are_told_apart(live: Live) -> None:
    found = await events(live, sound(1, 2, 0, 0, 3, 0, 0, 4))
    assert [text for event, text in course(found) if event == "EndOfTurn"] == ["Word1. Word2.", "Word3.", "Word4."]
    assert [m["turn_index"] for m in found if m.get("event") == "EndOfTurn"] == [0, 1, 2]


async def test_silence_has_no_turn(live: Live) -> None:
    found = await events(live, sound(*[0] * 30))
    assert course(found) == []
    assert {m["transcript"] for m in found[1:]} == {""}


async def test_the_timeout_ends_a_turn_sooner(live: Live) -> None:
    parts = (sound(1), sound(0), sound(0))
    patient = await events(live, *parts, eot_threshold=0.9)
    hasty = await events(live, *parts, eot_threshold=0.9, eot_timeout_ms=500)
    ends = [next(m["audio_window_end"] for m in found if m.get("event") == "EndOfTurn") for found in (patient, hasty)]
    assert ends == [1.5, 1.0]


async def test_a_turn_can_be_ended_by_the_caller(live: Live) -> None:
    async with live.connect("flux", **PCM) as client:
        await client.send(sound(1))
        await client.send('{"type":"ForceEndTurn"}')
        found = []
        async for message in client:
            found.append(message)
            if '"EndOfTurn"' in str(message):
                break
    assert "Word1." in str(found[-1])


async def test_a_long_turn_loses_no_word(live: Live) -> None:
    words = list(range(1, 101))
    found = await events(live, *(sound(*words[start : start + 10]) for start in range(0, 100, 10)), sound(0, 0))
    (end,) = (m for m in found if m.get("event") == "EndOfTurn")
    assert end["transcript"] == " ".join(f"Word{n}." for n in words)


async def test_frames_may_cut_samples_apart(live: Live) -> None:
    data = sound(258, 0, 0)
    async with live.connect("flux", **PCM) as client:
        for start in range(0, len(data), 1001):
            await client.send(data[start : start + 1001])
        await client.send(CLOSE)
        found = await rest(client)
    assert course(found)[-1] == ("EndOfTurn", "Word258.")


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("no json", "must be JSON"),
        ("[]", "an object with a type"),
        ('{"type":"Dance"}', "unknown message type Dance"),
    ],
)
async def test_what_is_not_understood_closes_with_a_reason(live: Live, message: str, reason: str) -> None:
    async with live.connect("flux", **PCM) as client:
        await client.send(message)
        with pytest.raises(ConnectionClosedError) as closed:
            await rest(client)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1008
    assert reason in closed.value.rcvd.reason


async def test_a_frame_beyond_the_bound_closes(live: Live) -> None:
    async with live.connect("flux", **PCM) as client:
        await client.send(bytes((1 << 20) + 1))
        with pytest.raises(ConnectionClosedError) as closed:
            await rest(client)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1009
