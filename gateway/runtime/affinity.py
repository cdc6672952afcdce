"""Keeps a caller's session on one replica, whose memory of its prompts saves work; knows no queue and no process."""

from __future__ import annotations

from collections import OrderedDict
from typing import Protocol

MAX_SESSIONS = 10_000


class Home(Protocol):
    """A replica that a session may stay on."""

    @property
    def can_take(self) -> bool:
        """Whether it is alive and has room for one more request."""


class Affinity:
    """Which replica took each session's last request; the least recent of more than `MAX_SESSIONS` are forgotten.

    It is a wish, not a bond: while a session's replica is full or gone, any other takes its requests, and is then
    the one that the session stays on.
    """

    def __init__(self) -> None:
        self._homes: OrderedDict[str, Home] = OrderedDict()

    def allows(self, session: str, taker: Home) -> bool:
        """Whether `taker` may have a request of that session; one without a session is anybody's."""
        home = self._homes.get(session) if session else None
        return home is None or home is taker or not home.can_take

    def note(self, session: str, taker: Home) -> None:
        """`taker` has taken a request of that session."""
        if not session:
            return
        self._homes[session] = taker
        self._homes.move_to_end(session)
        if len(self._homes) > MAX_SESSIONS:
            self._homes.popitem(last=False)
