"""Finds room for loads: chooses a device, lets idle replicas go, and says why if there is none; knows no queue."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import structlog

from gateway.config import ModelSpec
from gateway.errors import ModelUnavailable
from gateway.runtime import eviction, placement
from gateway.runtime.capacity import GPU_SHARE
from gateway.runtime.eviction import Candidate
from gateway.runtime.memory import HOST, Bytes, Ledger, Reservation, readable
from gateway.runtime.need import needed_bytes, weights_size
from gateway.weights.footprint import Footprints, Measured

log = structlog.get_logger("gateway.memory")


class Occupant(Protocol):
    """A replica in memory, as far as the room for others is concerned."""

    spec: ModelSpec

    def candidate(self) -> Candidate[Any] | None:
        """Itself, if it could go now: loaded, not pinned, and with nothing to do."""

    def evict(self) -> Coroutine[Any, Any, object]:
        """Go, from this call on; what it returns is done once the memory is given back."""


@dataclass(frozen=True)
class Grant:
    """Where a replica may load."""

    device: str
    reservation: Reservation


@dataclass(frozen=True)
class Shortage:
    """Why it may not, for operators."""

    reason: str


@dataclass
class Steward:
    """Keeps the ledger true. Rooms are sought one after another, so what one frees is not taken by the next."""

    ledger: Ledger
    footprints: Footprints
    gpu_budget_bytes: int | None = None
    occupants: list[Occupant] = field(default_factory=list)
    news: int = 0
    _waiting: set[asyncio.Event] = field(default_factory=set)
    _opened: asyncio.Event = field(default_factory=asyncio.Event)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def gpus(self) -> dict[str, int]:
        """The GPUs with their budgets."""
        return {device: size for device, size in self.ledger.budgets.items() if device != HOST}

    async def measured(self, spec: ModelSpec) -> Measured:
        """What is known of the row's use of memory."""
        return await asyncio.to_thread(self.footprints.read, spec)

    async def remember(self, spec: ModelSpec, measured: Measured) -> None:
        """Keep what was measured; a store that cannot be written to costs only the memory of it."""
        try:
            await asyncio.to_thread(self.footprints.write, spec, measured)
        except OSError as error:
            log.warning("what a model takes is not kept", model=spec.name, reason=error.strerror)

    async def seek(self, spec: ModelSpec, files: Path, *, may_evict: bool) -> Grant | Shortage:
        """Room for a replica of `files`, the row's weights. Raises `ModelUnavailable` if there can never be any."""
        await self._opened.wait()
        measured = await self.measured(spec)
        try:
            size = await asyncio.to_thread(weights_size, spec, files if spec.source else None)
        except OSError as error:
            raise ModelUnavailable(f"the weights of {spec.name} cannot be read: {error.strerror}") from error
        wished = placement.wished(spec.device, self.gpus, ignores_gpus=measured.ignores_gpus)
        budgets = self.ledger.budgets
        needed = {device: needed_bytes(spec, measured, size, device, budgets) for device in wished}
        async with self._turn:
            devices = self._ranked(spec, wished, needed)
            if not devices:
                raise ModelUnavailable(self._never(spec, needed[wished[0]]))
            for device in devices:
                if reservation := self.ledger.reserve(spec.name, needed[device]):
                    return Grant(device, reservation)
            for device in devices if may_evict else ():
                if await self._make_room(spec, needed[device]) and (
                    reservation := self.ledger.reserve(spec.name, needed[device])
                ):
                    return Grant(device, reservation)
            return Shortage(self.ledger.describe(spec.name, needed[devices[0]]))

    def _ranked(self, spec: ModelSpec, wished: list[str], needed: dict[str, dict[str, int]]) -> list[str]:
        of_model = [r for r in self.ledger if r.holder == spec.name]
        taken = Counter(device for r in of_model for device in r.held if device != HOST)
        free = {device: self.ledger.free_bytes(device) for device in self.ledger.budgets}
        return placement.ranked(wished, needed, self.ledger.budgets, free, taken)

    async def _make_room(self, spec: ModelSpec, needed: Bytes) -> bool:
        """Let idle replicas go until `needed` fits; nobody goes if that is not enough."""
        others = [other.candidate() for other in self.occupants if other.spec.name != spec.name]
        chosen = eviction.choose([other for other in others if other is not None], self.ledger.lacking(needed))
        for victim in chosen:
            log.info("evicting", model=victim.spec.name, for_model=spec.name)
        await asyncio.gather(*(victim.evict() for victim in chosen))
        return bool(chosen)

    def _never(self, spec: ModelSpec, needed: Bytes) -> str:
        budgets = self.ledger.budgets
        parts = [
            f"{readable(size)} of {device} memory, more than the whole budget of {readable(budgets.get(device, 0))}"
            for device, size in needed.items()
            if size > budgets.get(device, 0)
        ]
        return f"{spec.name} needs {' and '.join(parts)}"

    async def relieve(self) -> None:
        """Let idle replicas go where workers outgrew the budget."""
        over = {device: -free for device in self.ledger.budgets if (free := self.ledger.free_bytes(device)) < 0}
        if over and not self._turn.locked():
            async with self._turn:
                found = [candidate for occupant in self.occupants if (candidate := occupant.candidate()) is not None]
                # Some relief is better than none, so what cannot be covered is not asked for.
                got = {device: sum(candidate.held.get(device, 0) for candidate in found) for device in over}
                reachable = {device: min(size, got[device]) for device, size in over.items() if got[device]}
                await asyncio.gather(*(victim.evict() for victim in eviction.choose(found, reachable)))

    def open(self, gpus: Bytes) -> None:
        """The GPUs are known, with all that they have: from now on rooms are given."""
        for device, size in gpus.items():
            share = int(size * GPU_SHARE) if self.gpu_budget_bytes is None else self.gpu_budget_bytes
            self.ledger.budgets[device] = min(size, share)
        self._opened.set()

    def nudge(self) -> None:
        """Something may have come free, or be wanted more than before."""
        self.news += 1
        for event in self._waiting:
            event.set()

    async def change(self, seen: int, timeout_s: float | None) -> None:
        """Return once there is more news than the `seen` count of it, or after `timeout_s`."""
        if self.news != seen:
            return
        event = asyncio.Event()
        self._waiting.add(event)
        try:
            async with asyncio.timeout(timeout_s):
                await event.wait()
        except TimeoutError:
            return
        finally:
            self._waiting.discard(event)
