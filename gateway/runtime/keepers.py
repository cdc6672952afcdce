"""The keepers of one model, spoken to as one; knows no queue and no answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import overload

from gateway.config import ModelSpec
from gateway.runtime.keeper import Keeper
from gateway.runtime.means import Household
from gateway.runtime.request import Request


class Keepers(Sequence[Keeper]):
    """One for each replica that the row allows; those beyond its least number keep spare places."""

    def __init__(self, spec: ModelSpec, household: Household) -> None:
        self._least = spec.replicas.min
        self._keepers = [
            Keeper(spec, household, is_spare=place >= spec.replicas.min) for place in range(spec.replicas.max)
        ]
        self._tasks: list[asyncio.Task[None]] = []
        self._is_stopping = False

    def __len__(self) -> int:
        return len(self._keepers)

    @overload
    def __getitem__(self, at: int) -> Keeper: ...
    @overload
    def __getitem__(self, at: slice) -> list[Keeper]: ...
    def __getitem__(self, at: int | slice) -> Keeper | list[Keeper]:
        return self._keepers[at]

    def start(self) -> None:
        """Begin to keep the places: preloaded ones load now, others with their first request. Once is enough."""
        if not self._tasks:
            self._tasks = [asyncio.create_task(each.run(), name=f"keeper:{each.spec.name}") for each in self]

    async def stop(self) -> None:
        """End the workers. A second call waits for the end of the first."""
        if not self._is_stopping:
            self._is_stopping = True
            for task in self._tasks:
                task.cancel()  # once: a second time would interrupt the end of a worker
        if self._tasks:
            await asyncio.wait(self._tasks)

    def want(self) -> None:
        """Load the least number of replicas without waiting for a request."""
        for keeper in self[: self._least]:
            keeper.want()

    def adopt(self, spec: ModelSpec) -> None:
        """Take over a row that differs only in what is said of the model."""
        for keeper in self:
            keeper.spec = spec

    def wake(self) -> None:
        """A request came."""
        for keeper in self:
            keeper.wake()

    def drop(self, request: Request) -> None:
        """The caller of a request that may be inside a worker has left."""
        for keeper in self:
            keeper.drop(request)

    def check(self) -> None:
        """End workers that give no sign of life; called now and then."""
        for keeper in self:
            keeper.check()

    def leave_idle(self, keep_s: float) -> None:
        """Unload the replicas that have had nothing to do for `keep_s`."""
        for keeper in self:
            if (idle_s := keeper.idle_s) is not None and idle_s >= keep_s:
                keeper.leave("idle")

    @property
    def state(self) -> str:
        """The best that is said of a place, or `silent` if a worker owes a sign of life."""
        if self.is_quiet:
            return "silent"
        states = {keeper.state for keeper in self}
        return next((state for state in ("ready", "loading", "waiting", "failed") if state in states), "unloaded")

    @property
    def is_quiet(self) -> bool:
        """Whether a worker owes a sign of life."""
        return any(keeper.is_quiet for keeper in self)

    @property
    def is_missed(self) -> bool:
        """Whether a worker that should be there is not, and no other is there in its place."""
        return not self.loaded_count and any(keeper.is_missing for keeper in self)

    @property
    def is_filled(self) -> bool:
        """Whether a replica is there, be it still loading or ending."""
        return any(keeper.is_filled for keeper in self)

    @property
    def loaded_count(self) -> int:
        """How many replicas can answer."""
        return sum(keeper.state == "ready" for keeper in self)

    @property
    def inside_count(self) -> int:
        """How many requests are in the workers."""
        return sum(len(keeper.inside) for keeper in self)

    @property
    def room(self) -> int:
        """How many more requests would be taken in at once."""
        return sum(keeper.room for keeper in self)

    @property
    def shortage(self) -> str | None:
        """Why a replica waits for memory, if one does."""
        return next((keeper.shortage.reason for keeper in self if keeper.shortage is not None), None)
