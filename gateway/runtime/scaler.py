"""Opens and closes a model's spare places by how long requests wait; knows no process and no memory."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from gateway.config import Replicas
from gateway.runtime.place import Place
from gateway.runtime.queue import BatchQueue

# A spare that found no memory is not tried again sooner.
RETRY_S = 5.0


class Scaler:
    """One more worker at a time while the oldest request waits too long, one fewer when the last had nothing to do."""

    def __init__(self, wanted: Replicas, queue: BatchQueue, places: Sequence[Place]) -> None:
        self._wanted = wanted
        self._queue = queue
        self._places = places
        self._spares = places[wanted.min :]
        self._not_before = 0.0

    def tick(self) -> None:
        """Open or close at most one place; called now and then."""
        if not self._spares:
            return
        now = asyncio.get_running_loop().time()
        oldest = self._queue.oldest
        if oldest is not None and now - oldest.accepted_at > self._wanted.queue_delay_s:
            self._grow(now)
        elif oldest is None:
            self._shrink()

    def _grow(self, now: float) -> None:
        filled = [place for place in self._places if place.is_open]
        closed = next((place for place in self._spares if not place.is_open), None)
        if closed is not None and now >= self._not_before and all(place.state == "ready" for place in filled):
            self._not_before = now + RETRY_S
            closed.open()

    def _shrink(self) -> None:
        last = next((place for place in reversed(self._spares) if place.is_open), None)
        if last is None:
            return
        if last.state == "ready":
            self._not_before = 0.0
        if last.state == "unloaded" or (last.idle_s or 0.0) >= self._wanted.idle_s:
            last.close()
