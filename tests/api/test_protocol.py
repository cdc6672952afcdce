"""What the server makes of connections that offer another protocol, or whose client leaves, over a real socket."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.api.protocol import BoundedProtocol
from tests.api.conftest import until

OFFER = b"host: localhost\r\nconnection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n"
WHOLE = b"POST /a HTTP/1.1\r\n" + OFFER + b"content-length: 5\r\n\r\nhello"
CHUNKED = b"POST /a HTTP/1.1\r\n" + OFFER + b"transfer-encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"
LAST = b"GET /last HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with path and body, between brackets."""
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    answer = b"[%b %b]" % (scope["path"].encode(), body)
    headers = [(b"content-length", b"%d" % len(answer))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})


@asynccontextmanager
async def serving(app: ASGIApp) -> AsyncIterator[int]:
    """The port of a server of `app`."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, http=BoundedProtocol, lifespan="off", log_config=None, timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    running = asyncio.create_task(server.serve([listener]))
    try:
        await until(lambda: server.started)
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        await running


@pytest.mark.parametrize(
    ("parts", "answers"),
    [
        ([WHOLE + LAST], [b"/a hello", b"/last "]),
        ([CHUNKED + LAST], [b"/a hello", b"/last "]),
        ([WHOLE * 3 + LAST], [b"/a hello"] * 3 + [b"/last "]),
        ([bytes([one]) for one in WHOLE] + [LAST], [b"/a hello", b"/last "]),
        ([WHOLE[:-5], b"hello", LAST], [b"/a hello", b"/last "]),
    ],
    ids=["whole", "chunked", "pipelined", "byte by byte", "body later"],
)
async def test_a_request_that_offers_http_2_keeps_its_body(parts: list[bytes], answers: list[bytes]) -> None:
    async with serving(echo) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for part in parts:
            writer.write(part)
            await writer.drain()
        async with asyncio.timeout(30):
            answer = await reader.read()
        writer.close()
    assert re.findall(rb"\[(.*?)\]", answer) == answers


async def test_a_client_that_leaves_is_noticed_though_it_sent_a_second_request() -> None:
    begun, left = asyncio.Event(), asyncio.Event()

    async def patient(scope: Scope, receive: Receive, send: Send) -> None:
        begun.set()
        while (await receive())["type"] != "http.disconnect":
            pass
        left.set()

    async with serving(patient) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(LAST.replace(b"connection: close\r\n", b"") * 2)
        await writer.drain()
        async with asyncio.timeout(30):
            await begun.wait()
            writer.close()
            await left.wait()
