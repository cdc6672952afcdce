"""Audio over a real socket: it comes while it is being made, and its making stops when nobody listens."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.api.conftest import Served, close, until

pytestmark = pytest.mark.asyncio(loop_scope="session")


def drops(served: Served) -> list[str]:
    notes: Path = served.folder / "spelling.drops"
    return notes.read_text().splitlines() if notes.exists() else []


async def test_the_first_audio_comes_before_the_last_is_made(served: Served) -> None:
    reader, writer = await served.post("spell", b'{"text":"one two gate three"}')
    head = await reader.readuntil(b"\r\n\r\n")
    assert b"HTTP/1.1 200" in head
    assert b"content-type: audio/spelt" in head
    assert b"transfer-encoding: chunked" in head
    assert b"cf-ai-req-id" in head
    await reader.readuntil(b"[two]")
    (served.folder / "spelling").touch()
    await reader.readuntil(b"[three]")
    await reader.readuntil(b"0\r\n\r\n")
    (served.folder / "spelling").unlink()
    await close(writer)


async def test_a_listener_who_leaves_stops_the_making(served: Served) -> None:
    reader, writer = await served.post("spell", b'{"text":"one gate left"}')
    await reader.readuntil(b"[one]")
    await close(writer)
    await until(lambda: "left" in drops(served))
    assert served.model("spell").status()["running"] == 0


async def test_a_failure_before_the_first_audio_is_an_error_as_any_other(served: Served) -> None:
    response = await served.run("spell", json={"text": "refuse this"})
    assert (response.status_code, response.headers["content-type"]) == (400, "application/json")
    assert response.json()["errors"][0]["code"] == 5006


async def test_a_failure_later_cuts_the_body_short(served: Served) -> None:
    reader, writer = await served.post("spell", b'{"text":"one raise"}')
    received = await reader.read()
    assert b"[one]" in received
    assert not received.endswith(b"0\r\n\r\n")
    await close(writer)


async def test_the_audio_of_an_engine_that_makes_it_at_once_is_the_same_answer(served: Served) -> None:
    response = await served.run("speak-raw", json={"text": "all at once"})
    assert (response.status_code, response.headers["content-type"]) == (200, "audio/mpeg")
    assert response.content == b"all at once"
