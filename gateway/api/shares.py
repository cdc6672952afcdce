"""How much of something all callers have at once, and each of them; knows neither what it is nor any key."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable

from gateway.errors import Overloaded


class Shares:
    """Gives out at most `most` of something, so that no caller takes more than its share; who has none is forgotten."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.taken = 0
        self._by_caller: Counter[Hashable] = Counter()

    def portion(self, who: Hashable, share: int) -> Portion:
        """Nothing yet for `who`, who may have `share` in all its portions together (0: all there is)."""
        return Portion(self, who, share or self.most)

    def _take(self, who: Hashable, amount: int, share: int) -> None:
        if self.taken + amount > self.most or self._by_caller[who] + amount > share:
            raise Overloaded
        self.taken += amount
        self._by_caller[who] += amount

    def _give_back(self, who: Hashable, amount: int) -> None:
        self.taken -= amount
        self._by_caller[who] -= amount
        if not self._by_caller[who]:
            del self._by_caller[who]


class Portion:
    """What one request has of a caller's share, until the end of its `with` block or until it is closed."""

    def __init__(self, shares: Shares, who: Hashable, share: int) -> None:
        self._shares = shares
        self._who = who
        self._share = share
        self._amount = 0

    def __enter__(self) -> Portion:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def take(self, amount: int) -> Portion:
        """Have so much more, and be told so; raises `Overloaded` if that is not to be had now."""
        self._shares._take(self._who, amount, self._share)
        self._amount += amount
        return self

    def close(self) -> None:
        """Give all of it back."""
        self._shares._give_back(self._who, self._amount)
        self._amount = 0
