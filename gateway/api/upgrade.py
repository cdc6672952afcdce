"""How the handshake of a WebSocket is read: uvicorn's own way, but none is left without an answer; knows no session."""

from __future__ import annotations

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

_UNREADABLE = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class AnsweredUpgrade(WebSocketsSansIOProtocol):
    """Refuses a handshake with lines or headers beyond the library's bounds, or with a body, and ends its connection.

    uvicorn asks for the handshakes that can be read and overlooks the others: their connections would stay open for
    ever, without a timer and before anybody has asked for a key.
    """

    def data_received(self, data: bytes) -> None:
        """Read what came; the library has written its refusal (414, 431) already, if it has one."""
        super().data_received(data)
        if self.conn.handshake_exc is not None and not self.handshake_initiated and not self.transport.is_closing():
            self.transport.write(b"".join(self.conn.data_to_send()) or _UNREADABLE)
            self.transport.close()
