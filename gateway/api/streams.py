"""Server-sent events: pulled from the pieces of an answer, written by a family's frames; knows no engine."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable
from typing import TypeVar

from fastapi import Response
from starlette.types import Receive, Scope, Send

from gateway.api.envelope import as_gateway_error
from gateway.api.exchange import Exchange, exchange_of
from gateway.api.frames import Frames
from gateway.errors import RequestAborted
from gateway.tasks import Piece

T = TypeVar("T")


async def unless_disconnected(awaitable: Awaitable[T], receive: Receive) -> T:
    """The result of `awaitable`, which is cancelled with `RequestAborted` as soon as the client has left.

    The request's body must have been read: what `receive` gives from then on is the disconnect.
    """
    caller = asyncio.current_task()
    assert caller is not None
    left = False

    async def watch() -> None:
        nonlocal left
        while (await receive())["type"] != "http.disconnect":
            pass
        left = True
        caller.cancel()

    watcher = asyncio.create_task(watch())
    try:
        return await awaitable
    except asyncio.CancelledError:
        if left and caller.uncancel() == 0:
            raise RequestAborted from None
        raise
    finally:
        watcher.cancel()


class EventStream(Response):
    """The pieces of one answer as events. Headers go out with the first piece, so a failure before it has its status.

    A later failure is one event with the error envelope, and what ends a whole answer, such as `[DONE]`, does not
    follow: clients take a stream without it for a broken one. Pieces are pulled one by one as the client takes them;
    one that takes nothing for `stall_s` counts as gone. However it ends, the pieces' generator is closed.
    """

    media_type = "text/event-stream"

    def __init__(self, pieces: AsyncGenerator[Piece, None], frames: Frames, stall_s: float) -> None:
        self.pieces = pieces
        self.frames = frames
        self.stall_s = stall_s
        self.has_begun = False
        self.status_code = 200
        self.raw_headers = [
            (b"content-type", b"text/event-stream"),
            (b"cache-control", b"no-cache"),
            (b"x-accel-buffering", b"no"),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stream; raises only what went wrong before its first piece."""
        exchange = exchange_of(scope)
        try:
            async with contextlib.aclosing(self.pieces):
                await unless_disconnected(self._send(exchange, send), receive)
        except Exception as error:
            if not self.has_begun:
                raise
            exchange.code = as_gateway_error(error).code

    async def _send(self, exchange: Exchange, send: Send) -> None:
        piece = await anext(self.pieces)
        self.has_begun = True
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        try:
            while not piece.is_last:
                await self._deliver(self.frames.write(piece), send)
                piece = await anext(self.pieces)
            await self._deliver(self.frames.write(piece), send)
        except RequestAborted:
            raise
        except Exception as error:
            known = as_gateway_error(error)
            exchange.code = known.code
            await self._deliver(self.frames.fail(known, exchange.request_id), send)
        await send({"type": "http.response.body"})

    async def _deliver(self, frames: bytes, send: Send) -> None:
        """Hand the frames to the server; raises `RequestAborted` if the client takes nothing for `stall_s`."""
        if not frames:
            return
        try:
            async with asyncio.timeout(self.stall_s):
                await send({"type": "http.response.body", "body": frames, "more_body": True})
        except TimeoutError:
            raise RequestAborted from None
