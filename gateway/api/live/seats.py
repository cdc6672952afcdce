"""How many sessions may be open at once, of one caller and of all; knows neither sockets nor keys."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator
from contextlib import contextmanager

from gateway.errors import Overloaded


class Seats:
    """Gives out at most `most` seats, so that no caller takes more than its share; those who left are forgotten."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._taken: Counter[Hashable] = Counter()

    def __len__(self) -> int:
        """How many are taken."""
        return self._taken.total()

    @contextmanager
    def taken(self, who: Hashable, share: int) -> Iterator[None]:
        """A seat for `who`, until the end of the block, of which it may have `share` (0: all).

        Raises `Overloaded`.
        """
        if len(self) >= self._most or 0 < share <= self._taken[who]:
            raise Overloaded
        self._taken[who] += 1
        try:
            yield
        finally:
            self._taken[who] -= 1
            if not self._taken[who]:
                del self._taken[who]
