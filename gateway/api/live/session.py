"""What sessions have in common: a model to ask, patience when it is busy, and a reader beside a listener."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import Any, ClassVar

from gateway.api.choosing import Chosen
from gateway.api.live.listener import Listener, Reporter
from gateway.api.live.socket import Socket, unknown
from gateway.api.live.sound import Sound
from gateway.errors import Overloaded
from gateway.runtime.pricing import Till
from gateway.tasks import Answer, TaskInput, Usage
from gateway.tasks.speech_listening import Hearing

RETRY_S = 0.25


class Session(ABC):
    """One conversation with one model, from the accepted upgrade to the close.

    `neurons` are what its answers would have cost, as the worker told with them; None if it told nothing.
    """

    def __init__(self, chosen: Chosen, query: dict[str, Any]) -> None:
        """Raises `BadInput` for parameters that do not fit; nothing is accepted then."""
        self.chosen = chosen
        self.model = chosen.model
        self.task = chosen.task
        self.origin = chosen.origin
        self.query = query
        self.request_id = chosen.origin.request_id
        self.till = Till(chosen.model.spec)
        self.neurons: float | None = None

    @abstractmethod
    async def run(self, socket: Socket) -> None:
        """Serve until the conversation is over. Raises `Closing` or `GatewayError` for the way it ends."""

    @property
    def heard_s(self) -> float | None:
        """The sound that was heard in it so far; None if it does not listen."""
        return None

    def spent(self) -> Usage | None:
        """What it has cost so far that no worker has told; None if that is nothing, or nobody knows."""
        return None

    def note(self, usage: Usage | None) -> None:
        """Add what an answer has cost."""
        if usage is not None and usage.neurons is not None:
            self.neurons = (self.neurons or 0.0) + usage.neurons

    async def infer(self, input: TaskInput) -> Answer:
        """The model's answer; a full queue is waited out, because the session has nothing better to do."""
        deadline = asyncio.get_running_loop().time() + self.model.spec.timeout_s
        while True:
            try:
                return await self.model.infer(input, self.origin, self.task)
            except Overloaded:
                if asyncio.get_running_loop().time() > deadline:
                    raise
                await asyncio.sleep(RETRY_S)


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
