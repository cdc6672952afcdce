"""A server on a raw socket that answers what a test tells it to, byte by byte, and keeps what it was sent."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

MODELS = {"object": "list", "data": [{"id": "stub", "owned_by": "vllm", "max_model_len": 4096}]}
SSE = "content-type: text/event-stream\r\n"
Script = Callable[["Exchange"], None]


def whole(status: int, body: bytes, headers: str = "content-type: application/json\r\n") -> bytes:
    """One complete response."""
    return f"HTTP/1.1 {status} Status\r\n{headers}content-length: {len(body)}\r\n\r\n".encode() + body


def chunk(delta: dict[str, Any] | None = None, finish: str | None = None, **more: Any) -> bytes:
    """One event of a chat stream."""
    event = {"choices": [{"index": 0, "delta": delta or {}, "finish_reason": finish}], **more}
    return f"data: {json.dumps(event)}\n\n".encode()


@dataclass
class Exchange:
    """One request, and the connection to answer it on."""

    connection: socket.socket
    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    closes: bool = False

    def send(self, data: bytes) -> None:
        self.connection.sendall(data)

    def begin(self, headers: str = SSE) -> None:
        self.closes = True
        self.send(f"HTTP/1.1 200 OK\r\n{headers}connection: close\r\n\r\n".encode())

    def until_closed(self) -> None:
        """Return once the client has closed the connection."""
        with contextlib.suppress(OSError):
            while self.connection.recv(4096):
                pass


@dataclass
class Scripted:
    """The listening server. `answer` plays the part for every request that is not for the list of models."""

    answer: Script
    url: str = ""
    models: bytes = field(default_factory=lambda: whole(200, json.dumps(MODELS).encode()))
    received: list[Exchange] = field(default_factory=list)

    def serve(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._converse, args=(connection,), daemon=True).start()

    def _converse(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError), connection.makefile("rb") as reader:
            while (exchange := _read(connection, reader)) is not None:
                if exchange.path.endswith("/models"):
                    exchange.send(self.models)
                elif exchange.path.endswith("/health"):
                    exchange.send(whole(200, b""))
                else:
                    self.received.append(exchange)
                    self.answer(exchange)
                    if exchange.closes:
                        return


def _read(connection: socket.socket, reader: Any) -> Exchange | None:
    first = reader.readline().decode().split()
    if len(first) < 2:
        return None
    headers = {}
    while (line := reader.readline().decode().strip()) != "":
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    body = reader.read(int(headers.get("content-length", 0)))
    return Exchange(connection, first[1], headers, json.loads(body) if body else {})


@contextlib.contextmanager
def scripted(answer: Script) -> Iterator[Scripted]:
    """A server on a free port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = Scripted(answer, f"http://127.0.0.1:{listener.getsockname()[1]}/v1")
        threading.Thread(target=server.serve, args=(listener,), daemon=True).start()
        yield server
        # Closing alone would leave the thread in accept.
        listener.shutdown(socket.SHUT_RDWR)
