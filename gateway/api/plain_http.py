"""HTTP as uvicorn reads it, without two of its gaps: offers of other protocols, and who is told that a client left."""

from __future__ import annotations

from array import array
from typing import Any

import httptools
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle


class PlainHttp(HttpToolsProtocol):
    """uvicorn's way of reading HTTP, but an offer of another protocol than WebSocket is declined with its body kept.

    Java's and curl's clients offer HTTP/2 with each request to plain http, and a server may ignore that (RFC 9110,
    section 7.8). The parser does not: it leaves the body to the other protocol, and a POST would arrive without one.
    And a client that leaves is noticed by the request that is being answered, not only by the last that it sent.
    """

    _declined: bytes | None = None
    _answering: RequestResponseCycle | None = None

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.parser = _Parser(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has left: nobody waits for the answer that is being made."""
        if self._answering is not None and not self._answering.response_complete:
            self._answering.disconnected = True
            self._answering.message_event.set()
        super().connection_lost(exc)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._answering = cycle
        super()._start_asgi_task(cycle, app)

    @property
    def offers(self) -> bool:
        """Whether the request that is being read offers another protocol, and it is not one that is spoken here."""
        is_offer = self.parser.should_upgrade() and any(name == b"upgrade" for name, _ in self.headers)
        return is_offer and not self._should_upgrade()

    def data_received(self, data: bytes) -> None:
        """Parse what came, and what was declined of it once more."""
        super().data_received(data)
        while self._declined is not None:
            again, self._declined = self._declined, None
            super().data_received(again)

    def decline(self, rest: bytes) -> None:
        """Have the request read again without its offer, before the `rest` of what came."""
        line = b"%b %b HTTP/%b\r\n" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())
        kept = (b"%b: %b\r\n" % header for header in self.headers if header[0] != b"upgrade")
        self._declined = b"".join((line, *kept, b"\r\n", rest))
        self.parser = _Parser(self)

    def on_headers_complete(self) -> None:
        """The head is whole, and is answered unless it will be read again."""
        if not self.offers:
            super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The request is whole, unless it will be read again."""
        if not self.offers:
            super().on_message_complete()


class _Parser(httptools.HttpRequestParser):
    """Gives what follows an offer back to the protocol."""

    def __init__(self, protocol: PlainHttp) -> None:
        super().__init__(protocol)
        self._protocol = protocol
        # As uvicorn: the answer to the first of several requests may say that the connection ends.
        self.set_dangerous_leniencies(lenient_data_after_close=True)

    def feed_data(self, data: bytes | bytearray | memoryview | array[int]) -> None:
        """Parse; raises as the library's own does."""
        try:
            super().feed_data(data)
        except httptools.HttpParserUpgrade as found:
            if not self._protocol.offers:
                raise
            self._protocol.decline(bytes(data[found.args[0] :]))
