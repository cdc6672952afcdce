"""Native streams: their frames, failures before and after the first, callers who leave or do not read."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from gateway.api.exchange import begin
from gateway.api.frames import NativeFrames, text_frame
from gateway.api.streams import EventStream
from gateway.errors import GatewayError, InferenceFailed, Overloaded
from gateway.tasks import Piece, Usage
from tests.api.conftest import Served, close, until

pytestmark = pytest.mark.asyncio(loop_scope="session")
USAGE = '"prompt_tokens_details":{"cached_tokens":0}'


def frames(text: str) -> list[str]:
    """The data of each event; every event is one line and a blank line."""
    events = text.split("\n\n")
    assert events.pop() == ""
    assert all(re.fullmatch(r"data: [^\n]+", event) for event in events)
    return [event.removeprefix("data: ") for event in events]


def notes(served: Served, name: str) -> str:
    path = served.folder / name
    return path.read_text() if path.exists() else ""


async def test_a_stream_is_text_frames_then_usage_then_done(served: Served) -> None:
    response = await served.run("count", json={"prompt": "n", "max_tokens": 3, "stream": True})
    *texts, usage, done = frames(response.text)
    assert "".join(json.loads(text)["response"] for text in texts) == "n1 n2 n3 "
    assert usage == f'{{"response":"","usage":{{"prompt_tokens":1,"completion_tokens":3,"total_tokens":4,{USAGE}}}}}'
    assert done == "[DONE]"
    assert dict(response.headers) == {
        "content-type": "text/event-stream",
        "cache-control": "no-cache",
        "x-accel-buffering": "no",
        "cf-ai-req-id": response.headers["cf-ai-req-id"],
        "server-timing": response.headers["server-timing"],
    }


async def test_frames_of_one_text_differ_in_size() -> None:
    found = [text_frame('a "quoted"\n\u2028').decode() for _ in range(200)]
    texts = {json.dumps(json.loads(frame.removeprefix("data: "))["response"]) for frame in found}
    paddings = [json.loads(frame.removeprefix("data: "))["p"] for frame in found]
    assert texts == {json.dumps('a "quoted"\n\u2028')}
    assert all(re.fullmatch(r"[a-z0-9]{5,64}", padding) for padding in paddings)
    assert len({len(padding) for padding in paddings}) > 20
    assert all(frame.count("\n") == 2 for frame in found)


@pytest.mark.parametrize(
    ("model", "body", "status", "code"),
    [
        ("count", {"prompt": "refuse"}, 400, 5006),
        ("chat", {"prompt": "a", "max_tokens": 600}, 413, 5021),
        ("chat", {"prompt": ""}, 400, 5006),
    ],
)
async def test_a_failure_before_the_first_piece_has_its_own_status(
    served: Served, model: str, body: dict[str, Any], status: int, code: int
) -> None:
    response = await served.run(model, json={**body, "stream": True})
    assert (response.status_code, response.json()["errors"][0]["code"]) == (status, code)
    assert response.headers["content-type"] == "application/json"


@pytest.mark.parametrize("prompt", ["raise", "die"])
async def test_a_failure_later_is_one_frame_and_no_done(served: Served, prompt: str) -> None:
    response = await served.run("fragile", json={"prompt": prompt, "max_tokens": 9, "stream": True})
    *texts, last = frames(response.text)
    error = json.loads(last)
    assert response.status_code == 200
    assert "".join(json.loads(text)["response"] for text in texts) == f"{prompt}1 {prompt}2 "
    assert list(error) == ["errors", "success", "result", "messages"]
    assert error["errors"][0]["code"] == 3043
    assert response.headers["cf-ai-req-id"] in error["errors"][0]["message"]


async def test_leaving_a_stream_frees_its_place(served: Served) -> None:
    endless = json.dumps({"prompt": "left", "max_tokens": 10**6, "stream": True}).encode()
    reader, writer = await served.post("count", endless)
    await reader.readuntil(b'"response":"left1 ')
    await close(writer)
    after = await served.run("count", json={"prompt": "after", "max_tokens": 2, "stream": True})
    assert frames(after.text)[-1] == "[DONE]"
    assert "drop left\n" in notes(served, "count")


async def test_leaving_a_stream_counts_its_tokens(served: Served) -> None:
    metrics, labels = served.app.state.gateway.metrics.registry, {"model": "@cf/test/say-oss", "kind": "completion"}

    def counted() -> float:
        return metrics.get_sample_value("gateway_tokens_total", labels) or 0.0

    before, steps = counted(), [{"text": "one"}, {"text": "two"}, {"wait": True}]
    body = json.dumps({"prompt": json.dumps(steps), "stream": True}).encode()
    reader, writer = await served.post("say-oss", body)
    told = b""
    while b"two" not in told:
        told += await reader.read(1 << 16)
    assert counted() == before
    await close(writer)
    await until(lambda: counted() > before)
    assert counted() == before + 2


async def test_leaving_before_the_first_piece_leaves_the_queue(served: Served) -> None:
    model = served.model("count")
    first = json.dumps({"prompt": "first", "max_tokens": 10**6, "stream": True}).encode()
    reader, first_writer = await served.post("count", first)
    await reader.readuntil(b'"response":"first1 ')
    _, second_writer = await served.post("count", first.replace(b"first", b"second"))
    await until(lambda: model.status()["waiting"] == 1)
    await close(second_writer)
    await until(lambda: model.status()["waiting"] == 0)
    await close(first_writer)
    await until(lambda: model.status()["running"] == 0)
    assert "admit second" not in notes(served, "count")


async def test_a_caller_who_leaves_while_waiting_is_never_answered(served: Served) -> None:
    model = served.model("gated")
    running = asyncio.create_task(served.run("gated", json={"text": "running"}))
    await until(lambda: model.status()["running"] == 1)
    _, writer = await served.post("gated", b'{"text":"left"}')
    await until(lambda: model.status()["waiting"] == 1)
    await close(writer)
    await until(lambda: model.status()["waiting"] == 0)
    (served.folder / "gate").touch()
    assert (await running).status_code == 200
    assert (await served.run("gated", json={"text": "later"})).status_code == 200
    assert (served.folder / "gate.batches").read_text() == "running\nlater\n"


async def test_a_slow_reader_holds_no_more_than_the_buffers(served: Served) -> None:
    endless = json.dumps({"prompt": "flood", "max_tokens": 10**6, "stream": True}).encode()
    reader, writer = await served.post("flood", endless)
    await reader.readuntil(b'"response":"flood1 ')
    (connection,) = served.server.server_state.connections
    await until(lambda: bool(connection.flow.write_paused))
    assert connection.transport.get_write_buffer_size() < 1 << 20
    await close(writer)
    await until(lambda: "drop flood" in notes(served, "flood"))


async def test_a_reader_who_takes_nothing_counts_as_gone() -> None:
    closed = asyncio.Event()
    sent: list[dict[str, Any]] = []

    async def pieces() -> AsyncGenerator[Piece, None]:
        try:
            yield Piece("a")
            yield Piece("b", finish_reason="stop", usage=Usage())
        finally:
            closed.set()

    async def send(message: Any) -> None:
        sent.append(message)
        if len(sent) == 2:
            await asyncio.Event().wait()

    await EventStream(pieces(), NativeFrames(), stall_s=0.01)(*_connection(), send)
    assert closed.is_set()
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]


@pytest.mark.parametrize(("raised", "code"), [(Overloaded(), 3040), (InferenceFailed(), 3043), (KeyError("x"), 3001)])
async def test_any_error_mid_stream_becomes_a_frame(raised: Exception, code: int) -> None:
    sent: list[dict[str, Any]] = []

    async def pieces() -> AsyncGenerator[Piece, None]:
        yield Piece("a")
        raise raised

    async def send(message: Any) -> None:
        sent.append(message)

    await EventStream(pieces(), NativeFrames(), stall_s=1)(*_connection(), send)
    events = frames(b"".join(message.get("body", b"") for message in sent).decode())
    assert json.loads(events[-1])["errors"][0]["code"] == code
    assert not sent[-1].get("more_body", False)


async def test_an_error_before_the_first_piece_is_raised() -> None:
    async def pieces() -> AsyncGenerator[Piece, None]:
        raise Overloaded
        yield Piece()

    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    with pytest.raises(GatewayError):
        await EventStream(pieces(), NativeFrames(), stall_s=1)(*_connection(), send)
    assert not sent


def _connection() -> tuple[dict[str, Any], Any]:
    """A scope whose exchange has begun, and the `receive` of a client who stays."""
    scope: dict[str, Any] = {"type": "http"}
    begin(scope)

    async def receive() -> dict[str, Any]:
        await asyncio.Event().wait()
        raise AssertionError

    return scope, receive
