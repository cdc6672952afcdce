"""A small HTTP/1.1 connection: prepared bytes out, timed bytes in; knows no route and no model."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import cast

import httptools


@dataclass(frozen=True)
class Address:
    """Where a server listens."""

    host: str
    port: int


@dataclass
class Reply:
    """One answer; `chunks` are the pieces of its body with the seconds since the request was sent."""

    status: int = 0
    seconds: float = 0.0
    chunks: list[tuple[float, bytes]] = field(default_factory=list)

    @property
    def body(self) -> bytes:
        """The whole body."""
        return b"".join(data for _, data in self.chunks)

    def events(self) -> Iterator[tuple[float, bytes]]:
        """The `data` of each server-sent event, with the seconds at which its last byte was there."""
        pending = b""
        for seconds, chunk in self.chunks:
            *events, pending = (pending + chunk).replace(b"\r\n", b"\n").split(b"\n\n")
            for event in events:
                lines = [line[5:].removeprefix(b" ") for line in event.split(b"\n") if line.startswith(b"data:")]
                if lines:
                    yield seconds, b"\n".join(lines)


def get(address: Address, path: str) -> bytes:
    """A GET request as it goes over the wire."""
    return f"GET {path} HTTP/1.1\r\nhost: {address.host}:{address.port}\r\n\r\n".encode()


def post(address: Address, path: str, body: bytes, content_type: str = "application/json") -> bytes:
    """A POST request as it goes over the wire."""
    head = (
        f"POST {path} HTTP/1.1\r\nhost: {address.host}:{address.port}\r\nauthorization: Bearer benchmark\r\n"
        f"content-type: {content_type}\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class Connection(asyncio.Protocol):
    """One keep-alive connection, one request at a time.

    Bodies must have a length or be chunked: one that ends with the connection counts as cut off.
    """

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._done: asyncio.Future[Reply] | None = None
        self._reply = Reply()
        self._sent_at = 0.0
        self._now_s = 0.0

    @classmethod
    async def open(cls, address: Address) -> Connection:
        """Connect; raises `OSError`."""
        _, connection = await asyncio.get_running_loop().create_connection(cls, address.host, address.port)
        return connection

    @property
    def is_open(self) -> bool:
        """Whether neither side has ended it, as far as is known."""
        return self._transport is not None and not self._transport.is_closing()

    async def exchange(self, request: bytes) -> Reply:
        """Send the bytes of one request and return its answer; raises `ConnectionError` if it is cut off."""
        if self._transport is None or self._transport.is_closing():
            raise ConnectionError("the connection is closed")
        self._done = asyncio.get_running_loop().create_future()
        self._reply = Reply()
        self._sent_at = time.perf_counter()
        self._transport.write(request)
        return await self._done

    def close(self) -> None:
        """End the connection."""
        if self._transport is not None:
            self._transport.abort()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is there."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own classes derive from nothing

    def data_received(self, data: bytes) -> None:
        """Bytes of the answer."""
        self._now_s = time.perf_counter() - self._sent_at
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(ConnectionError(f"not HTTP: {error}"))
            self.close()

    def connection_lost(self, error: Exception | None) -> None:
        """The server ended the connection."""
        self._fail(ConnectionError("the connection ended before the answer did"))

    def _fail(self, error: Exception) -> None:
        if self._done is not None and not self._done.done():
            self._done.set_exception(error)

    # httptools

    def on_body(self, data: bytes) -> None:
        """A piece of the body, without its framing."""
        self._reply.chunks.append((self._now_s, data))

    def on_message_complete(self) -> None:
        """The end of the answer."""
        self._reply.status = self._parser.get_status_code()
        self._reply.seconds = self._now_s
        if self._done is not None and not self._done.done():
            self._done.set_result(self._reply)
