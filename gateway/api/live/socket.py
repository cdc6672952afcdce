"""One accepted WebSocket, bounded in size and patience; knows no protocol."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
from starlette.websockets import WebSocket, WebSocketDisconnect

from gateway.errors import RequestAborted

MAX_FRAME_BYTES = 1 << 20
MAX_REASON_BYTES = 123
IDLE_S = 60.0
STALL_S = 30.0
NORMAL, POLICY, TOO_BIG, TROUBLE = 1000, 1008, 1009, 1011


def short(reason: str) -> str:
    """As much of `reason` as a close frame has room for, which is 123 bytes."""
    return reason.encode()[:MAX_REASON_BYTES].decode(errors="ignore")


class Closing(Exception):
    """The session is to end with this close code and a reason that the caller may see (RFC 6455, section 7.4)."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = short(reason)


class Socket:
    """Gives what the caller sends, message by message, and sends what it will take in time."""

    def __init__(self, websocket: WebSocket, idle_s: float = IDLE_S, stall_s: float = STALL_S) -> None:
        self._websocket = websocket
        self._idle_s = idle_s
        self._stall_s = stall_s

    async def receive(self) -> bytes | dict[str, Any]:
        """The next message: binary, or JSON with a `type`. Raises `Closing`, or `RequestAborted` if the caller left."""
        try:
            async with asyncio.timeout(self._idle_s):
                message = await self._websocket.receive()
        except TimeoutError:
            raise Closing(TROUBLE, f"nothing was sent for {self._idle_s:g} s") from None
        if message["type"] == "websocket.disconnect":
            raise RequestAborted
        content: bytes | str = message.get("bytes") or message.get("text") or b""
        if len(content) > MAX_FRAME_BYTES:
            raise Closing(TOO_BIG, f"a message must not have more than {MAX_FRAME_BYTES} bytes")
        return content if isinstance(content, bytes) else _command(content)

    async def send(self, message: dict[str, Any] | bytes) -> None:
        """Send JSON, or binary as it is. Raises `RequestAborted` if the caller left or takes nothing in time."""
        try:
            async with asyncio.timeout(self._stall_s):
                if isinstance(message, bytes):
                    await self._websocket.send_bytes(message)
                else:
                    await self._websocket.send_text(orjson.dumps(message).decode())
        except (TimeoutError, RuntimeError, OSError, WebSocketDisconnect):
            raise RequestAborted from None


def _command(text: str) -> dict[str, Any]:
    try:
        command = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise Closing(POLICY, "a text message must be JSON") from None
    if not isinstance(command, dict) or not isinstance(command.get("type"), str):
        raise Closing(POLICY, "a text message must be an object with a type")
    return command


def unknown(command: dict[str, Any]) -> Closing:
    """What to raise for a command that the protocol does not have."""
    return Closing(POLICY, f"unknown message type {command['type'][:40]}")
