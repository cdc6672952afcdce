"""A bound on many short waits after one another; knows nothing of what is waited for."""

from __future__ import annotations

import asyncio
from types import TracebackType


class Patience:
    """A context for one wait at a time, which ends in `TimeoutError` after `limit_s`; enter it as often as needed.

    What `asyncio.timeout` sets up and takes down for each wait costs more than a token's way to its caller. Here one
    timer serves all waits: it looks at the present one when it is due. Call `close` after the last.
    """

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[object] | None = None
        self._since = 0.0
        self._cancelling = 0
        self._is_over = False

    def __enter__(self) -> None:
        self._task = asyncio.current_task(self._loop)
        assert self._task is not None
        self._cancelling = self._task.cancelling()
        self._since = self._loop.time()
        if self._timer is None:
            self._timer = self._loop.call_later(self._limit_s, self._look)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        task, self._task = self._task, None
        if self._is_over:
            self._is_over = False
            assert task is not None
            # As in `asyncio.timeout`: who cancelled the task besides is not to be overheard.
            if task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
                raise TimeoutError from error

    def close(self) -> None:
        """Leave no timer behind."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        if self._task is None:
            return
        left_s = self._since + self._limit_s - self._loop.time()
        if left_s > 0:
            self._timer = self._loop.call_later(left_s, self._look)
        else:
            self._is_over = True
            self._task.cancel()
