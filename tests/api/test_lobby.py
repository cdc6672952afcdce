"""Floods of connections over real sockets: who owes a request for longest goes, and nobody who is being answered."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from gateway.api.lobby import Lobby
from gateway.api.protocol import BoundedProtocol
from tests.api.conftest import until

REQUEST = b"GET /quick HTTP/1.1\r\nhost: localhost\r\n\r\n"
SLOW = REQUEST.replace(b"quick", b"slow")
HALF = b"GET /quick HTTP/1.1\r\nx: " + b"a" * 10_000
CONNECTIONS, HEAD_BYTES = 8, 50_000
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass
class Site:
    """A server with a small lobby; what asks for `/slow` is answered once it is `open`."""

    port: int = 0
    open: asyncio.Event = field(default_factory=asyncio.Event)
    running: int = 0
    clients: list[asyncio.StreamWriter] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.running += 1
        if scope["path"] == "/slow":
            await self.open.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    async def says(self, data: bytes) -> Streams:
        """A connection on which that was said."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.clients.append(writer)
        writer.write(data)
        return reader, writer


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    site = Site()
    protocol = BoundedProtocol.bounded_by(60.0, Lobby(CONNECTIONS, HEAD_BYTES))
    async with serving(site, protocol):
        yield site


@asynccontextmanager
async def serving(site: Site, protocol: type[BoundedProtocol]) -> AsyncIterator[None]:
    listener = socket.create_server(("127.0.0.1", 0))
    site.port = listener.getsockname()[1]
    config = uvicorn.Config(site, http=protocol, lifespan="off", log_config=None, timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    running = asyncio.create_task(server.serve([listener]))
    try:
        await until(lambda: server.started)
        yield
    finally:
        for writer in site.clients:
            writer.close()
        site.open.set()
        server.should_exit = True
        await running


async def status(streams: Streams) -> int:
    """That of the answer; 0 if the connection ends without one."""
    with contextlib.suppress(ConnectionResetError):
        async with asyncio.timeout(30):
            line = await streams[0].readline()
        return int(line.split()[1]) if line else 0
    return 0


async def ended(streams: Streams) -> bool:
    """Whether the server has closed the connection; it has had a whole request's time to."""
    try:
        async with asyncio.timeout(0.05):
            return not await streams[0].read(1)
    except TimeoutError:
        return False
    except ConnectionResetError:
        return True


@pytest.mark.parametrize("said", [b"", b"GET /", REQUEST], ids=["nothing", "half a head", "a request, and no more"])
async def test_a_flood_of_connections_drowns_itself_and_a_neighbour_is_answered(site: Site, said: bytes) -> None:
    flood = [await site.says(said) for _ in range(4 * CONNECTIONS)]
    if said == REQUEST:
        await until(lambda: site.running == len(flood))
        for streams in flood:
            await streams[0].readuntil(b"ok")
    neighbour = await site.says(REQUEST)
    assert await status(neighbour) == 200
    gone = [await ended(streams) for streams in flood]
    assert gone == [True] * (3 * CONNECTIONS + 1) + [False] * (CONNECTIONS - 1)


async def test_who_is_being_answered_stays_and_a_newcomer_is_told_that_there_is_no_room(site: Site) -> None:
    busy = [await site.says(SLOW) for _ in range(CONNECTIONS)]
    await until(lambda: site.running == CONNECTIONS)
    assert await status(await site.says(REQUEST)) == 503
    site.open.set()
    assert [await status(streams) for streams in busy] == [200] * CONNECTIONS
    neighbour = await site.says(REQUEST)
    assert await status(neighbour) == 200


@pytest.mark.parametrize("before", [b"", REQUEST], ids=["the first head", "a head behind a request"])
async def test_unfinished_heads_have_one_bound_and_the_first_of_them_go(site: Site, before: bytes) -> None:
    flood = []
    for number in range(7):
        flood.append(await site.says(before + HALF))
        if before:
            await until(lambda number=number: site.running == number + 1)  # type: ignore[misc]
            await flood[-1][0].readuntil(b"ok")
    neighbour = await site.says(REQUEST)
    assert await status(neighbour) == 200
    gone = [await ended(streams) for streams in flood]
    assert gone == [True] * 3 + [False] * 4


async def test_a_head_that_comes_in_parts_is_answered(site: Site) -> None:
    reader, writer = await site.says(HALF)
    writer.write(b"\r\nhost: localhost\r\n\r\n")
    assert await status((reader, writer)) == 200
