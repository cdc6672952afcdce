"""The TLS handshake before HTTP begins, within the same bounds as everything that a client owes; knows no HTTP."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Coroutine, Generator
from functools import partial
from pathlib import Path
from typing import Any, cast

from gateway.api.protocol import BoundedProtocol


class TlsGate(asyncio.Protocol):
    """A client without a finished handshake counts as one that owes a request, and has as long for it.

    asyncio's servers shake hands on their own and tell of a connection only then: those that never finish would be
    nobody's guests, and hold their open files for a minute.
    """

    context: ssl.SSLContext
    http: type[BoundedProtocol]

    @classmethod
    def before(cls, http: type[BoundedProtocol], certificate: Path, key: Path | None) -> type[TlsGate]:
        """The gate to `http` with a certificate chain, and its key if that is in a file of its own (PEM)."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate, key)
        return type(cls.__name__, (cls,), {"context": context, "http": http})

    def __init__(self, **options: Any) -> None:
        """`options` are those of uvicorn's protocols."""
        self._within = self.http(**options)
        self._lobby = self.http.lobby
        # What the client sent right behind its handshake.
        self._early: list[bytes] = []
        self._transport: asyncio.Transport | None = None
        self._shaking: asyncio.Task[None] | None = None
        self._owes = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The client owes a handshake."""
        self._transport = outer = cast(asyncio.Transport, transport)
        if not self._lobby.has_room(len(self._within.connections) + 1):
            outer.abort()
            return
        self._lobby.shaking += 1
        self._lobby.enter(self)
        self._owes = True
        patience_s = self.http.patience_s
        starting = self._within.loop.start_tls(
            outer, self, self.context, server_side=True, ssl_handshake_timeout=patience_s
        )
        self._shaking = self._within.loop.create_task(self._shake(outer, Begun(starting)))
        # Not by the task itself: one that is cancelled before it begins does nothing at all.
        self._shaking.add_done_callback(lambda _: self._settle())

    def data_received(self, data: bytes) -> None:
        """Behind the handshake, before HTTP knows of the connection."""
        self._early.append(data)

    def send_away(self) -> None:
        """Make room for others."""
        if self._transport is not None:
            self._transport.abort()
        if self._shaking is not None:
            self._shaking.cancel()

    async def _shake(self, outer: asyncio.Transport, handshake: Begun) -> None:
        try:
            secured = await handshake
        except OSError:  # of which those of TLS and of time limits are some
            secured = None
        self._settle()
        if secured is None or secured.is_closing():
            outer.abort()
            return
        secured.set_protocol(self._within)
        self._within.connection_made(secured)
        if self._early and not secured.is_closing():
            self._within.data_received(b"".join(self._early))

    def _settle(self) -> None:
        if self._owes:
            self._owes = False
            self._lobby.leave(self)
            self._lobby.shaking -= 1


class Begun:
    """A coroutine that has run to its first wait already, to be awaited by a task.

    What a client sends is read as soon as `connection_made` returns, so that the library has to have taken the
    connection over by then; a task begins later.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, asyncio.Transport | None]) -> None:
        self._coroutine = coroutine
        self._awaited = coroutine.send(None)

    def __await__(self) -> Generator[Any, Any, asyncio.Transport | None]:
        while True:
            try:
                value = yield self._awaited
            except BaseException as error:
                go_on = partial(self._coroutine.throw, error)
            else:
                go_on = partial(self._coroutine.send, value)
            try:
                self._awaited = go_on()
            except StopIteration as end:
                return cast(asyncio.Transport | None, end.value)
