"""Streams that are decoded together: rows of one padded cache that come and go; knows no sampling and no text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from transformers.cache_utils import DynamicLayer

Forward = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, Any, Sequence[int], Mapping[str, Any]], torch.Tensor]
"""(ids, mask, positions, cache, streams, more) → logits of the last position; ids [rows, tokens], one stream a row.

Positions have the shape that the model itself gives them, the last two dimensions being rows and tokens; `more` are
further arguments of the model.
"""


def mergeable(cache: Any, tokens: int) -> bool:
    """Whether caches of this kind can become rows of one: each layer holds all `tokens` positions and nothing else."""
    return all(type(layer) is DynamicLayer and layer.get_seq_length() == tokens for layer in cache.layers)


class Rows:
    """The ids of the streams, in the order of the rows, and their keys and values, padded on the left.

    Rows shorter than the longest are masked where they are padded; what all rows pad is cut off. `position` is that
    of the first row's next token, `more` what the model wants to be given at each token of a stream that is alone.
    `open` is whether other rows may join.
    """

    def __init__(
        self, id: int, cache: Any, tokens: int, position: torch.Tensor, more: Mapping[str, Any] | None = None
    ) -> None:
        self.ids = [id]
        self.open = not more and mergeable(cache, tokens)
        self._cache = cache
        self._lengths = [tokens]
        self._position = position
        self._more = more or {}
        self._mask = torch.ones(1, tokens, dtype=torch.long, device=position.device)

    def join(self, other: Rows) -> None:
        """Take in the rows of `other`, which is not to be used any more."""
        width = max(self._mask.shape[1], other._mask.shape[1])
        for ours, theirs in zip(self._cache.layers, other._cache.layers, strict=True):
            ours.keys = torch.cat([_widen(ours.keys, width), _widen(theirs.keys, width)])
            ours.values = torch.cat([_widen(ours.values, width), _widen(theirs.values, width)])
        self._mask = torch.cat([_widen_mask(self._mask, width), _widen_mask(other._mask, width)])
        self._position = torch.cat([self._position, other._position], dim=-2)
        self.ids += other.ids
        self._lengths += other._lengths

    def remove(self, id: int) -> None:
        """Give up one row and the memory that it alone needed."""
        kept = [row for row, known in enumerate(self.ids) if known != id]
        self.ids = [self.ids[row] for row in kept]
        self._lengths = [self._lengths[row] for row in kept]
        if not kept:
            return
        start = self._mask.shape[1] - max(self._lengths)
        index = torch.tensor(kept, device=self._mask.device)
        self._mask = self._mask[index, start:]
        self._position = self._position.index_select(-2, index)
        for layer in self._cache.layers:
            layer.keys = layer.keys[index, :, start:]
            layer.values = layer.values[index, :, start:]

    def forward(self, tokens: Sequence[int], forward: Forward) -> torch.Tensor:
        """Append one token to each row; logits of shape [rows, vocabulary]."""
        self._mask = torch.cat([self._mask, self._mask.new_ones(len(self.ids), 1)], dim=1)
        self._lengths = [length + 1 for length in self._lengths]
        positions, self._position = self._position, self._position + 1
        ids = torch.tensor(tokens, device=self._mask.device)[:, None]
        return forward(ids, self._mask, positions, self._cache, self.ids, self._more)


def _widen(values: torch.Tensor, width: int) -> torch.Tensor:
    return torch.nn.functional.pad(values, (0, 0, width - values.shape[2], 0))


def _widen_mask(mask: torch.Tensor, width: int) -> torch.Tensor:
    return torch.nn.functional.pad(mask, (width - mask.shape[1], 0))
