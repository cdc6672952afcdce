"""How often each key may ask: exact sliding windows; knows no clock, no task and no key."""

from __future__ import annotations

import contextlib
from collections import OrderedDict, deque
from collections.abc import Hashable

WINDOW_S = 60.0


class RateLimiter:
    """Admits at most a given number of requests in any minute, for each who asks; refused ones do not count.

    `now_s` is from a clock that never goes back. What is older than a minute is forgotten: of whoever asks at once,
    of the others one at each request. So no more is kept than the requests that were admitted in a minute.
    """

    def __init__(self) -> None:
        self._windows: OrderedDict[Hashable, deque[float]] = OrderedDict()

    def __len__(self) -> int:
        """For how many something is kept."""
        return len(self._windows)

    def admit(self, who: Hashable, limit: int, now_s: float) -> float:
        """0.0 if `who` may ask now, which then counts; else for how many seconds it may not, at most `WINDOW_S`."""
        window = self._windows.setdefault(who, deque())
        self._windows.move_to_end(who)
        while window and window[0] + WINDOW_S <= now_s:
            window.popleft()
        # The limit may have been lowered since: then more than one has to leave.
        wait_s = 0.0 if len(window) < limit else window[len(window) - limit] + WINDOW_S - now_s
        if not wait_s:
            window.append(now_s)
        self._forget_one(now_s)
        return wait_s

    def take_back(self, who: Hashable, moment_s: float) -> None:
        """Not count the request of `who` that was admitted at that moment after all."""
        with contextlib.suppress(ValueError):  # it may be forgotten already
            self._windows.get(who, deque()).remove(moment_s)

    def _forget_one(self, now_s: float) -> None:
        """Drop whoever has not asked for the longest, if that is a minute ago."""
        who, window = next(iter(self._windows.items()))
        if not window or window[-1] + WINDOW_S <= now_s:
            del self._windows[who]
