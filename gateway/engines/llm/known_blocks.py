"""Counts how much of a prompt OpenVINO's prefix cache has: the library reuses it and does not tell; runs nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

# The tokens of one block of the cache on CPUs.
BLOCK_TOKENS = 32


class KnownBlocks:
    """The blocks that requests have left in a cache of `room_tokens`; what is counted is there.

    As in the cache, a block is known by its tokens and all that come before, and is found only behind blocks that
    are found. Those given up first are the least recently used, so as long as fewer blocks than the cache holds were
    kept, all of them are there; then everything is forgotten here, and counted again once it is met again. Blocks that
    are not full are not counted.
    """

    def __init__(self, room_tokens: int) -> None:
        self._room = room_tokens // BLOCK_TOKENS
        self._known: set[int] = set()

    def cached_tokens(self, prompt: Sequence[int]) -> int:
        """How many tokens of a prompt are not computed again; its last one always is."""
        found = 0
        for block in _blocks(prompt):
            if block not in self._known:
                break
            found += BLOCK_TOKENS
        return min(found, len(prompt) - 1)

    def keep(self, tokens: Sequence[int]) -> None:
        """Note what has been computed: a prompt, or a prompt and its answer."""
        if len(tokens) // BLOCK_TOKENS > self._room:
            self._known = set()
            return
        blocks = set(_blocks(tokens))
        self._known |= blocks
        if len(self._known) > self._room:
            self._known = blocks


def _blocks(tokens: Sequence[int]) -> Iterator[int]:
    """For each full block what tells it from others: its tokens and the block before."""
    before = 0
    for start in range(0, len(tokens) - BLOCK_TOKENS + 1, BLOCK_TOKENS):
        before = hash((before, *tokens[start : start + BLOCK_TOKENS]))
        yield before
