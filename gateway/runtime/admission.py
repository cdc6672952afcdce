"""Lets requests into a model's queue, or refuses them; knows no replica and no answer."""

from __future__ import annotations

import asyncio

from gateway.config import ModelSpec
from gateway.errors import GatewayError, Overloaded
from gateway.runtime.keepers import Keepers
from gateway.runtime.loads import Loads
from gateway.runtime.messages import Job
from gateway.runtime.open_requests import OpenRequests
from gateway.runtime.packing import packed
from gateway.runtime.queue import BatchQueue
from gateway.runtime.request import Request
from gateway.runtime.timing import Timing
from gateway.tasks import Origin, Task, TaskInput


class Admission:
    """Who is let in is open until withdrawn. Once closed nobody is; once ended, who still waits is told so."""

    def __init__(self, spec: ModelSpec, queue: BatchQueue, loads: Loads, keepers: Keepers) -> None:
        self.spec = spec
        self._queue = queue
        self._loads = loads
        self._keepers = keepers
        self._closed: GatewayError | None = None
        self._ended = False
        self._open = OpenRequests()

    @property
    def is_closed(self) -> bool:
        """Whether nobody is let in any more."""
        return self._closed is not None

    @property
    def has_open(self) -> bool:
        """Whether somebody is inside or waits."""
        return bool(self._open)

    def close(self, error: GatewayError) -> None:
        """Refuse whoever comes, with `error`."""
        self._closed = error

    async def none_left(self) -> None:
        """Return once every request that was let in has its answer."""
        await self._open.none_left()

    def end(self) -> None:
        """Refuse those who still wait, too. Only after `close`; once is enough."""
        assert self._closed is not None
        if not self._ended:
            self._ended = True
            for request in self._queue:
                self._queue.discard(request)
                request.fail(self._closed)

    async def submit(
        self, input: TaskInput, origin: Origin, task: Task | None, timing: Timing | None, *, stream: bool, waits: bool
    ) -> Request:
        """Queue `input` with a deadline. Raises `GatewayError`, `Overloaded` also if it would wait and not `waits`."""
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

    def withdraw(self, request: Request) -> None:
        """Forget a request whose caller has its answer or has left."""
        request.abandon()
        self._open.leave(request)
        if not self._queue.discard(request):
            self._keepers.drop(request)
