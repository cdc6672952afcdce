"""How HTTP is read from a connection: uvicorn's own way, with bounds on heads, trailers, idle clients and floods."""

from __future__ import annotations

import asyncio

from gateway.api.lobby import Lobby
from gateway.api.plain_http import PlainHttp

MAX_HEAD_BYTES = 64 * 1024
_END = b"connection: close\r\ncontent-length: 0\r\n\r\n"
_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\n" + _END
_TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\n" + _END
_FULL = b"HTTP/1.1 503 Service Unavailable\r\n" + _END


class BoundedProtocol(PlainHttp):
    """Never holds more than `MAX_HEAD_BYTES` and one read of a head, a trailer or the size of a chunk.

    The parser keeps these until they are whole, however long they become; of bodies it keeps nothing. A client that
    has `patience_s` for its head and does not finish it, or that takes nothing of an answer for so long, is cut off;
    while a request is being answered, its body is the application's concern. Before, it waits in the `lobby`.
    """

    patience_s = 60.0
    lobby = Lobby(most_connections=1000)
    _unfinished_bytes = 0
    _timer: asyncio.TimerHandle | None = None
    _unsent_bytes = 0
    _is_in_head = False
    _held_bytes = 0

    @classmethod
    def bounded_by(cls, patience_s: float, lobby: Lobby) -> type[BoundedProtocol]:
        """The same with another patience, and a lobby of its own."""
        return type(cls.__name__, (cls,), {"patience_s": patience_s, "lobby": lobby})

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The client owes a head."""
        super().connection_made(transport)
        self._wait()
        if not self.lobby.has_room(len(self.connections)):
            self.transport.write(_FULL)
            self.transport.close()
        else:
            self.lobby.enter(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody owes anything."""
        self._wait_no_more()
        self.lobby.leave(self)
        super().connection_lost(exc)

    def send_away(self) -> None:
        """Make room for others."""
        self.transport.abort()

    def data_received(self, data: bytes) -> None:
        """Parse what came; a head without an end is refused, anything else without an end ends the connection."""
        self._unfinished_bytes += len(data)
        super().data_received(data)
        if self._unfinished_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            if self._is_answered:
                self.transport.write(_TOO_LARGE)
            self.transport.close()
        elif self._timer is None and self._is_answered and self in self.connections:
            self._wait()  # uvicorn has just stopped its own timer, and restarts it only after the next answer
        # Where a head begins in what came is not known, so all of it counts.
        self._held_bytes = max(self._unfinished_bytes, len(data)) if self._is_in_head else 0
        self.lobby.hold(self, self._held_bytes)

    def on_message_begin(self) -> None:
        """A head begins."""
        self._is_in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._unfinished_bytes = 0
        self._is_in_head = False
        self._wait_no_more()
        self.lobby.leave(self)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A part of the body was passed on."""
        self._unfinished_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._unfinished_bytes = 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """The answer is written; what the client has not taken yet is in a buffer."""
        super().on_response_complete()
        if self._is_answered and not self.transport.is_closing():
            self.lobby.enter(self)
            self.lobby.hold(self, self._held_bytes)
        if self._is_answered and self._timer is None and (unsent := self.transport.get_write_buffer_size()):
            self._wait(unsent)

    @property
    def _is_answered(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _wait(self, unsent_bytes: int = 0) -> None:
        self._unsent_bytes = unsent_bytes
        self._timer = self.loop.call_later(self.patience_s, self._lose_patience)

    def _wait_no_more(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _lose_patience(self) -> None:
        unsent = self.transport.get_write_buffer_size()
        if 0 < unsent < self._unsent_bytes:
            self._wait(unsent)  # slow, but it goes on
        elif unsent:
            self.transport.abort()
        else:
            self._timer = None
            if self._unfinished_bytes:
                self.transport.write(_TOO_SLOW)
            self.transport.close()
