"""What all sessions have in common: a model to ask, and patience when it is busy; knows no wire protocol."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import Any

from gateway.api.choosing import Chosen
from gateway.api.live.socket import Socket
from gateway.errors import Overloaded
from gateway.runtime.pricing import Till
from gateway.tasks import Answer, TaskInput, Usage

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
