"""Which models' weights are on this machine; knows no route and not how weights come here."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from gateway.config import ModelSpec
from gateway.errors import GatewayError
from gateway.weights.store import Store

FRESH_S = 2.0


class Presence:
    """Looks into the store in a thread, for all callers together at most once in `fresh_s` seconds."""

    def __init__(self, store: Store, specs: Sequence[ModelSpec], fresh_s: float = FRESH_S) -> None:
        self._store = store
        self._specs = [spec for spec in specs if spec.source is not None]
        self._fresh_s = fresh_s
        self._fresh_until = 0.0
        self._found: frozenset[str] = frozenset()
        self._looking = asyncio.Lock()

    def follow(self, store: Store, specs: Sequence[ModelSpec]) -> None:
        """Look for these rows in this store from now on."""
        self._store = store
        self._specs = [spec for spec in specs if spec.source is not None]
        self._fresh_until = 0.0

    async def names(self) -> frozenset[str]:
        """The names of the rows whose weights are here whole; rows without a source are never among them."""
        async with self._looking:
            if time.monotonic() >= self._fresh_until:
                # Set first: rows that are exchanged during the look make it stale at once.
                self._fresh_until = time.monotonic() + self._fresh_s
                self._found = await asyncio.to_thread(self._look)
            return self._found

    def _look(self) -> frozenset[str]:
        return frozenset(spec.name for spec in self._specs if self._is_here(spec))

    def _is_here(self, spec: ModelSpec) -> bool:
        """A row or a store that cannot be read is no reason to hide the other rows: a request says what is wrong."""
        try:
            return self._store.find(spec) is not None
        except (GatewayError, OSError):
            return False
