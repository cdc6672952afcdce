"""An event loop on a thread of its own, and bounded ways out of it; knows no HTTP and no model."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

from gateway.errors import GatewayError
from gateway.tasks import Piece

T = TypeVar("T")
# How much of one stream may lie between the two threads: beyond it the stream is read no further.
MAX_WAITING_BYTES = 256 * 1024


class LoopThread:
    """Runs coroutines for a thread that has no event loop, until it is closed."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="upstream", daemon=True)
        self._thread.start()

    def start(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Begin the work; cancelling the future cancels it."""
        return asyncio.run_coroutine_threadsafe(work, self.loop)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do the work and wait for it; raises what it raises."""
        return self.start(work).result()

    def close(self) -> None:
        """Cancel what runs, and end the thread."""
        self.run(_cancel_all())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


async def _cancel_all() -> None:
    running = asyncio.all_tasks() - {asyncio.current_task()}
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)


@dataclass(slots=True)
class News:
    """A piece or the failure of the stream that `outlet` is the way out of, and what it weighs."""

    outlet: Outlet
    content: Piece | GatewayError
    size_bytes: int


class Outlet:
    """One stream's way to the engine's thread. The event loop puts, the engine's thread takes and says so."""

    def __init__(self, id: int, arrivals: queue.SimpleQueue[News]) -> None:
        self.id = id
        self._arrivals = arrivals
        self._waiting_bytes = 0
        self._room = asyncio.Event()

    async def put(self, content: Piece | GatewayError, size_bytes: int) -> None:
        """Hand over; returns once there is room for more."""
        self._waiting_bytes += size_bytes
        self._arrivals.put(News(self, content, size_bytes))
        while self._waiting_bytes > MAX_WAITING_BYTES:
            self._room.clear()
            await self._room.wait()

    def took(self, size_bytes: int) -> None:
        """On the event loop: so much was taken."""
        self._waiting_bytes -= size_bytes
        self._room.set()
