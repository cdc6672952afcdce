"""Bodies: bounds that hold before anything is buffered, and JSON that tries to hurt."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.datastructures import Headers

from gateway.api.bodies import is_json, read_body
from gateway.api.documents import MAX_DECODED_MIB
from gateway.errors import BadInput, GatewayError, MissingBody, RequestAborted, RequestTimeout, RequestTooLarge
from tests.api.conftest import Served

pytestmark = pytest.mark.asyncio(loop_scope="session")
LIMIT = 100
DISCONNECT = {"type": "http.disconnect"}


class Sender:
    """A client's messages; counts how many were taken."""

    def __init__(self, *messages: dict[str, Any]) -> None:
        self._messages: Iterator[dict[str, Any]] = iter(messages)
        self.taken = 0

    async def __call__(self) -> dict[str, Any]:
        self.taken += 1
        message = next(self._messages, None)
        if message is None:
            await asyncio.Event().wait()
            raise AssertionError
        return message


def part(body: bytes, more: bool = True) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


@pytest.mark.parametrize(
    "parts",
    [
        [part(b"x" * 100, more=False)],
        [part(b"x" * 50), part(b"x" * 50, more=False)],
        [part(b"x" * 99), part(b""), part(b"x"), part(b"", more=False)],
    ],
)
async def test_a_body_of_exactly_the_limit_is_read(parts: list[dict[str, Any]]) -> None:
    assert await read_body(Headers(), Sender(*parts), LIMIT) == b"x" * 100


@pytest.mark.parametrize(
    ("headers", "parts", "taken", "error"),
    [
        ({"content-length": "101"}, [], 0, RequestTooLarge),
        ({"content-length": "9" * 5000}, [], 0, RequestTooLarge),
        ({"content-encoding": "gzip"}, [], 0, BadInput),
        ({"content-encoding": "identity, br"}, [], 0, BadInput),
        ({}, [part(b"x" * 60)] * 10, 2, RequestTooLarge),
        ({"content-length": "5"}, [part(b"x" * 60)] * 10, 2, RequestTooLarge),
        ({}, [part(b"", more=False)], 1, MissingBody),
        ({}, [part(b"x"), DISCONNECT], 2, RequestAborted),
        ({}, [DISCONNECT], 1, RequestAborted),
        ({}, [part(b"x")], 2, RequestTimeout),
    ],
)
async def test_refused_bodies_are_read_no_further(
    headers: dict[str, str], parts: list[dict[str, Any]], taken: int, error: type[GatewayError]
) -> None:
    sender = Sender(*parts)
    with pytest.raises(error):
        await read_body(Headers(headers), sender, LIMIT, stall_s=0.01)
    assert sender.taken == taken


@pytest.mark.parametrize(
    ("kind", "body", "expected"),
    [
        ("application/json", b"RIFF", True),
        ("application/problem+json", b"", True),
        ("", b"{", True),
        ("", b"[1]", False),
        ("text/plain", b" " * 100 + b"{", True),
        ("application/octet-stream", b"\xef\xbb\xbf {", True),
        ("application/octet-stream", b"RIFF{", False),
        ("audio/mpeg", b"{", False),
        ("image/png", b"{", False),
    ],
)
async def test_what_counts_as_json(kind: str, body: bytes, expected: bool) -> None:
    assert is_json(kind, body) is expected


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"{", "line 1 column 2"),
        (b'{"text":}', "line 1 column 9"),
        (b'{"text":"a"}x', "line 1 column 13"),
        (b'{"text":"a"}{"text":"b"}', "line 1 column 13"),
        (b'{"text":NaN}', "column 9"),
        (b'{"text":Infinity}', "column 9"),
        (b'{"text":-Infinity}', "column 10"),
        (b'{"text":1e999}', "infinity"),
        (b'{"text":"\\ud800"}', "surrogate"),
        (b'{"text":"\xed\xa0\x80"}', "UTF-8"),
        (b'{"text":"\xff"}', "UTF-8"),
        ('{"text":"a"}'.encode("utf-16"), "UTF-8"),
        ('{"text":"a"}'.encode("utf-32-le"), "invalid JSON"),
        (b'{"text":"\x00"}', "control character"),
        (b"{'text':'a'}", "line 1 column 2"),
        (b'{"text":"a",}', "trailing comma"),
        (b'{"text":' + b"[" * 5000 + b"]" * 5000 + b"}", "depth limit"),
        pytest.param(b'{"text":[' + b"[]," * 1_000_000 + b"[]]}", f"more than {MAX_DECODED_MIB} MiB", id="arrays"),
        pytest.param(b'{"text":[' + b"{}," * 500_000 + b"{}]}", f"more than {MAX_DECODED_MIB} MiB", id="objects"),
        (b'{"text":' + b"9" * 100_000 + b"}", "infinity"),
        (b"   ", "empty"),
    ],
)
async def test_bad_json_is_5006_with_the_reason(served: Served, body: bytes, text: str) -> None:
    response = await served.run("classify", content=body, headers={"content-type": "application/json"})
    error = response.json()["errors"][0]
    assert (response.status_code, error["code"]) == (400, 5006)
    assert text in error["message"]
    assert len(error["message"]) < 300


async def test_of_equal_keys_the_last_counts(served: Served) -> None:
    response = await served.run("listen-turbo", content=b'{"audio":"AA==","audio":"AAAA"}')
    assert response.json()["result"]["text"] == "3 bytes"


@pytest.mark.parametrize("depth", [10, 90, 150, 500, 1000])
@pytest.mark.parametrize(
    "wrap",
    [
        '{"prompt":%s}',
        '{"prompt":"a","unknown":%s}',
        '{"messages":[{"role":"user","content":"a","extra":%s}]}',
        '{"messages":[{"role":"user","content":[{"type":"text","text":"a","extra":%s}]}]}',
        '{"messages":%s}',
    ],
)
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
async def test_nesting_is_answered_or_refused_but_never_an_internal_error(
    served: Served, wrap: str, depth: int, opening: str, closing: str
) -> None:
    body = wrap % (opening * depth + "1" + closing * depth)
    response = await served.run("chat", content=body.encode())
    assert response.status_code in (200, 400), response.text
    if response.status_code == 400:
        assert response.json()["errors"][0]["code"] == 5006


async def answer(reader: asyncio.StreamReader) -> tuple[bytes, dict[str, Any]]:
    """Head and JSON body of the next answer, or of what came before the connection closed."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
    return head, json.loads(await reader.readexactly(length))


async def test_a_chunked_body_is_cut_off_at_the_limit(served: Served) -> None:
    reader, writer = await served.post("classify", b"", "transfer-encoding: chunked\r\n")
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    sent_bytes = 0

    async def send_for_ever() -> None:
        nonlocal sent_bytes
        while True:
            writer.write(chunk)
            await writer.drain()
            sent_bytes += 0x10000

    sending = asyncio.create_task(send_for_ever())
    head, document = await answer(reader)
    assert head.startswith(b"HTTP/1.1 413 ")
    assert b"\r\nconnection: close\r\n" in head
    assert document["errors"][0]["code"] == 3006
    with contextlib.suppress(ConnectionError):
        assert await reader.read() == b""
    with pytest.raises(ConnectionError):
        await sending
    assert sent_bytes > 10 << 20
    writer.close()


async def test_a_client_that_sends_everything_first_still_gets_the_413(served: Served) -> None:
    body = b"x" * ((10 << 20) + 1)
    reader, writer = await served.post("classify", body)
    head, document = await answer(reader)
    assert head.startswith(b"HTTP/1.1 413 ")
    assert document["errors"][0]["code"] == 3006
    writer.close()


@pytest.mark.parametrize(("length", "first_line"), [(13, b"HTTP/1.1 100 "), (11 << 20, b"HTTP/1.1 413 ")])
async def test_expect_continue_is_answered_before_the_body(served: Served, length: int, first_line: bytes) -> None:
    reader, writer = await served.post("classify", b"", f"content-length: {length}\r\nexpect: 100-continue\r\n")
    assert (await reader.readuntil(b"\r\n")).startswith(first_line)
    if length == 13:
        await reader.readuntil(b"\r\n")
        writer.write(b'{"text":"hi"}')
        head, document = await answer(reader)
        assert head.startswith(b"HTTP/1.1 200 ")
        assert document["success"] is True
    writer.close()


async def test_a_connection_is_used_again_after_a_refusal(served: Served) -> None:
    reader, writer = await served.post("nobody", b"x" * 100_000)
    assert (await answer(reader))[1]["errors"][0]["code"] == 5007
    body = b'{"text":"hi"}'
    path = f"/accounts/{'0' * 32}/ai/run/@cf/test/classify"
    head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer x\r\ncontent-length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    assert (await answer(reader))[1]["success"] is True
    writer.close()


async def test_a_client_that_leaves_mid_body_does_no_harm(served: Served) -> None:
    reader, writer = await served.post("classify", b'{"text":', "content-length: 1000\r\n")
    writer.transport.abort()
    response = await served.run("classify", json={"text": "hi"})
    assert response.status_code == 200
    del reader
