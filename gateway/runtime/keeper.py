"""Keeps one place for a replica: fill it when wanted, tell how that went, start over; knows no batch."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Literal

import structlog

from gateway.config import ModelSpec
from gateway.errors import GatewayError, ModelUnavailable
from gateway.runtime.backoff import backoff_s
from gateway.runtime.means import Household
from gateway.runtime.memory import Reservation
from gateway.runtime.messages import Loaded
from gateway.runtime.request import Request
from gateway.runtime.steward import Grant, Shortage
from gateway.runtime.tenancy import Leave, Tenancy
from gateway.runtime.worker import Worker

State = Literal["unloaded", "waiting", "loading", "ready", "failed"]
STOP_S = 1.0
log = structlog.get_logger("gateway.model")


class Keeper:
    """One place for a replica. `run` lives as long as the model does and leaves no process and no reservation."""

    def __init__(self, spec: ModelSpec, household: Household, *, is_spare: bool) -> None:
        """A spare place is filled only while it `is_open`, and never at another model's cost."""
        self.spec = spec
        self.shortage: Shortage | None = None
        self.is_open = not is_spare
        self._is_spare = is_spare
        self._house = household
        self._means = household.means
        self._tenancy: Tenancy | None = None
        self._otherwise: State = "unloaded"
        self._wake = asyncio.Event()
        self._wants_itself = spec.preload and not is_spare
        self._recycling = False
        self._failures = 0

    @property
    def state(self) -> State:
        """Where the place stands; what it is while no worker is ready is set as it becomes so."""
        return "ready" if self._tenancy is not None and self._tenancy.is_ready else self._otherwise

    @property
    def is_filled(self) -> bool:
        """Whether a replica is there, be it still loading or ending."""
        return self._tenancy is not None

    @property
    def worker(self) -> Worker | None:
        """The process, if there is one."""
        return self._tenancy.replica.worker if self._tenancy is not None else None

    @property
    def inside(self) -> dict[int, Request]:
        """The requests in the worker."""
        return self._tenancy.replica.inside if self._tenancy is not None else {}

    @property
    def loaded(self) -> Loaded | None:
        """How the worker runs, once it does."""
        return self._tenancy.replica.loaded if self._tenancy is not None and self._tenancy.is_ready else None

    @property
    def reservation(self) -> Reservation | None:
        """The memory that the replica holds."""
        return self._tenancy.stay.reservation if self._tenancy is not None else None

    @property
    def is_missing(self) -> bool:
        """Whether a worker that should be there is not: never loaded yet, or lost."""
        return self._wants_itself and not self._recycling and self.state != "ready"

    @property
    def is_quiet(self) -> bool:
        """Whether the worker owes a sign of life."""
        return self._tenancy is not None and self._tenancy.replica.is_quiet

    @property
    def idle_s(self) -> float | None:
        """How long the worker has had nothing to do; None if it has, or if there is none."""
        return self._tenancy.idle_s if self._tenancy is not None else None

    @property
    def room(self) -> int:
        """How many more requests would be taken in at once; an unloaded place takes one, and loads for it."""
        if self._tenancy is not None and self._tenancy.is_ready:
            return self._tenancy.replica.room
        return int(self.state == "unloaded" and self.is_open)

    def want(self) -> None:
        """Load without waiting for a request."""
        self._wants_itself = True
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
        if self._tenancy is not None:
            self._tenancy.leave(why)

    def wake(self) -> None:
        """A request came."""
        if self._tenancy is not None:
            self._tenancy.wake()
            return
        self._wake.set()
        if len(self._house.queue) == 1:
            self._means.steward.nudge()  # others may now have to go for it

    def check(self) -> None:
        """End a worker that gives no sign of life; called now and then."""
        if self._tenancy is not None:
            self._tenancy.replica.check()

    def drop(self, request: Request) -> None:
        """The caller of a request that may be inside has left."""
        if self._tenancy is not None and request.id in self.inside:
            self._tenancy.replica.drop(request)

    async def run(self) -> None:
        """Keep the place until cancelled; then end the worker."""
        while True:
            await self._until_wanted()
            try:
                await self._fill_once()
            except Exception:
                log.exception("keeper failed", model=self.spec.name)
                await self._load_failed(ModelUnavailable(f"{self.spec.name} failed; the log has the reason"))

    async def _until_wanted(self) -> None:
        while not (self.is_open and (self._wants_itself or len(self._house.queue))):
            self._wake.clear()
            await self._wake.wait()

    async def _fill_once(self) -> None:
        """Find files and room, load, serve until the worker is lost or let go."""
        found = await self._find()
        if found is None or (grant := await self._room(found[0])) is None:
            return
        self._tenancy = tenancy = Tenancy(self.spec, self._house, grant)
        try:
            if await self._load(tenancy, *found):
                await tenancy.serve()
                await self._part(tenancy)
        except BaseException:
            tenancy.replica.fail_inside(ModelUnavailable(f"{self.spec.name} is shutting down"))
            raise
        finally:
            await self._clear(STOP_S)

    async def _find(self) -> tuple[Path, ModelSpec] | None:
        try:
            return await self._means.find(self.spec)
        except GatewayError as error:
            await self._load_failed(error, delay_s=5.0 if self.spec.preload else 0.0)
            return None

    @property
    def _may_evict(self) -> bool:
        """Only for requests that wait: neither a spare nor a preload is worth another model's place."""
        return not self._is_spare and len(self._house.queue) > 0

    async def _room(self, files: Path) -> Grant | None:
        """Room for one replica; None when nobody wants it any more."""
        self._otherwise = "waiting"
        steward = self._means.steward
        try:
            while True:
                seen = steward.news
                found = await steward.seek(self.spec, files, may_evict=self._may_evict)
                if isinstance(found, Grant):
                    return found
                if self._is_spare:
                    self.is_open = False
                    return None
                if self.shortage is None:
                    log.warning("waiting for memory", model=self.spec.name, reason=found.reason)
                self.shortage = found
                left_s = self._house.loads.short_of_memory(found)
                if left_s is None and not self._wants_itself:
                    return None
                await steward.change(seen, left_s)
        except GatewayError as error:
            await self._load_failed(error)
            return None
        finally:
            self.shortage = None
            self._otherwise = "unloaded"

    async def _load(self, tenancy: Tenancy, files: Path, row: ModelSpec) -> bool:
        self._otherwise = "loading"
        try:
            loaded = await tenancy.load(files, row)
        except GatewayError as error:
            await self._load_failed(error)
            return False
        self._otherwise, self._wants_itself = "unloaded", self.spec.preload and not self._is_spare
        self._recycling = False
        self._house.loads.succeeded()
        self._means.steward.nudge()
        self._means.metrics.observe_load(self.spec.name, loaded.seconds)
        pid, seconds = tenancy.replica.worker.pid, {part: round(took, 3) for part, took in loaded.seconds.items()}
        log.info("model loaded", model=self.spec.name, worker=pid, served_by=loaded.served_by, seconds=seconds)
        return True

    async def _load_failed(self, error: GatewayError, delay_s: float | None = None) -> None:
        """Tell why, and wait before the next try: longer each time, unless it is said how long."""
        if delay_s is None:
            self._failures += 1
            delay_s = backoff_s(self._failures)
        log.error("model not loaded", model=self.spec.name, reason=error.detail, retry_in_s=delay_s)
        self._otherwise = "failed"
        error.retry_after_s = delay_s or None
        self._house.loads.failed(error)
        await self._clear(0.0)
        await asyncio.sleep(delay_s)
        self._otherwise = "unloaded"

    async def _part(self, tenancy: Tenancy) -> None:
        """End a replica that was served; whether it is missed, and when to try again, depends on why."""
        if tenancy.is_lost:
            self._failures = 1 if tenancy.replica.has_served else self._failures + 1
        else:
            self._failures = 0
            self._wants_itself = self._recycling = tenancy.leaving == "outgrown"
        tenancy.account()
        await self._clear(0.0 if tenancy.is_lost else STOP_S)
        await asyncio.sleep(backoff_s(self._failures - 1))

    async def _clear(self, grace_s: float) -> None:
        """End the replica if there is one. Cancelled, it must be called again."""
        if self._tenancy is not None:
            await self._tenancy.end(grace_s)
            self._tenancy = None
