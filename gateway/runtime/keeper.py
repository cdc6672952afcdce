"""Keeps one replica of a model alive: start its worker when wanted, feed it, judge it stuck, bury it, start over."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import structlog

from gateway.config import ModelSpec
from gateway.errors import GatewayError, InferenceFailed, ModelUnavailable, RequestTimeout, WorkerLost
from gateway.runtime import messages
from gateway.runtime.messages import Drop, FromWorker, Loaded, Pieces, Results, Run, Spent
from gateway.runtime.metrics import Metrics
from gateway.runtime.queue import BatchQueue, Budget
from gateway.runtime.request import Request
from gateway.runtime.worker import OFF_LOOP_BYTES, Nursery, Worker
from gateway.tasks import Answer, Piece

State = Literal["unloaded", "loading", "ready", "failed"]
FIRST_DELAY_S, LONGEST_DELAY_S = 0.25, 30.0
log = structlog.get_logger("gateway.model")


class Weights(Protocol):
    """Where a row's weights are on this machine."""

    def path(self, spec: ModelSpec) -> Path:
        """The folder or file to load; raises `ModelUnavailable` that says what to run."""

    def resolved(self, spec: ModelSpec) -> ModelSpec:
        """The row with its adapters as folders on this machine; raises as `path` does."""


@dataclass(frozen=True)
class Means:
    """What every model of a gateway shares."""

    weights: Weights
    nursery: Nursery
    metrics: Metrics


def backoff_s(failures: int) -> float:
    """Seconds to wait after that many failures in a row: doubling, bounded."""
    return float(min(LONGEST_DELAY_S, FIRST_DELAY_S * 2 ** max(0, failures - 1))) if failures else 0.0


class Keeper:
    """One replica. `run` lives as long as the model does; every request it takes from the queue is answered."""

    def __init__(
        self, spec: ModelSpec, queue: BatchQueue, means: Means, on_load_failed: Callable[[GatewayError], None]
    ) -> None:
        self.spec = spec
        self.state: State = "unloaded"
        self.loaded: Loaded | None = None
        self.inside: dict[int, Request] = {}
        self.worker: Worker | None = None
        self._queue = queue
        self._means = means
        self._on_load_failed = on_load_failed
        self._budget = Budget.of(spec)
        self._wake = asyncio.Event()
        self._busy = False
        self._fed_at = 0.0
        self._was_stuck = False
        self._failures = 0
        self._counts = means.metrics.inside.labels(spec.name), means.metrics.batch_items.labels(spec.name)

    def wake(self) -> None:
        """Something may have changed: a request came, a batch ended, the worker died."""
        self._wake.set()

    @property
    def room(self) -> int:
        """How many more requests would be taken in at once; an idle replica takes one, and loads for it."""
        if self.state != "ready":
            return 1 if self.state == "unloaded" and not self.inside else 0
        if self._streams:
            return self.spec.max_streams - len(self.inside)
        return 0 if self._busy else self.spec.max_batch_items

    async def run(self) -> None:
        """Keep the replica until cancelled; then end its worker."""
        try:
            while True:
                await self._until_wanted()
                await self._live_once()
        finally:
            await self._end_worker(grace_s=1.0)

    def drop(self, request: Request) -> None:
        """The caller of a request inside has left: a stream stops at its next step, a batch goes on."""
        if self.loaded is None or not self.loaded.streams or self.worker is None:
            return
        if self.inside.pop(request.id, None) is not None:
            self.worker.send(Drop(request.id))
            self._note_inside()
            self.wake()

    async def _until_wanted(self) -> None:
        while not (self.spec.preload or len(self._queue)):
            self._wake.clear()
            await self._wake.wait()

    async def _live_once(self) -> None:
        """Load, serve until the worker is lost, settle what was inside."""
        self.state = "loading"
        self.worker = worker = Worker(self.spec, self._receive, self.wake)
        try:
            try:
                files = await asyncio.to_thread(self._means.weights.path, self.spec) if self.spec.source else Path()
                if self.spec.loras:
                    worker.spec = await asyncio.to_thread(self._means.weights.resolved, self.spec)
            except GatewayError as error:
                await self._load_failed(error, delay_s=5.0 if self.spec.preload else 0.0)
                return
            try:
                self.loaded = await worker.start(self._means.nursery, files, canary=self.spec.preload)
            except GatewayError as error:
                self._failures += 1
                await self._load_failed(error, delay_s=backoff_s(self._failures))
                return
            self._note_loaded(self.loaded, worker.pid)
            await self._serve(worker)
            self._settle(worker)
            await self._end_worker(grace_s=0.0)
            await asyncio.sleep(backoff_s(self._failures - 1))
        except asyncio.CancelledError:
            self._fail_inside(ModelUnavailable(f"{self.spec.name} is shutting down"))
            raise

    async def _load_failed(self, error: GatewayError, delay_s: float) -> None:
        log.error("model not loaded", model=self.spec.name, reason=error.detail, retry_in_s=delay_s)
        self.state = "failed"
        error.retry_after_s = delay_s or None
        self._on_load_failed(error)
        await self._end_worker(grace_s=0.0)
        await asyncio.sleep(delay_s)
        self.state = "unloaded"

    def _note_loaded(self, loaded: Loaded, pid: int | None) -> None:
        self.state = "ready"
        metrics, name = self._means.metrics, self.spec.name
        metrics.workers.labels(name).inc()
        for part, seconds in loaded.seconds.items():
            metrics.load_seconds.labels(name, part).set(seconds)
        rounded = {part: round(seconds, 3) for part, seconds in loaded.seconds.items()}
        log.info("model loaded", model=name, worker=pid, served_by=loaded.served_by, seconds=rounded)

    async def _serve(self, worker: Worker) -> None:
        """Feed the worker until it is lost; a silent one is killed once its limit is over."""
        self._busy, self._was_stuck = False, False
        while not worker.is_lost:
            self._wake.clear()
            await self._feed(worker)
            try:
                async with asyncio.timeout(self._patience_s(worker)):
                    await self._wake.wait()
            except TimeoutError:
                if (patience := self._patience_s(worker)) is not None and patience <= 0:
                    self._was_stuck = True
                    worker.kill()
                    await worker.lost()

    def _patience_s(self, worker: Worker) -> float | None:
        """Seconds until the worker counts as stuck; None while it has nothing to do."""
        if not self.inside:
            return None
        since = max(self._fed_at, worker.heard_at) if self._streams else self._fed_at
        return since + self.spec.run_limit - time.monotonic()

    @property
    def _streams(self) -> bool:
        return self.loaded is not None and self.loaded.streams

    async def _feed(self, worker: Worker) -> None:
        if self._streams:
            budget = Budget(self.spec.max_streams - len(self.inside), 1 << 62)
            batch = (
                [] if any(r.alone for r in self.inside.values()) else self._queue.take(budget, busy=bool(self.inside))
            )
        else:
            batch = [] if self._busy else self._queue.take(self._budget)
        if not batch:
            return
        self._busy, self._fed_at = True, time.monotonic()
        self.inside |= {request.id: request for request in batch}
        self._note_inside()
        self._counts[1].observe(len(batch))
        run = Run([request.job for request in batch])
        if sum(request.size_bytes for request in batch) > OFF_LOOP_BYTES:
            worker.send_frame(await asyncio.to_thread(messages.to_frame, run))
        else:
            worker.send(run)

    def _note_inside(self) -> None:
        self._counts[0].set(len(self.inside))

    def _receive(self, message: FromWorker) -> None:
        """Hand on what the worker made. Its tokens count, whether or not their caller is still there."""
        if isinstance(message, Results):
            for result in message.results:
                self._meter(result.answer)
                self._finish(result)
            if message.idle:
                self._busy = False
                self._fail_inside(InferenceFailed("the engine gave no answer for this input"))
            self._note_inside()
            self.wake()
        elif isinstance(message, Pieces):
            for id, piece in message.pieces:
                if piece.is_last:
                    self._meter(piece)
                request = self.inside.get(id)
                if request is None:
                    continue
                request.add(piece)
                if piece.is_last:
                    del self.inside[id]
                    self._failures = 0
                    self._note_inside()
                    self.wake()
        elif isinstance(message, Spent):
            self._meter(message)

    def _meter(self, source: Answer | Piece | Spent | None) -> None:
        if source is not None and source.usage is not None:
            self._means.metrics.count_tokens(self.spec.name, source.usage)

    def _finish(self, result: messages.Result) -> None:
        request = self.inside.pop(result.id, None)
        if request is None:
            return
        if result.answer is not None:
            self._failures = 0
            request.succeed(result.answer)
        else:
            request.fail(result.failure.error() if result.failure else InferenceFailed())

    def _settle(self, worker: Worker) -> None:
        """Answer for what was inside a lost worker. Bystanders of a stuck batch run again, each alone."""
        self._failures += 1
        reason = "stuck" if self._was_stuck else "died"
        metrics = self._means.metrics
        metrics.restarts.labels(self.spec.name, reason).inc()
        metrics.workers.labels(self.spec.name).dec()
        log.error("worker lost", model=self.spec.name, worker=worker.pid, reason=reason, inside=len(self.inside))
        self.state, self.loaded = "unloaded", None
        if self._was_stuck:
            again = self._bystanders()
            for request in again:
                del self.inside[request.id]
                request.alone = True
            self._queue.put_back(again)
            self._fail_inside(RequestTimeout())
            return
        error = WorkerLost()
        # Alone inside, the request is the likely cause: a client that sends it again would kill again.
        error.should_retry = False if len(self.inside) == 1 else None
        self._fail_inside(error)

    def _bystanders(self) -> list[Request]:
        if len(self.inside) < 2:
            return []
        now = asyncio.get_running_loop().time()
        return [r for r in self.inside.values() if not (r.alone or r.started or r.is_over or r.deadline <= now)]

    def _fail_inside(self, error: GatewayError) -> None:
        for request in self.inside.values():
            request.fail(error)
        self.inside.clear()
        self._note_inside()

    async def _end_worker(self, grace_s: float) -> None:
        if (worker := self.worker) is not None:
            if self.loaded is not None:
                self._means.metrics.workers.labels(self.spec.name).dec()
                self.loaded = None
            await worker.stop(grace_s)
            self.worker = None
