"""Sessions that listen: a reader of what the caller sends beside a listener; knows no protocol's messages."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

from gateway.api.live.listener import Listener
from gateway.api.live.session import Session
from gateway.api.live.socket import Socket, unknown
from gateway.api.live.sound import Sound
from gateway.api.live.turn import Reporter
from gateway.tasks import Usage
from gateway.tasks.speech_listening import Hearing


class ListeningSession(Session, Reporter):
    """Reads sound and commands while a listener follows what is said. Subclasses are the wire protocols.

    `parameters` are what every window is asked about with; `flush_command` is the protocol's name for hearing now what
    has come.
    """

    flush_command: ClassVar[str]
    parameters: dict[str, Any]
    sound: Sound
    end_silence_s: float | None
    socket: Socket

    @property
    def heard_s(self) -> float:
        """The sound that was heard in it so far."""
        return self.sound.heard_s

    def spent(self) -> Usage | None:
        """The price of its sound, each second once, however often the model was asked about it."""
        return self.till.listened(self.heard_s)

    async def opened(self) -> None:
        """The upgrade is accepted: a protocol may greet."""

    async def closed(self) -> None:
        """All sound is heard: a protocol may say goodbye."""

    async def run(self, socket: Socket) -> None:
        """Serve until the caller closes or says that no more will come."""
        self.socket = socket
        await self.opened()
        listener = Listener(self.sound, self._ask, self, self.end_silence_s)
        listening = asyncio.create_task(listener.run())
        reading = asyncio.create_task(self._read(socket))
        try:
            await asyncio.wait({listening, reading}, return_when=asyncio.FIRST_EXCEPTION)
            for task in (listening, reading):
                if task.done():
                    task.result()
            await listening
            await self.closed()
        finally:
            for task in (listening, reading):
                task.cancel()
            await asyncio.gather(listening, reading, return_exceptions=True)

    async def _read(self, socket: Socket) -> None:
        while True:
            message = await socket.receive()
            if isinstance(message, bytes):
                # An empty binary message is an older way to say that no more will come.
                if not message:
                    break
                await self.sound.add(message)
            elif not await self._obey(message):
                break
        await self.sound.finish()

    async def _obey(self, command: dict[str, Any]) -> bool:
        """Do what a text message says; false if it was the last. Raises `Closing` for one that does not exist."""
        match command["type"]:
            case "CloseStream":
                return False
            case self.flush_command:
                await self.sound.flush()
            case "KeepAlive":
                pass
            case _:
                raise unknown(command)
        return True

    async def _ask(self, window: bytes, known_s: float) -> Hearing:
        if not window:
            return Hearing(language="", duration=0.0, voice=[], words=None)
        values = {**self.parameters, "audio": window, "window": {"known_s": known_s}}
        answer = await self.infer(self.task.parse(values))
        return Hearing.model_validate_json(answer.body)
