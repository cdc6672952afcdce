"""HTTP by hand: requests as bytes, connections that break off anywhere, and what a process has open."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.server import ACCOUNT, Server

ALL_AT_ONCE = struct.pack("ii", 1, 0)


def head(model: str, framing: str) -> bytes:
    """The head of a request to the run route; `framing` says how long its body is."""
    return (
        f"POST /client/v4/accounts/{ACCOUNT}/ai/run/{model} HTTP/1.1\r\nhost: localhost\r\n"
        f"authorization: Bearer any\r\n{framing}\r\n\r\n"
    ).encode()


def request(model: str, fields: dict[str, Any]) -> bytes:
    """A whole request with a JSON body."""
    body = json.dumps(fields).encode()
    return head(model, f"content-length: {len(body)}") + body


def connect(server: Server, receive_bytes: int | None = None) -> socket.socket:
    """A connection that waits for each answer for a bounded time; its own buffer may be made small."""
    connection = socket.socket()
    if receive_bytes is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    connection.settimeout(30)
    connection.connect(("127.0.0.1", server.port))
    return connection


def leave(connection: socket.socket, *, rudely: bool) -> None:
    """Close, rudely with a reset (TCP RST) in place of an orderly end."""
    if rudely:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ALL_AT_ONCE)
    connection.close()


def rest_of(connection: socket.socket) -> bytes:
    """What the server still sends until it closes."""
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while more := connection.recv(65536):
            received += more
    return received


def trickle(connection: socket.socket, parts: Iterable[bytes], pause_s: float = 0.02) -> bytes:
    """Send part after part, with a pause after each in which to listen; all that the server says until it closes."""
    received = b""
    for part in parts:
        try:
            connection.settimeout(30)
            connection.sendall(part)
            connection.settimeout(pause_s)
            more = connection.recv(65536)
        except TimeoutError:
            continue
        except (BrokenPipeError, ConnectionResetError):
            return received
        if not more:
            return received
        received += more
    connection.settimeout(30)
    return received + rest_of(connection)


def status_of(answer: bytes) -> int:
    """The status of an answer, 0 if there is none."""
    return int(answer.split(b" ", 2)[1]) if answer else 0


def open_files(pid: int) -> int:
    """How many file descriptors a process has (proc_pid_fd(5))."""
    return len(open_names(pid))


def open_names(pid: int) -> list[str]:
    """What each file descriptor of a process leads to (proc_pid_fd(5))."""
    names = []
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed since it was listed
            names.append(os.readlink(link))
    return names
