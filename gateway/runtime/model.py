"""One served model: a bounded queue and the keepers that empty it; upstream cannot tell where it runs."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator

from gateway.config import ModelSpec
from gateway.errors import GatewayError, ModelNotFound, ModelUnavailable, Overloaded, RequestTimeout
from gateway.runtime import status
from gateway.runtime.keepers import Keepers
from gateway.runtime.loads import Loads
from gateway.runtime.means import Household, Means
from gateway.runtime.messages import Job
from gateway.runtime.open_requests import OpenRequests
from gateway.runtime.packing import packed
from gateway.runtime.patience import Patience
from gateway.runtime.queue import BatchQueue
from gateway.runtime.request import Request
from gateway.runtime.scaler import Scaler
from gateway.runtime.timing import Timing
from gateway.tasks import Answer, Origin, Piece, Task, TaskInput


class Model:
    """Answers inputs. Every accepted one ends in an answer, an error, or its caller leaving."""

    def __init__(self, spec: ModelSpec, task: Task, means: Means) -> None:
        self.spec = spec
        self.task = task
        self._means = means
        self._queue = BatchQueue(spec.max_queue_items, spec.max_queue_bytes)
        self._loads = Loads(spec, self._queue, means.metrics, lambda: self._keepers.loaded_count > 0)
        self._keepers = Keepers(spec, Household(self._queue, means, self._loads))
        self._scaler = Scaler(spec.replicas, self._queue, self._keepers)
        self._keep_s = spec.idle_unload_s
        self._closed: GatewayError | None = None
        self._successor: Model | None = None
        self._ended = False
        self._open = OpenRequests()

    def start(self) -> None:
        """Begin to keep the replicas: preloaded ones load now, others with their first request. Once is enough."""
        self._keepers.start()

    def publish(self) -> None:
        """Let the metrics show this model under its name."""
        keepers = self._keepers
        self._means.metrics.follow(
            self.spec.name, lambda: len(self._queue), lambda: keepers.inside_count, lambda: keepers.loaded_count
        )

    async def warm(self) -> bool:
        """Start, and load before any request. False if there is no room now; raises `GatewayError` if it fails."""
        outcome = self._loads.next_outcome()
        self.start()
        self._keepers.want()
        return await outcome

    def adopt(self, spec: ModelSpec) -> None:
        """Take over a row that differs only in what is said of the model."""
        self.spec = spec
        self._keepers.adopt(spec)

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
        await self._keepers.stop()

    def keep_alive(self, seconds: float | None) -> None:
        """How long the model stays loaded after this request; None: as the row says, infinity: as long as it may."""
        if self._successor is not None:
            self._successor.keep_alive(seconds)
        self._keep_s = self.spec.idle_unload_s if seconds is None else seconds

    def tick(self) -> None:
        """Look after workers, places and idleness; called now and then."""
        self._keepers.check()
        self._scaler.tick()
        if self._keep_s is not None and not self.spec.pin and not self._open:
            self._keepers.leave_idle(self._keep_s)

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
        patience = Patience(self.spec.timeout_s)
        try:
            while True:
                piece = await request.next_piece(patience)
                yield piece
                if piece.is_last:
                    return
        finally:
            patience.close()
            self._withdraw(request)

    @property
    def state(self) -> str:
        """`stopping`, `silent`, `ready`, `loading`, `waiting` (for memory), `failed` or `unloaded`."""
        return "stopping" if self._closed is not None else self._keepers.state

    @property
    def is_quiet(self) -> bool:
        """Whether a worker owes a sign of life."""
        return self._keepers.is_quiet

    @property
    def is_ready(self) -> bool:
        """Whether nothing is missing: a model that was let go, or that nobody has asked for yet, is not missed."""
        return not self.is_quiet and not self._keepers.is_missed

    @property
    def is_in_use(self) -> bool:
        """Whether it is loaded, or has requests."""
        return bool(self._open) or self._keepers.is_filled

    def status(self) -> dict[str, object]:
        """What an operator wants to know of it; memory in bytes by device."""
        described = status.describe(self.spec, self.state, self._keepers)
        reason = self._loads.fault if self.state == "failed" else None
        reason = reason or self._keepers.shortage or self._loads.refusal
        return described | {"waiting": len(self._queue), "reason": reason}

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
            if not waits and len(self._queue) >= self._keepers.room:
                raise Overloaded
            self._queue.submit(request)
            request.timing.queue()
            self._open.enter(request)
        finally:
            self._open.leave(arriving)
        self._keepers.wake()
        return request

    def _refuse_if_unable(self) -> None:
        if self._closed is not None:
            raise self._closed.fresh()
        self._loads.refuse_if_failed()
        if len(self._queue) >= self.spec.max_queue_items:
            raise Overloaded

    def _withdraw(self, request: Request) -> None:
        """Forget a request whose caller has its answer or has left."""
        request.abandon()
        self._open.leave(request)
        if not self._queue.discard(request):
            self._keepers.drop(request)
