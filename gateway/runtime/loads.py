"""How the loads of one model went, and what those who wait for one are told; knows no process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from gateway.config import ModelSpec
from gateway.errors import GatewayError, Overloaded
from gateway.runtime.metrics import Metrics
from gateway.runtime.queue import BatchQueue
from gateway.runtime.steward import Shortage

log = structlog.get_logger("gateway.model")


class Loads:
    """Nobody waits for a load that has failed, or longer than the row's patience for memory."""

    def __init__(self, spec: ModelSpec, queue: BatchQueue, metrics: Metrics, is_loaded: Callable[[], bool]) -> None:
        """`is_loaded` says whether a replica is there that can answer those who wait.

        `refusal` is why memory was last refused to one who waited, if nothing has been loaded since.
        """
        self._spec = spec
        self._queue = queue
        self._metrics = metrics
        self._is_loaded = is_loaded
        self._fault: GatewayError | None = None
        self._fault_until = 0.0
        self.refusal: str | None = None
        self._outcome: asyncio.Future[bool] | None = None

    def next_outcome(self) -> asyncio.Future[bool]:
        """How the next load goes: True, False if there is no room now, or the `GatewayError` it fails with."""
        self._outcome = asyncio.get_running_loop().create_future()
        return self._outcome

    @property
    def fault(self) -> str | None:
        """Why the last load failed, if it did."""
        return self._fault.detail if self._fault is not None else None

    def refuse_if_failed(self) -> None:
        """Raise the fault of the last load until the next may be tried, unless another replica can answer."""
        is_cooling = self._fault is not None and asyncio.get_running_loop().time() < self._fault_until
        if self._fault is not None and is_cooling and not self._is_loaded():
            raise self._fault.fresh()

    def succeeded(self) -> None:
        """A replica is there."""
        self._fault = self.refusal = None
        self._tell_outcome(True)

    def failed(self, error: GatewayError) -> None:
        """Tell the waiting callers why, unless another replica can answer them."""
        self._fault = error
        self._fault_until = asyncio.get_running_loop().time() + (error.retry_after_s or 0.0)
        if self._outcome is not None and not self._outcome.done():
            self._outcome.set_exception(error.fresh())
        if self._is_loaded():
            return
        for request in self._queue:
            self._queue.discard(request)
            request.fail(error)

    def short_of_memory(self, shortage: Shortage) -> float | None:
        """Refuse those who have waited long enough; seconds until the next has, None if nobody waits."""
        self._tell_outcome(False)
        now, patience_s = asyncio.get_running_loop().time(), self._spec.memory_patience_s
        for request in self._queue:
            left_s = patience_s if self._is_loaded() else request.accepted_at + patience_s - now
            if left_s > 0:
                return left_s
            self._queue.discard(request)
            request.fail(Overloaded())
            self.refusal = shortage.reason
            self._metrics.refusals.labels(self._spec.name).inc()
            log.warning("refused for want of memory", request_id=request.job.request_id, reason=shortage.reason)
        return None

    def _tell_outcome(self, is_loaded: bool) -> None:
        if self._outcome is not None and not self._outcome.done():
            self._outcome.set_result(is_loaded)
