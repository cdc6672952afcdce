"""Pages of one pool: who holds which, and which full ones can be found again; knows no tensor and no pass."""

from __future__ import annotations

import heapq
from array import array
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

NAME_BYTES = 16


@dataclass(slots=True)
class Held:
    """The pages of one stream, by their numbers in the order of its tokens, and the names of those that are full."""

    root: bytes
    numbers: array[int] = field(default_factory=lambda: array("i"))
    names: list[bytes] = field(default_factory=list)


class Pages:
    """`count` pages of `page_tokens` tokens each.

    A full page has a name that tells its tokens and all before them, so that a later stream that begins alike finds
    it. Streams of different salts never find each other's. What nobody holds is kept as long as there is room for it:
    at most `spare` pages, of which those go first that were left longest ago, and of one stream its last.
    """

    def __init__(self, count: int, page_tokens: int, spare: int) -> None:
        self.count, self.page_tokens = count, page_tokens
        # The lowest number first, so that memory that was never needed is never touched.
        self._free = list(range(count))
        self._spare = spare
        self._holders = [0] * count
        self._named: dict[bytes, int] = {}
        self._name_of: dict[int, bytes] = {}
        self._idle: OrderedDict[int, None] = OrderedDict()

    @property
    def left(self) -> int:
        """How many pages no stream holds."""
        return len(self._free) + len(self._idle)

    def names(self, salt: str, tokens: Sequence[int]) -> list[bytes]:
        """The names of the full pages of `tokens`."""
        held = Held(_root(salt))
        self._name(held, tokens, len(tokens))
        return held.names

    def find(self, salt: str, names: Sequence[bytes]) -> Held:
        """Hold the pages of these names, up to the first that is not known."""
        held = Held(_root(salt))
        for name in names:
            page = self._named.get(name)
            if page is None:
                break
            self._idle.pop(page, None)
            self._holders[page] += 1
            held.numbers.append(page)
            held.names.append(name)
        return held

    def extend(self, held: Held, tokens: int) -> bool:
        """Hold as many pages as `tokens` tokens need; False, and nothing done, if there are not as many."""
        needed = -(-tokens // self.page_tokens) - len(held.numbers)
        if needed > self.left:
            return False
        for _ in range(needed):
            page = heapq.heappop(self._free) if self._free else self._forget_oldest()
            self._holders[page] = 1
            held.numbers.append(page)
        return True

    def note(self, held: Held, tokens: Sequence[int], read: int) -> None:
        """The first `read` of the stream's `tokens` are in its pages now: those that are full can be found."""
        for at in self._name(held, tokens, read):
            name, page = held.names[at], held.numbers[at]
            if name not in self._named:
                self._named[name], self._name_of[page] = page, name

    def release(self, held: Held) -> None:
        """Nobody reads this stream any more."""
        for page in reversed(held.numbers):
            self._holders[page] -= 1
            if self._holders[page]:
                continue
            if page in self._name_of:
                self._idle[page] = None
            else:
                heapq.heappush(self._free, page)
        while len(self._idle) > self._spare:
            heapq.heappush(self._free, self._forget_oldest())
        held.numbers, held.names = array("i"), []

    def _name(self, held: Held, tokens: Sequence[int], read: int) -> range:
        """Name the pages that have become full; which."""
        known, full = len(held.names), read // self.page_tokens
        for at in range(known, full):
            part = array("q", tokens[at * self.page_tokens : (at + 1) * self.page_tokens])
            held.names.append(_digest(held.names[-1] if held.names else held.root, part.tobytes()))
        return range(known, full)

    def _forget_oldest(self) -> int:
        page, _ = self._idle.popitem(last=False)
        del self._named[self._name_of.pop(page)]
        return page


def _root(salt: str) -> bytes:
    return _digest(b"", salt.encode())


def _digest(before: bytes, content: bytes) -> bytes:
    return blake2b(before + content, digest_size=NAME_BYTES).digest()
