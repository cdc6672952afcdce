"""How HTTP is read from a connection: uvicorn's own way, with a bound on heads and trailers; knows no route."""

from __future__ import annotations

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD_BYTES = 64 * 1024
_REFUSAL = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class BoundedProtocol(HttpToolsProtocol):
    """Never holds more than `MAX_HEAD_BYTES` and one read of a head, a trailer or the size of a chunk.

    The parser keeps these until they are whole, however long they become; of bodies it keeps nothing.
    """

    _unfinished_bytes = 0

    def data_received(self, data: bytes) -> None:
        """Parse what came; a head without an end is refused, anything else without an end ends the connection."""
        self._unfinished_bytes += len(data)
        super().data_received(data)
        if self._unfinished_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            if self.cycle is None or self.cycle.response_complete:
                self.transport.write(_REFUSAL)
            self.transport.close()

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._unfinished_bytes = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A part of the body was passed on."""
        self._unfinished_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._unfinished_bytes = 0
        super().on_message_complete()
