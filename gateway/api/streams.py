"""Answers sent while they are made: events written by a family's frames, and media as it is; knows no engine."""

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
from gateway.runtime.patience import Patience
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


class PieceStream(Response):
    """The pieces of one answer. Headers go out with the first piece, so a failure before it has its own status.

    Pieces are pulled one by one as the client takes them; one that takes nothing for `stall_s` counts as gone.
    However it ends, the pieces' generator is closed.
    """

    def __init__(self, pieces: AsyncGenerator[Piece, None], stall_s: float) -> None:
        self.pieces = pieces
        self.stall_s = stall_s
        self.has_begun = False
        self.status_code = 200
        self.raw_headers = [(b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no")]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stream; raises only what went wrong before its first piece."""
        exchange = exchange_of(scope)
        try:
            async with contextlib.aclosing(self.pieces):
                await unless_disconnected(self._send_all(exchange, send), receive)
        except Exception as error:
            if not self.has_begun:
                raise
            exchange.code = as_gateway_error(error).code

    async def _send_all(self, exchange: Exchange, send: Send) -> None:
        with contextlib.closing(Patience(self.stall_s)) as self._patience:
            await self._send(exchange, send)

    async def _send(self, exchange: Exchange, send: Send) -> None:
        raise NotImplementedError

    async def _begin(self, media_type: bytes, send: Send) -> None:
        self.has_begun = True
        headers = [(b"content-type", media_type), *self.raw_headers]
        await send({"type": "http.response.start", "status": 200, "headers": headers})

    async def _deliver(self, data: bytes, send: Send) -> None:
        """Hand the data to the server; raises `RequestAborted` if the client takes nothing for `stall_s`."""
        if not data:
            return
        try:
            with self._patience:
                await send({"type": "http.response.body", "body": data, "more_body": True})
        except TimeoutError:
            raise RequestAborted from None


class EventStream(PieceStream):
    """Pieces as events. A failure after the first is one event with the error envelope.

    What ends a whole answer, such as `[DONE]`, does not follow it: clients take a stream without it for a broken one.
    """

    media_type = "text/event-stream"

    def __init__(self, pieces: AsyncGenerator[Piece, None], frames: Frames, stall_s: float) -> None:
        super().__init__(pieces, stall_s)
        self.frames = frames

    async def _send(self, exchange: Exchange, send: Send) -> None:
        piece = await anext(self.pieces)
        await self._begin(b"text/event-stream", send)
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


class MediaStream(PieceStream):
    """Media as it is made. After a failure the connection closes before the body's end, so none takes it for whole."""

    async def _send(self, exchange: Exchange, send: Send) -> None:
        piece = await anext(self.pieces)
        await self._begin(str(piece.extra["media_type"]).encode(), send)
        await self._deliver(piece.data, send)
        while not piece.is_last:
            piece = await anext(self.pieces)
            await self._deliver(piece.data, send)
        await send({"type": "http.response.body"})
