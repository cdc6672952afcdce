"""Keeps the keys and values of prompts for later prompts that begin alike; knows no model and no request."""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

# Shorter beginnings, such as an opening token, are not worth keeping.
MIN_TOKENS = 16
MAX_ENTRIES = 1024


@dataclass(frozen=True, slots=True)
class Prefix:
    """The keys and values of each layer, [1, heads, tokens, numbers], of which the first `tokens` count."""

    tokens: int
    layers: list[tuple[torch.Tensor, torch.Tensor]]

    def fill(self, cache: Any) -> None:
        """Put them into an empty cache; they are copied as soon as the cache grows."""
        for index, (keys, values) in enumerate(self.layers):
            cache.update(keys[:, :, : self.tokens], values[:, :, : self.tokens], index)


@dataclass(frozen=True, slots=True)
class _Entry:
    salt: str
    tokens: NDArray[np.int64]
    layers: list[tuple[torch.Tensor, torch.Tensor]]
    size_bytes: int


class PrefixCache:
    """At most `limit_bytes` of prompts, the last used ones; those of one salt are never found with another."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._entries: OrderedDict[int, _Entry] = OrderedDict()
        self._numbers = itertools.count()
        self.size_bytes = 0

    def keep(self, salt: str, tokens: Sequence[int], cache: Any) -> None:
        """Remember a prompt that `cache` holds, every layer whole; what it makes needless goes."""
        layers = [(layer.keys, layer.values) for layer in cache.layers]
        size = sum(part.numel() * part.element_size() for layer in layers for part in layer)
        if len(tokens) < MIN_TOKENS or size > self._limit_bytes:
            return
        ids = np.asarray(tokens, np.int64)
        for number, entry in [item for item in self._entries.items() if item[1].salt == salt]:
            shared = _shared(entry.tokens, ids)
            if shared == len(ids):
                self._entries.move_to_end(number)
                return
            if shared == len(entry.tokens):
                self._forget(number)
        self._entries[next(self._numbers)] = _Entry(salt, ids, layers, size)
        self.size_bytes += size
        while self.size_bytes > self._limit_bytes or len(self._entries) > MAX_ENTRIES:
            self._forget(next(iter(self._entries)))

    def find(self, salt: str, tokens: Sequence[int]) -> Prefix | None:
        """The longest known beginning of a prompt, short of its last token, whose logits are always wanted anew."""
        ids = np.asarray(tokens[:-1], np.int64)
        found = max(
            ((_shared(entry.tokens, ids), number) for number, entry in self._entries.items() if entry.salt == salt),
            default=(0, -1),
        )
        if found[0] < MIN_TOKENS:
            return None
        self._entries.move_to_end(found[1])
        return Prefix(found[0], self._entries[found[1]].layers)

    def _forget(self, number: int) -> None:
        self.size_bytes -= self._entries.pop(number).size_bytes


def _shared(one: NDArray[np.int64], other: NDArray[np.int64]) -> int:
    """How many tokens both begin with."""
    length = min(len(one), len(other))
    different = one[:length] != other[:length]
    return int(different.argmax()) if different.any() else length
