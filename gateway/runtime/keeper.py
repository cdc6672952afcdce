"""Keeps one place for a replica: fill it when wanted, tell how that went, start over; knows no batch."""

from __future__ import annotations

import asyncio
from pathlib import Path

import structlog

from gateway.config import ModelSpec
from gateway.errors import GatewayError, ModelUnavailable
from gateway.runtime.backoff import backoff_s
from gateway.runtime.means import Household
from gateway.runtime.place import Place
from gateway.runtime.search import Search
from gateway.runtime.steward import Grant
from gateway.runtime.tenancy import Tenancy

STOP_S = 1.0
# How often the files of a preloaded model that are missing are looked for.
LOOK_S = 5.0
log = structlog.get_logger("gateway.model")


class Keeper:
    """`run` lives as long as the model does and leaves no process and no reservation in its `place`."""

    def __init__(self, spec: ModelSpec, household: Household, *, is_spare: bool) -> None:
        """A spare place is filled only while it `is_open`, and never at another model's cost."""
        self.spec = spec
        self.place = Place(spec, household, is_spare=is_spare)
        self._house = household
        self._means = household.means
        self._search = Search(self.place, household)
        self._failures = 0
        self._missed: str | None = None

    async def run(self) -> None:
        """Keep the place until cancelled; then end the worker."""
        while True:
            await self.place.until_wanted()
            try:
                await self._fill_once()
            except Exception:
                log.exception("keeper failed", model=self.spec.name)
                await self._load_failed(ModelUnavailable(f"{self.spec.name} failed; the log has the reason"))

    async def _fill_once(self) -> None:
        """Find files and room, load, serve until the worker is lost or let go."""
        found = await self._find()
        if found is None or (grant := await self._room(found[0])) is None:
            return
        self.place.tenancy = tenancy = Tenancy(self.spec, self._house, grant)
        try:
            if await self._load(tenancy, *found):
                await tenancy.serve()
                await self._part(tenancy)
        except BaseException:
            tenancy.replica.inside.fail(ModelUnavailable(f"{self.spec.name} is shutting down"))
            raise
        finally:
            await self._clear(STOP_S)

    async def _find(self) -> tuple[Path, ModelSpec] | None:
        try:
            found = await self._means.find(self.spec)
        except GatewayError as error:
            is_news, self._missed = error.detail != self._missed, error.detail
            await self._load_failed(error, delay_s=LOOK_S if self.spec.preload else 0.0, is_news=is_news)
            return None
        self._missed = None
        return found

    async def _room(self, files: Path) -> Grant | None:
        try:
            return await self._search.grant(self.spec, files)
        except GatewayError as error:
            await self._load_failed(error)
            return None

    async def _load(self, tenancy: Tenancy, files: Path, row: ModelSpec) -> bool:
        place = self.place
        place.otherwise = "loading"
        try:
            loaded = await tenancy.load(files, row)
        except GatewayError as error:
            await self._load_failed(error)
            return False
        place.otherwise, place.wants_itself = "unloaded", self.spec.preload and not place.is_spare
        place.is_recycling = False
        self._house.loads.succeeded()
        self._means.steward.nudge()
        self._means.metrics.observe_load(self.spec.name, loaded.seconds)
        pid, seconds = tenancy.replica.worker.pid, {part: round(took, 3) for part, took in loaded.seconds.items()}
        log.info("model loaded", model=self.spec.name, worker=pid, served_by=loaded.served_by, seconds=seconds)
        return True

    async def _load_failed(self, error: GatewayError, delay_s: float | None = None, *, is_news: bool = True) -> None:
        """Tell why, and wait before the next try: longer each time, unless it is said how long."""
        if delay_s is None:
            self._failures += 1
            delay_s = backoff_s(self._failures)
        tell = log.error if is_news else log.debug
        tell("model not loaded", model=self.spec.name, reason=error.detail, retry_in_s=delay_s)
        self.place.otherwise = "failed"
        error.retry_after_s = delay_s or None
        self._house.loads.failed(error)
        await self._clear(0.0)
        await asyncio.sleep(delay_s)
        self.place.otherwise = "unloaded"

    async def _part(self, tenancy: Tenancy) -> None:
        """End a replica that was served; whether it is missed, and when to try again, depends on why."""
        if tenancy.is_lost:
            self._failures = 1 if tenancy.replica.inside.has_served else self._failures + 1
        else:
            self._failures = 0
            self.place.wants_itself = self.place.is_recycling = tenancy.leaving == "outgrown"
        tenancy.account()
        await self._clear(0.0 if tenancy.is_lost else STOP_S)
        await asyncio.sleep(backoff_s(self._failures - 1))

    async def _clear(self, grace_s: float) -> None:
        """End the replica if there is one. Cancelled, it must be called again."""
        if self.place.tenancy is not None:
            await self.place.tenancy.end(grace_s)
            self.place.tenancy = None
