"""Aura: text in, audio out, as Deepgram's speaking protocol has it (docs/tasks/speech.md)."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from gateway.api.choosing import Chosen
from gateway.api.cost import check_input
from gateway.api.live.session import Session
from gateway.api.live.socket import POLICY, TOO_BIG, Closing, Socket, unknown
from gateway.errors import GatewayError
from gateway.tasks.form import to_values
from gateway.tasks.text_to_speech import MAX_CHARACTERS

MAX_FLUSHES = 64
# A caller who plays sound as it comes wants samples, not a file per sentence; Opus has no other form.
_IN_FILES = "opus"


class SpeakSession(Session):
    """Says what was sent since the last flush; text may go on coming meanwhile, within `MAX_CHARACTERS` unsaid."""

    def __init__(self, chosen: Chosen, query: dict[str, Any]) -> None:
        super().__init__(chosen, query)
        self._values = {"encoding": "linear16", **to_values(self.task.input, query)}
        if self._values["encoding"] != _IN_FILES:
            self._values.setdefault("container", "none")
        self.task.parse({"text": "-"}, self._values)
        self._text = ""
        self._unsaid = 0
        self._flushes = 0
        self._sequence = 0
        self._saying: asyncio.Task[None] | None = None

    async def run(self, socket: Socket) -> None:
        """Serve until the caller closes."""
        await socket.send({"type": "Metadata", "request_id": self.request_id, "model_name": self.model.spec.name})
        try:
            while await self._obey(await socket.receive(), socket):
                pass
            self._flush(socket)
            if self._saying is not None:
                await self._saying
        finally:
            await self._hush()

    async def _obey(self, message: bytes | dict[str, Any], socket: Socket) -> bool:
        """Do what the message says; false if it was the last."""
        if isinstance(message, bytes):
            raise unknown({"type": "of binary content"})
        match message["type"]:
            case "Speak":
                self._add(message.get("text"))
            case "Flush":
                self._flush(socket)
            case "Clear":
                self._text = ""
                await self._hush()
                self._unsaid = self._flushes = 0
                await socket.send({"type": "Cleared", "sequence_id": self._next()})
            case "Close":
                return False
            case "KeepAlive":
                pass
            case _:
                raise unknown(message)
        return True

    def _add(self, text: Any) -> None:
        if not isinstance(text, str):
            raise unknown({"type": "Speak without text"})
        self._text += text
        if len(self._text) + self._unsaid > MAX_CHARACTERS:
            raise Closing(TOO_BIG, f"more than {MAX_CHARACTERS} characters are waiting to be said")

    def _flush(self, socket: Socket) -> None:
        """Say the text after what is being said already."""
        if self._flushes >= MAX_FLUSHES:
            raise Closing(POLICY, f"more than {MAX_FLUSHES} flushes are waiting")
        text, self._text = self._text, ""
        self._unsaid += len(text)
        self._flushes += 1
        self._saying = asyncio.create_task(self._say(text, self._saying, socket))

    async def _say(self, text: str, before: asyncio.Task[None] | None, socket: Socket) -> None:
        if before is not None:
            await before
        try:
            if text:
                await self._speak(text, socket)
        except GatewayError as error:
            await socket.send({"type": "Error", "code": error.code, "message": error.message(self.request_id)})
        self._unsaid -= len(text)
        self._flushes -= 1
        await socket.send({"type": "Flushed", "sequence_id": self._next()})

    async def _speak(self, text: str, socket: Socket) -> None:
        input = self.task.parse({"text": text}, self._values)
        check_input(self.model.spec, self.chosen.caller.max_cost, input)
        async with contextlib.aclosing(self.model.stream(input, self.origin, self.task)) as pieces:
            async for piece in pieces:
                self.note(piece.usage if piece.is_last else None)
                if piece.data:
                    await socket.send(piece.data)

    async def _hush(self) -> None:
        """Stop what is being said and all that waits behind it."""
        if self._saying is not None:
            self._saying.cancel()
            await asyncio.gather(self._saying, return_exceptions=True)
            self._saying = None

    def _next(self) -> int:
        self._sequence += 1
        return self._sequence - 1
