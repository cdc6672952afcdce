"""One served model: a bounded queue and the keepers that empty it; upstream cannot tell where it runs."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator

from gateway.config import ModelSpec
from gateway.errors import ModelNotFound, ModelUnavailable, RequestTimeout
from gateway.runtime import status
from gateway.runtime.admission import Admission
from gateway.runtime.keepers import Keepers
from gateway.runtime.loads import Loads
from gateway.runtime.means import Household, Means
from gateway.runtime.patience import Patience
from gateway.runtime.queue import BatchQueue
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
        self._admission = Admission(spec, self._queue, self._loads, self._keepers)
        self._scaler = Scaler(spec.replicas, self._queue, self._keepers)
        self._keep_s = spec.idle_unload_s
        self._successor: Model | None = None

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
        self.spec = self._admission.spec = spec
        self._keepers.adopt(spec)

    def hand_over(self, successor: Model | None) -> None:
        """Take no more requests: they go to `successor`, or are told that there is no such model."""
        self._successor = successor
        self._admission.close(ModelNotFound(self.spec.name))

    async def drained(self) -> None:
        """Return once every accepted request has its answer."""
        await self._admission.none_left()

    async def stop(self, grace_s: float) -> None:
        """Refuse new requests, let accepted ones finish within `grace_s`, then end the workers.

        A second call waits for the end of the first.
        """
        if not self._admission.is_closed:
            self._admission.close(ModelUnavailable(f"{self.spec.name} is shutting down"))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                await self._admission.none_left()
        self._admission.end()
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
        if self._keep_s is not None and not self.spec.pin and not self._admission.has_open:
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
        request = await self._admission.submit(input, origin, task, timing, stream=False, waits=waits)
        try:
            async with asyncio.timeout_at(request.deadline):
                return await request.answer
        except TimeoutError:
            raise RequestTimeout from None
        finally:
            self._admission.withdraw(request)

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
        request = await self._admission.submit(input, origin, task, timing, stream=True, waits=waits)
        patience = Patience(self.spec.timeout_s)
        try:
            while True:
                piece = await request.next_piece(patience)
                yield piece
                if piece.is_last:
                    return
        finally:
            patience.close()
            self._admission.withdraw(request)

    @property
    def state(self) -> str:
        """`stopping`, `silent`, `ready`, `loading`, `waiting` (for memory), `failed` or `unloaded`."""
        return "stopping" if self._admission.is_closed else self._keepers.state

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
        return self._admission.has_open or self._keepers.is_filled

    def status(self) -> dict[str, object]:
        """What an operator wants to know of it; memory in bytes by device."""
        described = status.describe(self.spec, self.state, self._keepers)
        reason = self._loads.fault if self.state == "failed" else None
        reason = reason or self._keepers.shortage or self._loads.refusal
        return described | {"waiting": len(self._queue), "reason": reason}
