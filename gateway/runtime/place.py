"""One place for a replica, as others see it: what is in it, and what they want of it; fills and empties nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Literal

from gateway.config import ModelSpec
from gateway.runtime.means import Household
from gateway.runtime.memory import Reservation
from gateway.runtime.messages import Loaded
from gateway.runtime.request import Request
from gateway.runtime.steward import Shortage
from gateway.runtime.tenancy import Leave, Tenancy
from gateway.runtime.worker import Worker

State = Literal["unloaded", "waiting", "loading", "ready", "failed"]


class Place:
    """Empty, or with one replica in it. Its keeper sets the attributes; the methods are for everybody.

    `otherwise` is its state while no worker is ready, `shortage` why it waits for memory, if it does. `wants_itself`
    says that it is to be filled though nobody asks, `is_recycling` that its worker left only to be replaced.
    """

    def __init__(self, spec: ModelSpec, household: Household, *, is_spare: bool) -> None:
        """A spare place is filled only while it `is_open`, and never at another model's cost."""
        self.tenancy: Tenancy | None = None
        self.otherwise: State = "unloaded"
        self.shortage: Shortage | None = None
        self.is_spare = is_spare
        self.is_open = not is_spare
        self.wants_itself = spec.preload and not is_spare
        self.is_recycling = False
        self._queue = household.queue
        self._steward = household.means.steward
        self._wake = asyncio.Event()

    @property
    def state(self) -> State:
        """Where the place stands; what it is while no worker is ready is set as it becomes so."""
        return "ready" if self.tenancy is not None and self.tenancy.is_ready else self.otherwise

    @property
    def is_filled(self) -> bool:
        """Whether a replica is there, be it still loading or ending."""
        return self.tenancy is not None

    @property
    def worker(self) -> Worker | None:
        """The process, if there is one."""
        return self.tenancy.replica.worker if self.tenancy is not None else None

    @property
    def inside(self) -> Mapping[int, Request]:
        """The requests in the worker."""
        return self.tenancy.replica.inside if self.tenancy is not None else {}

    @property
    def loaded(self) -> Loaded | None:
        """How the worker runs, once it does."""
        return self.tenancy.replica.loaded if self.tenancy is not None and self.tenancy.is_ready else None

    @property
    def reservation(self) -> Reservation | None:
        """The memory that the replica holds."""
        return self.tenancy.stay.reservation if self.tenancy is not None else None

    @property
    def is_missing(self) -> bool:
        """Whether a worker that should be there is not: never loaded yet, or lost."""
        return self.wants_itself and not self.is_recycling and self.state != "ready"

    @property
    def is_quiet(self) -> bool:
        """Whether the worker owes a sign of life."""
        return self.tenancy is not None and self.tenancy.replica.is_quiet

    @property
    def idle_s(self) -> float | None:
        """How long the worker has had nothing to do; None if it has, or if there is none."""
        return self.tenancy.idle_s if self.tenancy is not None else None

    @property
    def room(self) -> int:
        """How many more requests would be taken in at once; an unloaded place takes one, and loads for it."""
        if self.tenancy is not None and self.tenancy.is_ready:
            return self.tenancy.replica.room
        return int(self.state == "unloaded" and self.is_open)

    def want(self) -> None:
        """Load without waiting for a request."""
        self.wants_itself = True
        self._wake.set()

    def open(self) -> None:
        """Fill this spare place if requests still wait."""
        self.is_open = True
        self._wake.set()

    def close(self) -> None:
        """Empty this spare place."""
        self.is_open = False
        self.leave("spare")

    def leave(self, why: Leave) -> None:
        """Have the replica unload once nothing is inside."""
        if self.tenancy is not None:
            self.tenancy.leave(why)

    def wake(self) -> None:
        """A request came."""
        if self.tenancy is not None:
            self.tenancy.wake()
            return
        self._wake.set()
        if len(self._queue) == 1:
            self._steward.nudge()  # others may now have to go for it

    def check(self) -> None:
        """End a worker that gives no sign of life; called now and then."""
        if self.tenancy is not None:
            self.tenancy.replica.check()

    def drop(self, request: Request) -> None:
        """The caller of a request that may be inside has left."""
        if self.tenancy is not None and request.id in self.inside:
            self.tenancy.replica.drop(request)

    async def until_wanted(self) -> None:
        """Return once somebody wants it filled."""
        while not (self.is_open and (self.wants_itself or len(self._queue))):
            self._wake.clear()
            await self._wake.wait()
