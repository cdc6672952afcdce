"""One served model: a bounded queue and the keepers that empty it; upstream cannot tell where it runs."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator

import structlog

from gateway.config import ModelSpec
from gateway.errors import GatewayError, ModelNotFound, ModelUnavailable, Overloaded, RequestTimeout
from gateway.runtime import status
from gateway.runtime.keeper import Keeper
from gateway.runtime.means import Household, Means
from gateway.runtime.messages import Job
from gateway.runtime.open_requests import OpenRequests
from gateway.runtime.packing import packed
from gateway.runtime.queue import BatchQueue
from gateway.runtime.request import Request
from gateway.runtime.scaler import Scaler
from gateway.runtime.steward import Shortage
from gateway.runtime.timing import Timing
from gateway.tasks import Answer, Origin, Piece, Task, TaskInput

log = structlog.get_logger("gateway.model")


class Model:
    """Answers inputs. Every accepted one ends in an answer, an error, or its caller leaving."""

    def __init__(self, spec: ModelSpec, task: Task, means: Means) -> None:
        self.spec = spec
        self.task = task
        self._means = means
        self._queue = BatchQueue(spec.max_queue_items, spec.max_queue_bytes)
        house = Household(self._queue, means, self._loaded, self._load_failed, self._short_of_memory)
        places = range(spec.replicas.max)
        self._keepers = [Keeper(spec, house, is_spare=place >= spec.replicas.min) for place in places]
        self._scaler = Scaler(spec.replicas, self._queue, self._keepers)
        self._keep_s = spec.idle_unload_s
        self._tasks: list[asyncio.Task[None]] = []
        self._fault: GatewayError | None = None
        self._fault_until = 0.0
        self._refusal: str | None = None
        self._warmed: asyncio.Future[bool] | None = None
        self._closed: GatewayError | None = None
        self._successor: Model | None = None
        self._ended = False
        self._open = OpenRequests()

    def start(self) -> None:
        """Begin to keep the replicas: preloaded ones load now, others with their first request. Once is enough."""
        if self._tasks:
            return
        self._tasks = [asyncio.create_task(keeper.run(), name=f"keeper:{self.spec.name}") for keeper in self._keepers]

    def publish(self) -> None:
        """Let the metrics show this model under its name."""
        self._means.metrics.follow(
            self.spec.name, lambda: len(self._queue), lambda: sum(map(len, self._insides())), self._loaded_count
        )

    async def warm(self) -> bool:
        """Start, and load before any request. False if there is no room now; raises `GatewayError` if it fails."""
        self._warmed = asyncio.get_running_loop().create_future()
        self.start()
        for keeper in self._keepers[: self.spec.replicas.min]:
            keeper.want()
        return await self._warmed

    def adopt(self, spec: ModelSpec) -> None:
        """Take over a row that differs only in what is said of the model."""
        self.spec = spec
        for keeper in self._keepers:
            keeper.spec = spec

    def hand_over(self, successor: Model | None) -> None:
        """Take no more requests: they go to `successor`, or are told that there is no such model."""
        self._successor, self._closed = successor, ModelNotFound(self.spec.name)

    async def drained(self) -> None:
        """Return once every accepted request has its answer."""
        await self._open.none_left()

    async def stop(self, grace_s: float) -> None:
        """Refuse new requests, let accepted ones finish within `grace_s`, then end the workers.

        A second call waits for the end of the first.
        """
        self._closed = error = self._closed or ModelUnavailable(f"{self.spec.name} is shutting down")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                await self._open.none_left()
        if not self._ended:
            self._ended = True
            for request in self._queue:
                self._queue.discard(request)
                request.fail(error)
            for task in self._tasks:
                task.cancel()  # once: a second time would interrupt the end of a worker
        if self._tasks:
            await asyncio.wait(self._tasks)

    def keep_alive(self, seconds: float | None) -> None:
        """How long the model stays loaded after this request; None: as the row says, infinity: as long as it may."""
        if self._successor is not None:
            self._successor.keep_alive(seconds)
        self._keep_s = self.spec.idle_unload_s if seconds is None else seconds

    def tick(self) -> None:
        """Look after workers, places and idleness; called now and then."""
        for keeper in self._keepers:
            if keeper.replica is not None:
                keeper.replica.check()
        self._scaler.tick()
        if self._keep_s is None or self.spec.pin or self._open:
            return
        for keeper in self._keepers:
            if (idle_s := keeper.idle_s) is not None and idle_s >= self._keep_s:
                keeper.leave("idle")

    async def infer(
        self,
        input: TaskInput,
        origin: Origin,
        task: Task | None = None,
        *,
        waits: bool = True,
        timing: Timing | None = None,
    ) -> Answer:
        """The answer to `input`, in the form of `task`, another shape of the model's task, if it is given.

        `timing` learns where the time goes. Raises `GatewayError`, `Overloaded` also if the request would have to wait
        and `waits` is false; being cancelled withdraws the request.
        """
        if self._successor is not None:
            return await self._successor.infer(input, origin, task, waits=waits, timing=timing)
        request = await self._submit(input, origin, task, timing, stream=False, waits=waits)
        try:
            async with asyncio.timeout_at(request.deadline):
                return await request.answer
        except TimeoutError:
            raise RequestTimeout from None
        finally:
            self._withdraw(request)

    async def stream(
        self,
        input: TaskInput,
        origin: Origin,
        task: Task | None = None,
        *,
        waits: bool = True,
        timing: Timing | None = None,
    ) -> AsyncGenerator[Piece, None]:
        """The pieces of the answer, to the one that `is_last`. Raises as `infer` does, also before the first."""
        if self._successor is not None:
            following = self._successor.stream(input, origin, task, waits=waits, timing=timing)
            async with contextlib.aclosing(following) as pieces:
                async for piece in pieces:
                    yield piece
            return
        request = await self._submit(input, origin, task, timing, stream=True, waits=waits)
        try:
            while True:
                piece = await request.next_piece(self.spec.timeout_s)
                yield piece
                if piece.is_last:
                    return
        finally:
            self._withdraw(request)

    @property
    def state(self) -> str:
        """`stopping`, `silent`, `ready`, `loading`, `waiting` (for memory), `failed` or `unloaded`."""
        if self._closed is not None:
            return "stopping"
        if self.is_quiet:
            return "silent"
        states = {keeper.state for keeper in self._keepers}
        return next((state for state in ("ready", "loading", "waiting", "failed") if state in states), "unloaded")

    @property
    def is_quiet(self) -> bool:
        """Whether a worker owes a sign of life."""
        return any(keeper.is_quiet for keeper in self._keepers)

    @property
    def is_ready(self) -> bool:
        """Whether nothing is missing: a model that was let go, or that nobody has asked for yet, is not missed."""
        if self.is_quiet:
            return False
        return self._loaded_count() > 0 or not any(keeper.is_missing for keeper in self._keepers)

    @property
    def is_in_use(self) -> bool:
        """Whether it is loaded, or has requests."""
        return bool(self._open) or any(keeper.replica is not None for keeper in self._keepers)

    def status(self) -> dict[str, object]:
        """What an operator wants to know of it; memory in bytes by device."""
        described = status.describe(self.spec, self.state, self._keepers)
        return described | {"waiting": len(self._queue), "reason": self._reason()}

    def _reason(self) -> str | None:
        if self._fault is not None and self.state == "failed":
            return self._fault.detail
        shortage = next((keeper.shortage.reason for keeper in self._keepers if keeper.shortage is not None), None)
        return shortage or self._refusal

    def _loaded_count(self) -> int:
        return sum(keeper.state == "ready" for keeper in self._keepers)

    def _insides(self) -> list[dict[int, Request]]:
        return [keeper.inside for keeper in self._keepers]

    async def _submit(
        self, input: TaskInput, origin: Origin, task: Task | None, timing: Timing | None, *, stream: bool, waits: bool
    ) -> Request:
        self._refuse_if_unable()
        arriving = object()
        self._open.enter(arriving)
        try:
            extent = input.extent()
            values = await packed(input, extent)
            loop = asyncio.get_running_loop()
            shape, id = task.shape if task is not None else None, Request.next_id()
            job = Job(id, origin.request_id, stream, values, shape, origin.account, origin.model, origin.traceparent)
            session = f"{origin.account} {origin.affinity}" if origin.affinity else ""
            request = Request(job, extent, loop.time() + self.spec.timeout_s, session, timing)
            if self._closed is not None and self._ended:
                raise self._closed.fresh()
            if not waits and len(self._queue) >= sum(keeper.room for keeper in self._keepers):
                raise Overloaded
            self._queue.submit(request)
            request.timing.queue()
            self._open.enter(request)
        finally:
            self._open.leave(arriving)
        for keeper in self._keepers:
            keeper.wake()
        return request

    def _refuse_if_unable(self) -> None:
        if self._closed is not None:
            raise self._closed.fresh()
        is_cooling = self._fault is not None and asyncio.get_running_loop().time() < self._fault_until
        if self._fault is not None and is_cooling and not self._loaded_count():
            raise self._fault.fresh()
        if len(self._queue) >= self.spec.max_queue_items:
            raise Overloaded

    def _withdraw(self, request: Request) -> None:
        """Forget a request whose caller has its answer or has left."""
        request.abandon()
        self._open.leave(request)
        if not self._queue.discard(request):
            for keeper in self._keepers:
                if keeper.replica is not None and request.id in keeper.inside:
                    keeper.replica.drop(request)

    def _loaded(self) -> None:
        self._fault = self._refusal = None
        self._tell_warmed(True)

    def _load_failed(self, error: GatewayError) -> None:
        """Tell the waiting callers why, unless another replica can answer them."""
        self._fault = error
        self._fault_until = asyncio.get_running_loop().time() + (error.retry_after_s or 0.0)
        if self._warmed is not None and not self._warmed.done():
            self._warmed.set_exception(error.fresh())
        if self._loaded_count():
            return
        for request in self._queue:
            self._queue.discard(request)
            request.fail(error)

    def _short_of_memory(self, shortage: Shortage) -> float | None:
        """Refuse those who have waited long enough; seconds until the next has, None if nobody waits."""
        self._tell_warmed(False)
        now, patience_s = asyncio.get_running_loop().time(), self.spec.memory_patience_s
        for request in self._queue:
            left_s = patience_s if self._loaded_count() else request.accepted_at + patience_s - now
            if left_s > 0:
                return left_s
            self._queue.discard(request)
            request.fail(Overloaded())
            self._refusal = shortage.reason
            self._means.metrics.refusals.labels(self.spec.name).inc()
            log.warning("refused for want of memory", request_id=request.job.request_id, reason=shortage.reason)
        return None

    def _tell_warmed(self, is_loaded: bool) -> None:
        if self._warmed is not None and not self._warmed.done():
            self._warmed.set_result(is_loaded)
