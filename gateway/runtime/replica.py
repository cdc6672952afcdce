"""One worker's life from its start to its end, fed from a queue; knows neither memory nor what comes after."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import structlog

from gateway.config import ModelSpec
from gateway.errors import InferenceFailed, RequestTimeout, WorkerLost
from gateway.runtime import framing
from gateway.runtime.inside import Inside
from gateway.runtime.messages import Drop, FromWorker, Grown, Loaded, Pieces, Results, Run, Spent, Taken
from gateway.runtime.metrics import Metrics
from gateway.runtime.nursery import Nursery
from gateway.runtime.queue import BatchQueue, Budget
from gateway.runtime.request import Request
from gateway.runtime.worker import OFF_LOOP_BYTES, Worker

Loss = Literal["died", "stuck", "stopped", "silent"]
# An idle worker that owes a sign of life for this long is not ready; after the second time it is replaced.
QUIET_S, SILENT_S = 1.0, 5.0
log = structlog.get_logger("gateway.model")


class Replica:
    """Every request it takes from the queue is answered, given back to the queue, or failed by `settle`."""

    def __init__(self, spec: ModelSpec, queue: BatchQueue, metrics: Metrics, wake: Callable[[], None]) -> None:
        self.spec = spec
        self.inside = Inside(spec.name, metrics)
        self.loaded: Loaded | None = None
        self.usage = Taken()
        self.batches = 0
        self.loss: Loss = "died"
        self.worker = Worker(spec, self._receive, wake)
        self._queue = queue
        self._wake = wake
        self._budget = Budget.of(spec)
        self._busy = False
        self._fed_at = 0.0
        self._load_began_at = self._load_ended_at = 0.0
        self._batch_items = metrics.batch_items.labels(spec.name)

    async def start(self, nursery: Nursery, files: Path, device: str) -> Loaded:
        """Load; raises `ModelUnavailable` with the reason. Call `end` in any case."""
        self._load_began_at = time.monotonic()
        self.loaded = await self.worker.start(nursery, files, canary=self.spec.preload, device=device)
        self._budget = Budget.of(self.spec, pads=self.loaded.pads, enough=self.loaded.enough)
        self.usage = self.loaded.taken
        self._load_ended_at = self.inside.idle_since = time.monotonic()
        return self.loaded

    async def end(self, grace_s: float) -> None:
        """End the process, in whatever state it is."""
        await self.worker.stop(grace_s)

    @property
    def is_busy(self) -> bool:
        """Whether it has something to do, also for requests whose callers have left."""
        return bool(self.inside) or self._busy

    @property
    def room(self) -> int:
        """How many more requests would be taken in at once."""
        if self._streams:
            return self.spec.max_streams - len(self.inside)
        return 0 if self._busy else self.spec.max_batch_items

    @property
    def can_take(self) -> bool:
        """Whether it is loaded, alive, and has room for one more request."""
        return self.loaded is not None and not self.worker.is_lost and self.room > 0

    @property
    def is_quiet(self) -> bool:
        """Whether it has owed a sign of life for too long to count as ready."""
        return self.worker.silent_s > QUIET_S

    def check(self) -> None:
        """End a worker that was stopped from outside, or that is silent though it has nothing to do."""
        if self.worker.is_lost:
            return
        if self.worker.is_stopped:
            self._condemn("stopped")
        elif self.loaded is None:
            return
        elif self.worker.silent_s > SILENT_S and not self.is_busy:
            self._condemn("silent")
        elif not self.is_busy:
            self.worker.ping()

    def patience_s(self) -> float | None:
        """Seconds until the worker counts as stuck; None while it has nothing to do."""
        if not self.inside:
            return None
        since = max(self._fed_at, self.worker.heard_at) if self._streams else self._fed_at
        return since + self.spec.run_limit - time.monotonic()

    async def judge_stuck(self) -> None:
        """End the worker if its patience is over."""
        if (patience := self.patience_s()) is not None and patience <= 0:
            self._condemn("stuck")
            await self.worker.lost()

    def _condemn(self, loss: Loss) -> None:
        self.loss = loss
        self.worker.kill()

    @property
    def _streams(self) -> bool:
        return self.loaded is not None and self.loaded.streams

    async def feed(self) -> None:
        """Take what waits, as much as fits."""
        if self._streams:
            budget = Budget(self.spec.max_streams - len(self.inside), 1 << 62)
            has_loner = any(request.alone for request in self.inside.values())
            batch = [] if has_loner else self._queue.take(budget, busy=bool(self.inside), taker=self)
        else:
            batch = [] if self._busy else self._queue.take(self._budget)
        if not batch:
            return
        self._busy, self._fed_at = not self._streams, time.monotonic()
        self.batches += 1
        self.inside.add(batch)
        self._batch_items.observe(len(batch))
        together = len(self.inside) if self._streams else len(batch)
        for request in batch:
            request.timing.take(self._fed_at, together, self._load_began_at, self._load_ended_at)
        run = Run([request.job for request in batch])
        if sum(request.size_bytes for request in batch) > OFF_LOOP_BYTES:
            self.worker.send_frame(await asyncio.to_thread(framing.to_frame, run))
        else:
            self.worker.send(run)

    def drop(self, request: Request) -> None:
        """The caller of a request inside has left: a stream stops at its next step, a batch goes on."""
        if self._streams and self.inside.drop(request):
            self.worker.send(Drop(request.id))
            self._wake()

    def settle(self) -> None:
        """Answer for what was inside a lost worker.

        The bystanders of a stuck batch run again, each alone, and so does everything that was inside a worker that
        was stopped from outside: no input does that.
        """
        log.error(
            "worker lost", model=self.spec.name, worker=self.worker.pid, reason=self.loss, inside=len(self.inside)
        )
        if self.loss == "died":
            error = WorkerLost()
            # Alone inside, the request is the likely cause: a client that sends it again would kill again.
            error.should_retry = False if len(self.inside) == 1 else None
            self.inside.fail(error)
            return
        again = [] if self.loss == "stuck" and len(self.inside) < 2 else self.inside.take_out_bystanders()
        self._queue.put_back(again)
        self.inside.fail(RequestTimeout())

    def _receive(self, message: FromWorker) -> None:
        if isinstance(message, Results):
            self.inside.settle(message, self.worker.pid or 0)
            if message.idle:
                self._busy = False
                self.inside.fail(InferenceFailed("the engine gave no answer for this input"))
            self._wake()
        elif isinstance(message, Pieces):
            if self.inside.pass_on(message, self.worker.pid or 0):
                self._wake()
        elif isinstance(message, Spent):
            self.inside.meter(message)
        elif isinstance(message, Grown):
            self.usage = message.taken
            self._wake()
