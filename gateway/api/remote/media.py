"""Puts media into a request in place of its addresses; knows no route and no task."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Sequence

import httpx
import structlog

from gateway.api.remote.fetch import Allowance, Fetcher
from gateway.api.remote.hosts import AddressRefused, HostList
from gateway.api.remote.places import Place
from gateway.config import ConfigError, Settings
from gateway.errors import BadInput, Overloaded
from gateway.runtime.metrics import FetchOutcome, Metrics
from gateway.tasks.image import MAX_PICTURES, UNKNOWN
from gateway.tasks.image_header import media_type

FETCHES_AT_ONCE = 32
DEADLINE_S = 10.0
_LEFT: FetchOutcome = "left"
log = structlog.get_logger("gateway.media")


class RemoteMedia:
    """Bounded in how much it fetches at once, how long that takes and how large it gets."""

    def __init__(
        self,
        fetcher: Fetcher,
        metrics: Metrics,
        deadline_s: float = DEADLINE_S,
        turns: asyncio.Semaphore | None = None,
    ) -> None:
        """`deadline_s` counts for each address, waiting for one of the `turns` and redirects included."""
        self._fetcher = fetcher
        self._metrics = metrics
        self._deadline_s = deadline_s
        self._turns = turns or asyncio.Semaphore(FETCHES_AT_ONCE)

    @classmethod
    def of(cls, settings: Settings, metrics: Metrics) -> RemoteMedia | None:
        """What the settings permit; None if that is nothing. Raises `ConfigError`."""
        if not settings.media_hosts:
            return None
        if settings.offline:
            raise ConfigError("media_hosts: names hosts to fetch media from, which GATEWAY_OFFLINE forbids")
        return cls(Fetcher(HostList(settings.media_hosts)), metrics)

    async def bring(self, places: Sequence[Place], limit_bytes: int) -> int:
        """Have each place hold what is at its address, as a data URI; how many bytes that added.

        `limit_bytes` is for the media of all places. Raises `BadInput` naming the first place whose address gives no
        picture, and `Overloaded` if its turn did not come in time.
        """
        check_count(places)
        allowance = Allowance(limit_bytes)
        fetching = (self._data_uri(place.url, allowance) for place in places)
        try:
            found = await asyncio.gather(*fetching, return_exceptions=True)
        finally:
            self._metrics.media_bytes.inc(allowance.taken_bytes)
        for place, uri in zip(places, found, strict=True):
            if isinstance(uri, AddressRefused):
                raise BadInput(f"'{place.pointer}': {uri}")
            if isinstance(uri, BaseException):
                raise uri
            place.put(uri)
        return sum(len(uri) for uri in found if isinstance(uri, str))

    async def _data_uri(self, address: str, allowance: Allowance) -> str:
        started, outcome = time.perf_counter(), _LEFT
        try:
            data = await self.fetched(address, allowance)
            kind = media_type(data)
            if kind is None:
                raise AddressRefused(UNKNOWN, outcome="no_picture")
            outcome = "fetched"
        except AddressRefused as error:
            outcome = error.outcome
            log.info("media not fetched", host=_host(address), reason=error.why)
            raise
        except Overloaded:
            outcome = "busy"
            raise
        finally:
            self._metrics.observe_fetch(outcome, time.perf_counter() - started)
        return await asyncio.to_thread(_encoded, kind, data)

    async def fetched(self, address: str, allowance: Allowance) -> bytes:
        """The bytes at an address; raises `AddressRefused`, and `Overloaded` if its turn did not come in time."""
        has_turn = False
        try:
            async with asyncio.timeout(self._deadline_s), self._turns:
                has_turn = True
                return await self._fetcher.fetch(address, allowance)
        except TimeoutError:
            if not has_turn:
                raise Overloaded from None
            raise AddressRefused(f"did not arrive within {self._deadline_s:g} s", outcome="late") from None


def check_count(places: Sequence[Place]) -> None:
    """Raise `BadInput` if a request has more addresses than it may, naming the first beyond."""
    if len(places) > MAX_PICTURES:
        raise BadInput(f"'{places[MAX_PICTURES].pointer}': a request must not have more than {MAX_PICTURES} addresses")


def _encoded(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def _host(address: str) -> str:
    """What the log may say of an address: its path and query can be secrets."""
    try:
        return httpx.URL(address).host[:200]
    except (httpx.InvalidURL, ValueError):
        return "?"
