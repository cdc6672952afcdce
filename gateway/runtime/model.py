"""One served model: a bounded queue and the keepers that empty it; upstream cannot tell where it runs."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator

import msgspec
import structlog

from gateway.config import ModelSpec
from gateway.errors import GatewayError, ModelUnavailable, Overloaded, RequestTimeout
from gateway.runtime import messages
from gateway.runtime.keeper import Keeper, Means
from gateway.runtime.messages import Job
from gateway.runtime.queue import BatchQueue
from gateway.runtime.request import Request
from gateway.runtime.worker import OFF_LOOP_BYTES
from gateway.tasks import Answer, Origin, Piece, Task, TaskInput

log = structlog.get_logger("gateway.model")
# How much of an input is certainly small enough to be packed on the event loop, in units of its extent.
_SURELY_SMALL = OFF_LOOP_BYTES // 16


class Model:
    """Answers inputs. Every accepted one ends in an answer, an error, or its caller leaving."""

    def __init__(self, spec: ModelSpec, task: Task, means: Means) -> None:
        self.spec = spec
        self.task = task
        self._means = means
        self._queue = BatchQueue(spec.max_queue_items, spec.max_queue_bytes)
        self._keepers = [Keeper(spec, self._queue, means, self._load_failed) for _ in range(spec.replicas)]
        self._tasks: list[asyncio.Task[None]] = []
        self._fault: GatewayError | None = None
        self._fault_until = 0.0
        self._stopping = False
        self._open: set[Request] = set()
        self._empty = asyncio.Event()
        self._empty.set()
        means.metrics.waiting.labels(spec.name).set_function(lambda: len(self._queue))

    def start(self) -> None:
        """Begin to keep the replicas: preloaded ones load now, others with their first request."""
        self._tasks = [asyncio.create_task(keeper.run(), name=f"keeper:{self.spec.name}") for keeper in self._keepers]

    async def stop(self, grace_s: float) -> None:
        """Refuse new requests, let accepted ones finish within `grace_s`, then end the workers."""
        self._stopping = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                await self._empty.wait()
        error = ModelUnavailable(f"{self.spec.name} is shutting down")
        for request in self._queue:
            self._queue.discard(request)
            request.fail(error)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def infer(self, input: TaskInput, origin: Origin, task: Task | None = None, *, waits: bool = True) -> Answer:
        """The answer to `input`, in the form of `task`, another shape of the model's task, if it is given.

        Raises `GatewayError`, `Overloaded` also if the request would have to wait and `waits` is false; being
        cancelled withdraws the request.
        """
        request = await self._submit(input, origin, task, stream=False, waits=waits)
        try:
            async with asyncio.timeout_at(request.deadline):
                return await request.answer
        except TimeoutError:
            raise RequestTimeout from None
        finally:
            self._withdraw(request)

    async def stream(
        self, input: TaskInput, origin: Origin, task: Task | None = None, *, waits: bool = True
    ) -> AsyncGenerator[Piece, None]:
        """The pieces of the answer, to the one that `is_last`. Raises as `infer` does, also before the first."""
        request = await self._submit(input, origin, task, stream=True, waits=waits)
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
        """`stopping`, `ready`, `loading`, `failed` or `unloaded`."""
        if self._stopping:
            return "stopping"
        states = {keeper.state for keeper in self._keepers}
        return next((state for state in ("ready", "loading", "failed") if state in states), "unloaded")

    def status(self) -> dict[str, object]:
        """What an operator wants to know of it."""
        loaded = next((keeper.loaded for keeper in self._keepers if keeper.loaded is not None), None)
        return {
            "name": self.spec.name,
            "task": self.spec.task,
            "state": self.state,
            "preload": self.spec.preload,
            "replicas": self.spec.replicas,
            "loaded": sum(keeper.state == "ready" for keeper in self._keepers),
            "device": loaded.device if loaded is not None else None,
            "engine": loaded.engine if loaded is not None else None,
            "served_by": loaded.served_by if loaded is not None else None,
            "waiting": len(self._queue),
            "running": sum(len(keeper.inside) for keeper in self._keepers),
            "reason": self._fault.detail if self._fault is not None and self.state == "failed" else None,
        }

    async def _submit(
        self, input: TaskInput, origin: Origin, task: Task | None, *, stream: bool, waits: bool
    ) -> Request:
        self._refuse_if_unable()
        values, extent = input.model_dump(exclude_unset=True), input.extent()
        small = extent.rows * extent.length < _SURELY_SMALL
        packed = messages.pack(values) if small else await asyncio.to_thread(messages.pack, values)
        loop = asyncio.get_running_loop()
        shape = task.shape if task is not None else None
        job = Job(
            Request.next_id(), origin.request_id, stream, msgspec.Raw(packed), shape, origin.account, origin.model
        )
        request = Request(job, extent, loop.time() + self.spec.timeout_s)
        self._refuse_if_unable()
        if not waits and len(self._queue) >= sum(keeper.room for keeper in self._keepers):
            raise Overloaded
        self._queue.submit(request)
        self._open.add(request)
        self._empty.clear()
        for keeper in self._keepers:
            keeper.wake()
        return request

    def _refuse_if_unable(self) -> None:
        if self._stopping:
            raise ModelUnavailable(f"{self.spec.name} is shutting down")
        if self._fault is not None and asyncio.get_running_loop().time() < self._fault_until:
            raise self._fault.fresh()
        if len(self._queue) >= self.spec.max_queue_items:
            raise Overloaded

    def _withdraw(self, request: Request) -> None:
        """Forget a request whose caller has its answer or has left."""
        request.abandon()
        self._open.discard(request)
        if not self._open:
            self._empty.set()
        if not self._queue.discard(request):
            for keeper in self._keepers:
                if request.id in keeper.inside:
                    keeper.drop(request)

    def _load_failed(self, error: GatewayError) -> None:
        """Tell the waiting callers why, unless another replica can answer them."""
        self._fault = error
        self._fault_until = asyncio.get_running_loop().time() + (error.retry_after_s or 0.0)
        if any(keeper.state == "ready" for keeper in self._keepers):
            return
        for request in self._queue:
            self._queue.discard(request)
            request.fail(error)
