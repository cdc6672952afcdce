"""An HTTP client for one server, and the bodies of its answers in bounded memory; knows no requests."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from typing import Any

import httpx

from gateway.engines.llm.upstream.events import Events, Unreadable, read_object

MAX_WHOLE_BYTES = 16 << 20


def new_client(key: str | None, connections: int, connect_s: float) -> httpx.AsyncClient:
    """A client that follows no redirect and heeds no proxy of the environment.

    Each request has a connection of its own: llama.cpp, for one, promises to keep one open and closes it after a
    stream, so that the next request on it may or may not have been read.
    """
    return httpx.AsyncClient(
        headers={
            "accept-encoding": "identity",
            "connection": "close",
            **({"authorization": f"Bearer {key}"} if key else {}),
        },
        timeout=httpx.Timeout(None, connect=connect_s, write=30.0),
        limits=httpx.Limits(max_connections=connections, max_keepalive_connections=0),
        verify=ssl.create_default_context(),
        follow_redirects=False,
        trust_env=False,
    )


async def objects(response: httpx.Response, events: Events) -> AsyncIterator[tuple[dict[str, Any], int]]:
    """The objects of a streamed answer with their sizes in bytes, or the one of a whole answer.

    Raises `Unreadable` for anything else.
    """
    media_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type == "application/json":
        body = await bounded(response, MAX_WHOLE_BYTES)
        events.done = True
        yield read_object(body), len(body)
        return
    if media_type != "text/event-stream":
        raise Unreadable(f"an answer of type {media_type[:100] or 'unknown'}")
    async for data in response.aiter_raw():
        for found in events.feed(data):
            yield found
        if events.done:
            return


async def bounded(response: httpx.Response, most: int, *, cut: bool = False) -> bytes:
    """The body, up to `most` bytes; beyond, cut off or `Unreadable`."""
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > most and not cut:
            raise Unreadable(f"an answer of more than {most} bytes")
        if len(body) > most:
            break
    return bytes(body[:most])
