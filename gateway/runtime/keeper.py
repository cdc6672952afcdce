"""Keeps one place for a replica: load when wanted, serve, let go, bury, start over; knows no batch."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Literal

import structlog

from gateway.config import ModelSpec
from gateway.errors import GatewayError, ModelUnavailable
from gateway.runtime import placement
from gateway.runtime.backoff import backoff_s
from gateway.runtime.eviction import Candidate
from gateway.runtime.means import Household
from gateway.runtime.messages import Loaded
from gateway.runtime.replica import Replica
from gateway.runtime.request import Request
from gateway.runtime.stay import Stay
from gateway.runtime.steward import Grant, Shortage
from gateway.runtime.worker import Worker

State = Literal["unloaded", "waiting", "loading", "ready", "failed"]
Leave = Literal["evicted", "idle", "spare", "outgrown"]
STOP_S = 1.0
log = structlog.get_logger("gateway.model")


class Keeper:
    """One place for a replica. `run` lives as long as the model does and leaves no process and no reservation."""

    def __init__(self, spec: ModelSpec, household: Household, *, is_spare: bool) -> None:
        """A spare place is filled only while it `is_open`, and never at another model's cost."""
        self.spec = spec
        self.state: State = "unloaded"
        self.shortage: Shortage | None = None
        self.is_open = not is_spare
        self.stay: Stay | None = None
        self.replica: Replica | None = None
        self._is_spare = is_spare
        self._house = household
        self._means = household.means
        self._wake = asyncio.Event()
        self._gone = asyncio.Event()
        self._gone.set()
        self._wants_itself = spec.preload and not is_spare
        self._recycling = False
        self._leaving: Leave | None = None
        self._failures = 0

    @property
    def worker(self) -> Worker | None:
        """The process, if there is one."""
        return self.replica.worker if self.replica is not None else None

    @property
    def inside(self) -> dict[int, Request]:
        """The requests in the worker."""
        return self.replica.inside if self.replica is not None else {}

    @property
    def loaded(self) -> Loaded | None:
        """How the worker runs, once it does."""
        return self.replica.loaded if self.replica is not None and self.state == "ready" else None

    @property
    def is_missing(self) -> bool:
        """Whether a worker that should be there is not: never loaded yet, or lost."""
        return self._wants_itself and not self._recycling and self.state != "ready"

    @property
    def is_quiet(self) -> bool:
        """Whether the worker owes a sign of life."""
        return self.replica is not None and self.replica.is_quiet

    @property
    def idle_s(self) -> float | None:
        """How long the worker has had nothing to do; None if it has, or if there is none."""
        if self.replica is None or self.state != "ready" or self.replica.is_busy:
            return None
        return time.monotonic() - self.replica.idle_since

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

    def wake(self) -> None:
        """Something may have changed: a request came, a batch ended, the worker died."""
        self._wake.set()
        if self.replica is None:
            may_move = len(self._house.queue) == 1  # others may now have to go for it
        else:
            may_move = not self.replica.is_busy  # it may now have to go for others
        if may_move:
            self._means.steward.nudge()

    @property
    def room(self) -> int:
        """How many more requests would be taken in at once; an unloaded place takes one, and loads for it."""
        if self.state == "ready" and self.replica is not None:
            return self.replica.room
        return int(self.state == "unloaded" and self.is_open)

    async def run(self) -> None:
        """Keep the place until cancelled; then end the worker."""
        self._means.steward.occupants.append(self)
        try:
            while True:
                await self._until_wanted()
                try:
                    await self._live_once()
                except Exception:
                    log.exception("keeper failed", model=self.spec.name)
                    await self._load_failed(ModelUnavailable(f"{self.spec.name} failed; the log has the reason"))
        finally:
            self._means.steward.occupants.remove(self)

    def leave(self, why: Leave) -> None:
        """Unload once nothing is inside; who waits in the queue goes on waiting."""
        if self.state == "ready" and self._leaving is None:
            self._leaving = why
            self._gone.clear()
            self._wake.set()

    def candidate(self) -> Candidate[Keeper] | None:
        """Itself, if it could be evicted now."""
        idle_s, stay = self.idle_s, self.stay
        if idle_s is None or stay is None or self._leaving is not None or self.spec.pin or len(self._house.queue):
            return None
        return Candidate(self, dict(stay.reservation.held), stay.load_s, idle_s)

    def evict(self) -> Coroutine[Any, Any, object]:
        """Leave to make room, from this call on; what it returns is done once the memory is given back."""
        self.leave("evicted")
        if self._leaving is not None:
            self._leaving = "evicted"
            self._gone.clear()
        return self._gone.wait()

    async def _until_wanted(self) -> None:
        while not (self.is_open and (self._wants_itself or len(self._house.queue))):
            self._wake.clear()
            await self._wake.wait()

    async def _live_once(self) -> None:
        """Find files and room, load, serve until the worker is lost or let go."""
        try:
            found = await self._find()
            if found is None or (grant := await self._room(found[0])) is None:
                return
            self.stay = Stay(self.spec, self._means.steward, grant)
            self.replica = replica = Replica(self.spec, self._house.queue, self._means.metrics, self.wake)
            replica.worker.spec = found[1]
            if await self._load(replica, self.stay, found[0]):
                await self._serve(replica, self.stay)
                await self._part(replica)
        except BaseException:
            if self.replica is not None:
                self.replica.fail_inside(ModelUnavailable(f"{self.spec.name} is shutting down"))
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
        self.state = "waiting"
        steward = self._means.steward
        try:
            while True:
                seen = steward.news
                found = await steward.seek(self, files, may_evict=self._may_evict)
                if isinstance(found, Grant):
                    return found
                if self._is_spare:
                    self.is_open = False
                    return None
                if self.shortage is None:
                    log.warning("waiting for memory", model=self.spec.name, reason=found.reason)
                self.shortage = found
                left_s = self._house.on_shortage(found)
                if left_s is None and not self._wants_itself:
                    return None
                await steward.change(seen, left_s)
        except GatewayError as error:
            await self._load_failed(error)
            return None
        finally:
            self.shortage = None
            if self.state == "waiting":
                self.state = "unloaded"

    async def _load(self, replica: Replica, stay: Stay, files: Path) -> bool:
        self.state = "loading"
        device = placement.engine_device(self.spec.device, stay.device, self._means.steward.gpus)
        try:
            loaded = await replica.start(self._means.nursery, files, device)
        except GatewayError as error:
            await self._load_failed(error)
            return False
        await stay.settle_in(loaded)
        self._note_loaded(loaded, replica.worker.pid)
        return True

    async def _load_failed(self, error: GatewayError, delay_s: float | None = None) -> None:
        """Tell why, and wait before the next try: longer each time, unless it is said how long."""
        if delay_s is None:
            self._failures += 1
            delay_s = backoff_s(self._failures)
        log.error("model not loaded", model=self.spec.name, reason=error.detail, retry_in_s=delay_s)
        self.state = "failed"
        error.retry_after_s = delay_s or None
        self._house.on_load_failed(error)
        await self._clear(0.0)
        await asyncio.sleep(delay_s)
        self.state = "unloaded"

    def _note_loaded(self, loaded: Loaded, pid: int | None) -> None:
        self.state, self._wants_itself, self._recycling = "ready", self.spec.preload and not self._is_spare, False
        self._house.on_loaded()
        self._means.steward.nudge()
        self._means.metrics.observe_load(self.spec.name, loaded.seconds)
        rounded = {part: round(seconds, 3) for part, seconds in loaded.seconds.items()}
        log.info("model loaded", model=self.spec.name, worker=pid, served_by=loaded.served_by, seconds=rounded)

    async def _serve(self, replica: Replica, stay: Stay) -> None:
        """Feed the worker until it is lost, or has nothing inside and is to leave."""
        while not replica.worker.is_lost:
            self._wake.clear()
            if self._leaving in ("idle", "spare") and len(self._house.queue):
                self._leaving = None
            if self._leaving is None:
                await replica.feed()
            elif not replica.is_busy:
                return
            if await stay.weigh(replica) and self._leaving is None:
                self.leave("outgrown")
                continue
            try:
                async with asyncio.timeout(replica.patience_s()):
                    await self._wake.wait()
            except TimeoutError:
                await replica.judge_stuck()

    async def _part(self, replica: Replica) -> None:
        """Account for the end of a served replica, and end it."""
        metrics, name = self._means.metrics, self.spec.name
        self._failures = 0 if replica.has_served else self._failures
        if replica.worker.is_lost:
            self._failures += 1
            metrics.restarts.labels(name, replica.loss).inc()
            replica.settle()
        elif self._leaving is not None:
            metrics.unloads.labels(name, self._leaving).inc()
            log.info("model unloaded", model=name, worker=replica.worker.pid, reason=self._leaving)
            self._wants_itself = self._recycling = self._leaving == "outgrown"
            self._failures = 0
        self.state = "unloaded"
        await self._clear(0.0 if replica.worker.is_lost else STOP_S)
        await asyncio.sleep(backoff_s(self._failures - 1))

    async def _clear(self, grace_s: float) -> None:
        """End the process if there is one, and only then give its memory back. Cancelled, it must be called again."""
        if self.replica is not None:
            await self.replica.end(grace_s)
        if self.stay is not None:
            self.stay.reservation.release()
        self.replica = self.stay = self._leaving = None
        self._gone.set()
        self._means.steward.nudge()
