"""The keepers of one model and their places, spoken to as one; knows no queue and no answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import overload

from gateway.config import ModelSpec
from gateway.runtime.keeper import Keeper
from gateway.runtime.means import Household
from gateway.runtime.place import Place
from gateway.runtime.request import Request


class Keepers(Sequence[Place]):
    """A place for each replica that the row allows, with a keeper; those beyond the least number are spare."""

    def __init__(self, spec: ModelSpec, household: Household) -> None:
        self._least = spec.replicas.min
        self._keepers = [
            Keeper(spec, household, is_spare=place >= spec.replicas.min) for place in range(spec.replicas.max)
        ]
        self._places = [keeper.place for keeper in self._keepers]
        self._tasks: list[asyncio.Task[None]] = []
        self._is_stopping = False

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, at: int) -> Place: ...
    @overload
    def __getitem__(self, at: slice) -> list[Place]: ...
    def __getitem__(self, at: int | slice) -> Place | list[Place]:
        return self._places[at]

    def start(self) -> None:
        """Begin to keep the places: preloaded ones load now, others with their first request. Once is enough."""
        if not self._tasks:
            self._tasks = [asyncio.create_task(each.run(), name=f"keeper:{each.spec.name}") for each in self._keepers]

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
        for place in self[: self._least]:
            place.want()

    def adopt(self, spec: ModelSpec) -> None:
        """Take over a row that differs only in what is said of the model."""
        for keeper in self._keepers:
            keeper.spec = spec

    def wake(self) -> None:
        """A request came."""
        for place in self:
            place.wake()

    def drop(self, request: Request) -> None:
        """The caller of a request that may be inside a worker has left."""
        for place in self:
            place.drop(request)

    def check(self) -> None:
        """End workers that give no sign of life; called now and then."""
        for place in self:
            place.check()

    def leave_idle(self, keep_s: float) -> None:
        """Unload the replicas that have had nothing to do for `keep_s`."""
        for place in self:
            if (idle_s := place.idle_s) is not None and idle_s >= keep_s:
                place.leave("idle")

    @property
    def state(self) -> str:
        """The best that is said of a place, or `silent` if a worker owes a sign of life."""
        if self.is_quiet:
            return "silent"
        states = {place.state for place in self}
        return next((state for state in ("ready", "loading", "waiting", "failed") if state in states), "unloaded")

    @property
    def is_quiet(self) -> bool:
        """Whether a worker owes a sign of life."""
        return any(place.is_quiet for place in self)

    @property
    def is_missed(self) -> bool:
        """Whether a worker that should be there is not, and no other is there in its place."""
        return not self.loaded_count and any(place.is_missing for place in self)

    @property
    def is_filled(self) -> bool:
        """Whether a replica is there, be it still loading or ending."""
        return any(place.is_filled for place in self)

    @property
    def loaded_count(self) -> int:
        """How many replicas can answer."""
        return sum(place.state == "ready" for place in self)

    @property
    def inside_count(self) -> int:
        """How many requests are in the workers."""
        return sum(len(place.inside) for place in self)

    @property
    def room(self) -> int:
        """How many more requests would be taken in at once."""
        return sum(place.room for place in self)

    @property
    def shortage(self) -> str | None:
        """Why a replica waits for memory, if one does."""
        return next((place.shortage.reason for place in self if place.shortage is not None), None)
