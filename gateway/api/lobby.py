"""Connections that owe a request: how many there may be, and how much of unfinished heads; knows no HTTP."""

from __future__ import annotations

from typing import Protocol

MOST_HEAD_BYTES = 16 << 20


class Guest(Protocol):
    """A connection."""

    def send_away(self) -> None:
        """End it, from outside of what it is doing."""


class Lobby:
    """Whoever has owed a request for longest makes room, so that a flood only drowns itself.

    A client that means it sends its head at once and waits here for no more than a turn of the event loop, and never
    with half a head. `most_connections` are all, also those whose request is being answered, and those that are
    `shaking` hands before HTTP knows of them.
    """

    def __init__(self, most_connections: int, most_head_bytes: int = MOST_HEAD_BYTES) -> None:
        self._most_connections = most_connections
        self._most_head_bytes = most_head_bytes
        self._owing: dict[Guest, None] = {}
        self._heads: dict[Guest, int] = {}
        self._head_bytes = 0
        self.shaking = 0

    def enter(self, guest: Guest) -> None:
        """It owes a request from now on."""
        self._owing[guest] = None

    def leave(self, guest: Guest) -> None:
        """Its request has come, or it has gone."""
        self._owing.pop(guest, None)
        self._head_bytes -= self._heads.pop(guest, 0)

    def has_room(self, connections: int) -> bool:
        """Whether HTTP may have so many; if too many, somebody who owes a request is sent away for one more."""
        return connections + self.shaking <= self._most_connections or self._send_away(self._owing)

    def hold(self, guest: Guest, head_bytes: int) -> None:
        """So much of its next head has come; if that is too much of all heads, the first of them go."""
        if guest in self._owing:
            self._head_bytes += head_bytes - self._heads.get(guest, 0)
            self._heads[guest] = head_bytes
        while self._head_bytes > self._most_head_bytes and self._send_away(self._heads):
            pass

    def _send_away(self, guests: dict[Guest, int] | dict[Guest, None]) -> bool:
        longest = next(iter(guests), None)
        if longest is None:
            return False
        self.leave(longest)
        longest.send_away()
        return True
