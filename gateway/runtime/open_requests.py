"""The requests that were let in and have not left; knows nothing of them."""

from __future__ import annotations

import asyncio


class OpenRequests:
    """Tells when there are none; true as long as there are some."""

    def __init__(self) -> None:
        self._open: set[object] = set()
        self._none = asyncio.Event()
        self._none.set()

    def __bool__(self) -> bool:
        return bool(self._open)

    def enter(self, who: object) -> None:
        """One more."""
        self._open.add(who)
        self._none.clear()

    def leave(self, who: object) -> None:
        """One fewer; a second time does nothing."""
        self._open.discard(who)
        if not self._open:
            self._none.set()

    async def none_left(self) -> None:
        """Return once there are none."""
        await self._none.wait()
