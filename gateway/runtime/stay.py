"""One replica's stay in memory: what it holds, what it takes, what to remember of it; knows no process."""

from __future__ import annotations

import structlog

from gateway.config import ModelSpec
from gateway.runtime.memory import HOST, readable
from gateway.runtime.messages import Loaded
from gateway.runtime.replica import Replica
from gateway.runtime.steward import Grant, Steward
from gateway.runtime.tally import Tally
from gateway.weights.footprint import Measured

log = structlog.get_logger("gateway.memory")


class Stay:
    """Keeps the reservation at what is known: the estimate until the load is over, then the measured peak."""

    def __init__(self, spec: ModelSpec, steward: Steward, grant: Grant) -> None:
        self.device = grant.device
        self.reservation = grant.reservation
        self.load_s = 0.0
        self._spec = spec
        self._steward = steward
        self._measured = Measured()
        self._tally: Tally | None = None

    async def settle_in(self, loaded: Loaded) -> None:
        """The load is over: hold what it took."""
        # Not the time to get a process: the first one also waits for the fork server.
        self.load_s = sum(seconds for part, seconds in loaded.seconds.items() if part != "process")
        self._measured = await self._steward.measured(self._spec)
        if not loaded.device.startswith("cuda") and self.device != HOST:
            self.device = HOST
            self._measured = self._measured.model_copy(update={"ignores_gpus": True})
        granted = self.reservation.held.get(self.device, 0) if self.device != HOST else 0
        self._tally = Tally(self._spec, self._measured, self.device, loaded, granted)
        await self._account(self._tally, peak_changed=True)

    async def weigh(self, replica: Replica) -> bool:
        """Note what the worker takes now; says whether that is too much."""
        tally = self._tally
        if tally is None or tally.usage is replica.usage:
            return False
        tally.batches = replica.batches
        await self._account(tally, peak_changed=tally.note(replica.usage))
        if tally.is_outgrown:
            sizes = {device: readable(size) for device, size in tally.used().items()}
            log.warning("worker outgrew its measured peak", model=self._spec.name, used=sizes)
        return tally.is_outgrown

    async def _account(self, tally: Tally, *, peak_changed: bool) -> None:
        self.reservation.correct(tally.held())
        self.reservation.used = tally.used()
        self._steward.nudge()
        if peak_changed:
            self._measured = tally.added_to(self._measured, self.load_s)
            await self._steward.remember(self._spec, self._measured)
