"""Turn detection over WebSocket: each binary message is a turn so far, and gets one answer (docs/tasks/speech.md)."""

from __future__ import annotations

from typing import Any

import orjson

from gateway.api.choosing import Chosen
from gateway.api.live.session import Session
from gateway.api.live.socket import Socket, unknown
from gateway.errors import BadInput


class TurnSession(Session):
    """Answers in order, one question at a time; bad audio is told and spares the session."""

    def __init__(self, chosen: Chosen, query: dict[str, Any]) -> None:
        super().__init__(chosen, query)
        self.task.parse_raw(b"-", query)

    async def run(self, socket: Socket) -> None:
        """Serve until the caller closes."""
        while True:
            message = await socket.receive()
            if isinstance(message, bytes):
                await socket.send(await self._judge(message))
            elif message["type"] in ("Close", "CloseStream"):
                return
            elif message["type"] != "KeepAlive":
                raise unknown(message)

    async def _judge(self, audio: bytes) -> dict[str, Any]:
        try:
            answer = await self.infer(self.task.parse_raw(audio, self.query))
        except BadInput as error:
            return {"type": "Error", "code": error.code, "message": error.message(self.request_id)}
        self.note(answer.usage)
        found: dict[str, Any] = orjson.loads(answer.body)
        return found
