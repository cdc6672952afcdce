"""Nova over a real socket: interim and final results, in the messages of Deepgram's first protocol."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.api.live.nova import endpointing_s, utterance_end_s
from gateway.errors import BadInput
from tests.api.live.conftest import PCM, Live, rest, sound

pytestmark = pytest.mark.asyncio(loop_scope="session")
CLOSE = '{"type":"CloseStream"}'


async def talk(live: Live, *messages: bytes | str, **query: Any) -> list[Any]:
    """All messages of a session that says these."""
    async with live.connect("nova", **PCM, **query) as client:
        for message in messages:
            await client.send(message)
        await client.send(CLOSE)
        return await rest(client)


def results(found: list[Any]) -> list[Any]:
    return [message for message in found if message["type"] == "Results"]


def text(message: Any) -> str:
    transcript: str = message["channel"]["alternatives"][0]["transcript"]
    return transcript


async def test_each_stretch_of_speech_is_told_once(live: Live) -> None:
    *found, last = await talk(live, sound(1, 2, 0, 3, 0))
    assert [(text(m), m["is_final"], m["speech_final"]) for m in found] == [
        ("word1 word2", True, True),
        ("word3", True, True),
    ]
    assert {key: last[key] for key in ("type", "duration", "channels")} == {
        "type": "Metadata",
        "duration": 2.5,
        "channels": 1,
    }


async def test_a_result_has_the_fields_of_the_protocol(live: Live) -> None:
    found, last = await talk(live, sound(0, 7, 0), punctuate="true")
    assert found == {
        "type": "Results",
        "channel_index": [0, 1],
        "start": 0.0,
        "duration": 1.5,
        "is_final": True,
        "speech_final": True,
        "channel": {
            "alternatives": [
                {
                    "transcript": "Word7.",
                    "confidence": 0.5,
                    "words": [
                        {"word": "word7", "start": 0.5, "end": 1.0, "confidence": 0.5, "punctuated_word": "Word7."}
                    ],
                }
            ]
        },
        "metadata": {"request_id": last["request_id"], "model_info": {"name": "@cf/test/nova"}},
        "from_finalize": False,
    }


async def test_interim_results_come_before_the_final_one(live: Live) -> None:
    async with live.connect("nova", **PCM, interim_results="true") as client:
        await client.send(sound(1))
        first = json.loads(await client.recv())
        await client.send(sound(2))
        second = json.loads(await client.recv())
        await client.send(sound(0))
        third = json.loads(await client.recv())
    assert [(text(m), m["is_final"]) for m in (first, second, third)] == [
        ("word1", False),
        ("word1 word2", False),
        ("word1 word2", True),
    ]


async def test_finalize_tells_what_there_is(live: Live) -> None:
    async with live.connect("nova", **PCM, endpointing="false") as client:
        await client.send(sound(1))
        await client.send('{"type":"Finalize"}')
        found = json.loads(await client.recv())
        await client.send('{"type":"KeepAlive"}')
        await client.send(sound(2))
        await client.send(CLOSE)
        rest_of_it = await rest(client)
    assert (text(found), found["from_finalize"], found["speech_final"]) == ("word1", True, False)
    assert [text(message) for message in results(rest_of_it)] == ["word2"]


async def test_without_endpointing_pauses_do_not_end_speech(live: Live) -> None:
    found = results(await talk(live, sound(1, 0, 0, 2), endpointing="false"))
    assert [(text(m), m["speech_final"]) for m in found] == [("word1 word2", False)]


async def test_long_speech_is_settled_part_by_part(live: Live) -> None:
    words = list(range(1, 121))
    found = results(await talk(live, *(sound(*words[start : start + 20]) for start in range(0, 120, 20))))
    assert len(found) > 1
    assert " ".join(text(message) for message in found) == " ".join(f"word{n}" for n in words)
    times = [word["start"] for m in found for word in m["channel"]["alternatives"][0]["words"]]
    assert times == sorted(times)
    assert all(m["start"] <= m["start"] + m["duration"] for m in found)


async def test_events_of_speech_are_told_if_asked_for(live: Live) -> None:
    query = {"vad_events": "true", "utterance_end_ms": "1000"}
    found = await talk(live, sound(0, 1), sound(0, 0, 0), **query)
    started = next(m for m in found if m["type"] == "SpeechStarted")
    ended = next(m for m in found if m["type"] == "UtteranceEnd")
    assert started == {"type": "SpeechStarted", "channel": [0, 1], "timestamp": 0.5}
    assert ended == {"type": "UtteranceEnd", "channel": [0, 1], "last_word_end": 1.0}
    assert not [m for m in await talk(live, sound(0, 1, 0, 0, 0)) if m["type"] not in ("Results", "Metadata")]


async def test_channels_are_counted_in_the_sound(live: Live) -> None:
    found = await talk(live, sound(1, 0), channels="2")
    assert found[-1]["duration"] == 0.5


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(None, 0.3), ("true", 0.3), ("false", None), (False, None), ("10", 0.1), ("500", 0.5), (60_000, 60.0)],
)
async def test_endpointing_is_read(value: Any, seconds: float | None) -> None:
    assert endpointing_s(value) == seconds


@pytest.mark.parametrize("value", ["x", "-1", "60001", "1.5", "²"])
async def test_bad_endpointing_is_refused(value: str) -> None:
    with pytest.raises(BadInput, match="'/endpointing' must be false or from 0 to 60000 milliseconds"):
        endpointing_s(value)


@pytest.mark.parametrize(("value", "seconds"), [(None, None), (False, None), (True, 1.0), (1500, 1.5)])
async def test_the_end_of_an_utterance_is_read(value: Any, seconds: float | None) -> None:
    assert utterance_end_s(value) == seconds
