"""Answers as a bench reads them: events of both families, whole bodies, media and refusals."""

from __future__ import annotations

import base64
from collections.abc import Sequence

import orjson
import pytest

from gateway.bench.reply import Fault, Reply
from gateway.tasks.amounts import Amounts
from gateway.tasks.media import picture, vowels
from tests.bench.outcomes import tokens

NATIVE = ({"response": "one"}, {"response": " two"}, {"response": "", "usage": tokens(5, 2) | {"neurons": 9.5}})
CHAT = (
    {"choices": [{"delta": {"role": "assistant", "content": ""}}], "usage": tokens(5, 0)},
    {"choices": [{"delta": {"content": None, "reasoning_content": "hm"}}], "usage": tokens(0, 1)},
    {"choices": [{"delta": {"content": "two"}}], "usage": tokens(0, 1)},
    {"choices": [], "usage": tokens(5, 2)},
    {"response": "", "usage": tokens(5, 2) | {"neurons": 9.5}},
)
TEXT = ({"choices": [{"text": "one"}]}, {"choices": [{"text": " two"}]}, {"choices": [], "usage": tokens(5, 2)})


def read(events: Sequence[object]) -> tuple[Reply, bool]:
    """The reply to a stream whose events come a second apart, and whether it was whole."""
    reply, is_whole = Reply(), False
    for second, event in enumerate(events, 1):
        is_whole = reply.take_event(event if isinstance(event, bytes) else orjson.dumps(event), float(second))
    return reply, is_whole


@pytest.mark.parametrize(("events", "first_s", "last_s"), [(NATIVE, 1, 2), (CHAT, 2, 3), (TEXT, 1, 2)])
def test_a_stream_of_any_family(events: Sequence[object], first_s: float, last_s: float) -> None:
    reply, is_whole = read([*events, b"[DONE]"])
    assert is_whole
    assert (reply.first_s, reply.last_s, reply.output_tokens) == (first_s, last_s, 2)
    assert reply.amounts(Amounts()) == Amounts(input_tokens=5, output_tokens=2)
    assert reply.fault is None


def test_a_stream_without_counts_has_as_many_tokens_as_pieces() -> None:
    reply, _ = read([{"response": "a"}, {"response": "b"}, {"response": "c"}, b"[DONE]"])
    assert reply.output_tokens == 3


def test_a_stream_that_breaks_says_why() -> None:
    reply, is_whole = read([NATIVE[0], {"errors": [{"code": 3043, "message": "lost"}], "success": False}])
    assert (reply.fault, is_whole) == (Fault("3043", "lost"), False)


def test_neurons_and_counts_of_a_whole_answer() -> None:
    reply = Reply()
    reply.take_body(orjson.dumps({"result": {"usage": tokens(7, 0, cached=3) | {"neurons": 1.5}}}), "application/json")
    assert (reply.neurons, reply.output_tokens) == (1.5, None)
    assert reply.amounts(Amounts(images=1)) == Amounts(input_tokens=7, cached_tokens=3, output_tokens=0, images=1)


def test_media_in_json_or_raw_are_measured() -> None:
    sound, drawn = vowels(0.5), picture(64, 48)
    for reply, body, media_type in (
        (Reply(), sound, "audio/wav"),
        (Reply(), orjson.dumps({"result": {"audio": base64.b64encode(sound).decode()}}), "application/json"),
    ):
        reply.take_body(body, media_type)
        assert (reply.audio_s, reply.picture) == (0.5, None)
    for reply, body, media_type in (
        (Reply(), drawn, "image/png"),
        (Reply(), orjson.dumps({"result": {"image": base64.b64encode(drawn).decode()}}), "application/json"),
    ):
        reply.take_body(body, media_type)
        assert reply.amounts(Amounts(images=1)) == Amounts(images=1, picture=(64, 48))


@pytest.mark.parametrize(
    ("status", "body", "fault", "is_busy"),
    [
        (429, b'{"errors": [{"code": 3040, "message": "Capacity"}]}', Fault("3040", "Capacity"), True),
        (429, b'{"errors": [{"code": 3021, "message": "rate"}]}', Fault("3021", "rate"), True),
        (429, b'{"errors": [{"code": 4006, "message": "used up"}]}', Fault("4006", "used up"), False),
        (400, b'{"errors": [{"code": 5006, "message": "bad"}]}', Fault("5006", "bad"), False),
        (502, b"<html>Bad Gateway", Fault("HTTP 502", "<html>Bad Gateway"), False),
        (500, b"[]", Fault("HTTP 500", "[]"), False),
    ],
)
def test_a_refusal_is_told_by_its_code(status: int, body: bytes, fault: Fault, is_busy: bool) -> None:
    reply = Reply(status=status)
    reply.refuse(body)
    assert (reply.fault, reply.is_busy) == (fault, is_busy)
