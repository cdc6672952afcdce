"""The sound of a session that is still of use: a bounded stretch of samples with its place in time."""

from __future__ import annotations

import asyncio

MAX_PENDING_S = 10.0
MAX_KEPT_S = 30.0


class Sound:
    """Samples from `start_s` on, of which those after `heard_s` are new; times count from the session's beginning.

    Whoever adds waits while `MAX_PENDING_S` is new or `MAX_KEPT_S` is kept, so that a session holds no more.
    """

    def __init__(self, rate_hz: int, frame_bytes: int) -> None:
        """`frame_bytes`: one sample of every channel."""
        self.bytes_per_s = rate_hz * frame_bytes
        self._frame_bytes = frame_bytes
        self._data = bytearray()
        self._start_bytes = 0
        self._heard_bytes = 0
        self._changed = asyncio.Condition()
        self._flushing = False
        self.is_finished = False

    @property
    def start_s(self) -> float:
        """When the kept sound begins."""
        return self._start_bytes / self.bytes_per_s

    @property
    def end_s(self) -> float:
        """How much sound has come."""
        return (self._start_bytes + self._whole_bytes()) / self.bytes_per_s

    @property
    def heard_s(self) -> float:
        """How much of it has been heard."""
        return self._heard_bytes / self.bytes_per_s

    @property
    def new_s(self) -> float:
        """How much of it is new."""
        return self.end_s - self.heard_s

    async def add(self, data: bytes) -> None:
        """Take in samples, second by second, once there is room."""
        for start in range(0, len(data), self.bytes_per_s):
            async with self._changed:
                await self._changed.wait_for(self._has_room)
                self._data += data[start : start + self.bytes_per_s]
                self._changed.notify_all()

    async def finish(self) -> None:
        """No more will come."""
        async with self._changed:
            self.is_finished = True
            self._changed.notify_all()

    async def flush(self) -> None:
        """Have what there is heard now."""
        async with self._changed:
            self._flushing = True
            self._changed.notify_all()

    async def news(self, step_s: float) -> bool:
        """Wait until `step_s` is new, or for the end, or for a flush; says whether it was a flush."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._flushing or self.is_finished or self.new_s >= step_s)
            flushing, self._flushing = self._flushing, False
            return flushing

    async def window(self) -> bytes:
        """All that is kept, which from now on counts as heard."""
        async with self._changed:
            whole = self._whole_bytes()
            self._heard_bytes = self._start_bytes + whole
            self._changed.notify_all()
            return bytes(self._data[:whole])

    def part(self, until_s: float) -> bytes:
        """What is kept of the time before `until_s`."""
        return bytes(self._data[: self._offset(until_s)])

    async def drop(self, until_s: float) -> None:
        """Forget what came before `until_s`."""
        async with self._changed:
            offset = self._offset(until_s)
            del self._data[:offset]
            self._start_bytes += offset
            self._changed.notify_all()

    def _has_room(self) -> bool:
        return self.new_s < MAX_PENDING_S and self.end_s - self.start_s < MAX_KEPT_S

    def _whole_bytes(self) -> int:
        return len(self._data) - len(self._data) % self._frame_bytes

    def _offset(self, moment_s: float) -> int:
        frames = round(moment_s * self.bytes_per_s / self._frame_bytes)
        return min(max(frames * self._frame_bytes - self._start_bytes, 0), self._whole_bytes())
