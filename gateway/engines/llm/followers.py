"""Which token followed which others in a model's former streams, in bounded memory; knows no stream."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

SLOTS = 1 << 17
MOST_TRUST = 4


class Followers:
    """One follower for each run of tokens under each salt, as often as it came less how often it did not.

    A table of `slots` entries (a power of two; 13 bytes each), in which a newcomer wears down who has its place: what
    comes again stays. Runs of different salts are never taken for each other; their names are numbers by a secret of
    the process (PYTHONHASHSEED).
    """

    def __init__(self, slots: int = SLOTS) -> None:
        self._mask = slots - 1
        self._names = array("q", bytes(8 * slots))
        self._tokens = array("i", bytes(4 * slots))
        self._trust = bytearray(slots)

    def find(self, salt: str, run: Sequence[int]) -> tuple[int, int] | None:
        """What followed `run`, and how far that is to be trusted: 1 to `MOST_TRUST`."""
        name = hash((salt, *run))
        at = name & self._mask
        return (self._tokens[at], self._trust[at]) if self._trust[at] and self._names[at] == name else None

    def note(self, salt: str, run: Sequence[int], token: int) -> None:
        """`token` followed `run`."""
        name = hash((salt, *run))
        at = name & self._mask
        trust = self._trust[at]
        if trust and self._names[at] == name and self._tokens[at] == token:
            self._trust[at] = min(trust + 1, MOST_TRUST)
        elif trust > 1:
            self._trust[at] = trust - 1
        else:
            self._names[at], self._tokens[at], self._trust[at] = name, token, 1
