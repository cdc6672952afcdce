"""Looks for memory for a replica as long as somebody wants it; knows no process."""

from __future__ import annotations

from pathlib import Path

import structlog

from gateway.config import ModelSpec
from gateway.runtime.means import Household
from gateway.runtime.place import Place
from gateway.runtime.steward import Grant

log = structlog.get_logger("gateway.model")


class Search:
    """For one place, whose state it is while it lasts."""

    def __init__(self, place: Place, household: Household) -> None:
        self._place = place
        self._house = household
        self._steward = household.means.steward

    async def grant(self, spec: ModelSpec, files: Path) -> Grant | None:
        """Room for one replica; None when nobody wants it any more. Raises `GatewayError` if there can be none."""
        place = self._place
        place.otherwise = "waiting"
        try:
            while True:
                seen = self._steward.news
                found = await self._steward.seek(spec, files, may_evict=self._may_evict)
                if isinstance(found, Grant):
                    return found
                if place.is_spare:
                    place.is_open = False
                    return None
                if place.shortage is None:
                    log.warning("waiting for memory", model=spec.name, reason=found.reason)
                place.shortage = found
                left_s = self._house.loads.short_of_memory(found)
                if left_s is None and not place.wants_itself:
                    return None
                await self._steward.change(seen, left_s)
        finally:
            place.shortage = None
            place.otherwise = "unloaded"

    @property
    def _may_evict(self) -> bool:
        """Only for requests that wait: neither a spare nor a preload is worth another model's place."""
        return not self._place.is_spare and len(self._house.queue) > 0
