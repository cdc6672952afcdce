"""One replica in its place, from the grant of its memory to its return; knows nothing of the replica after it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Literal

import structlog

from gateway.config import ModelSpec
from gateway.runtime import placement
from gateway.runtime.eviction import Candidate
from gateway.runtime.means import Household
from gateway.runtime.messages import Loaded
from gateway.runtime.replica import Replica
from gateway.runtime.stay import Stay
from gateway.runtime.steward import Grant

Leave = Literal["evicted", "idle", "spare", "outgrown"]
log = structlog.get_logger("gateway.model")


class Tenancy:
    """Holds memory from the beginning; `end` gives the process and the memory back, in whatever state it is."""

    def __init__(self, spec: ModelSpec, household: Household, grant: Grant) -> None:
        """From now on the steward knows of it, and may ask it to go once it is ready."""
        self.spec = spec
        self.is_ready = False
        self.leaving: Leave | None = None
        self._queue = household.queue
        self._means = household.means
        self._news = asyncio.Event()
        self._gone = asyncio.Event()
        self.stay = Stay(spec, self._means.steward, grant)
        self.replica = Replica(spec, self._queue, self._means.metrics, self.wake)
        self._means.steward.occupants.append(self)

    @property
    def is_lost(self) -> bool:
        """Whether the worker can answer no more."""
        return self.replica.worker.is_lost

    @property
    def idle_s(self) -> float | None:
        """How long the worker has had nothing to do; None if it has, or if it is not ready."""
        if not self.is_ready or self.replica.is_busy:
            return None
        return time.monotonic() - self.replica.inside.idle_since

    def wake(self) -> None:
        """Something may have changed: a request came, a batch ended, the worker died."""
        self._news.set()
        if not self.replica.is_busy:
            self._means.steward.nudge()  # it may now have to go for others

    async def load(self, files: Path, row: ModelSpec) -> Loaded:
        """Have a worker load `files` as `row` says; raises `ModelUnavailable` with the reason."""
        self.replica.worker.spec = row
        device = placement.engine_device(self.spec.device, self.stay.device, self._means.steward.gpus)
        loaded = await self.replica.start(self._means.nursery, files, device)
        await self.stay.settle_in(loaded)
        self.is_ready = True
        return loaded

    async def serve(self) -> None:
        """Feed the worker until it is lost, or has nothing inside and is to leave."""
        while not self.is_lost:
            self._news.clear()
            if self.leaving in ("idle", "spare") and len(self._queue):
                self.leaving = None
            if self.leaving is None:
                await self.replica.feed()
            elif not self.replica.is_busy:
                return
            if await self.stay.weigh(self.replica) and self.leaving is None:
                self.leave("outgrown")
                continue
            try:
                async with asyncio.timeout(self.replica.patience_s()):
                    await self._news.wait()
            except TimeoutError:
                await self.replica.judge_stuck()

    def leave(self, why: Leave) -> None:
        """Unload once nothing is inside; who waits in the queue goes on waiting."""
        if self.is_ready and self.leaving is None:
            self.leaving = why
            self._news.set()

    def candidate(self) -> Candidate[Tenancy] | None:
        """Itself, if it could be evicted now."""
        if (idle_s := self.idle_s) is None or self.leaving is not None or self.spec.pin or len(self._queue):
            return None
        return Candidate(self, dict(self.stay.reservation.held), self.stay.load_s, idle_s)

    def evict(self) -> Coroutine[Any, Any, object]:
        """As a candidate, leave to make room, from this call on; what it returns is done once the memory is back."""
        self.leave("evicted")
        return self._gone.wait()

    def account(self) -> None:
        """It was served, and is lost or leaves: count it, and answer for what was inside."""
        metrics, name, worker = self._means.metrics, self.spec.name, self.replica.worker
        if self.is_lost:
            metrics.restarts.labels(name, self.replica.loss).inc()
            self.replica.settle()
        elif self.leaving is not None:
            metrics.unloads.labels(name, self.leaving).inc()
            log.info("model unloaded", model=name, worker=worker.pid, reason=self.leaving)

    async def end(self, grace_s: float) -> None:
        """End the process if there is one, and only then give its memory back. Cancelled, it must be called again."""
        self.is_ready = False
        await self.replica.end(grace_s)
        self.stay.reservation.release()
        self._means.steward.occupants.remove(self)
        self._gone.set()
        self._means.steward.nudge()
