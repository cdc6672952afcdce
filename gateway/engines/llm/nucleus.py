"""Finds where the fewest of the largest weights end that together reach a sum; knows nothing of tokens.

Most often they are few, and are looked for among the largest. Where they are many, on a CPU, what cannot be the last
of them is set aside again and again, so that little is left to be put in order.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from gateway.engines.llm.largest import largest_values

# How many of the largest are tried in turn, then all; on a CPU what is short after the first trial is narrowed down.
TRIALS = (64, 4096)
# The weights that are put in order at once, those that stand for them, and how far their account is trusted.
ORDERED, SAMPLE, MARGIN = 2048, 512, 24
Weights = np.ndarray[Any, np.dtype[np.float32]]


def nucleus(weights: torch.Tensor, wanted: torch.Tensor, trial: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """The least weight of each row [rows, n] that is needed to reach the sum that is wanted [rows], and how many of
    this weight if not all of them are, else 0: both [rows, 1]. One is always needed.
    """
    count = min([*TRIALS[trial : trial + 1], weights.shape[-1]])
    least, spare, size = _ordered(largest_values(weights, count), wanted)
    if count == weights.shape[-1]:
        return least, spare
    # The next largest may be as large as the last, so that those are short which it ends with, too.
    (short,) = torch.where(size[:, 0] == count)
    if not len(short):
        return least, spare
    if weights.device.type != "cpu":
        further = nucleus(weights.index_select(0, short), wanted[short], trial + 1)
        return least.index_copy(0, short, further[0]), spare.index_copy(0, short, further[1])
    for row in short.tolist():
        left, missing = _narrowed(weights[row].numpy(), wanted[row].item())
        values = torch.from_numpy(np.sort(left)[::-1].copy())[None]
        least[row], spare[row], _ = _ordered(values, torch.tensor([missing], dtype=torch.float64))
    return least, spare


def _ordered(values: torch.Tensor, wanted: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """As `nucleus`, of values that are in order, and how many of them are needed."""
    exact = values.double()
    size = ((exact.cumsum(-1) - exact) < wanted[:, None]).sum(-1, keepdim=True).clamp(min=1)
    least = values.gather(-1, size - 1)
    following = values.gather(-1, size.clamp(max=values.shape[-1] - 1))
    tied = (following == least) & (size < values.shape[-1]) & (least > 0)
    return least, torch.where(tied, size - (values > least).sum(-1, keepdim=True), 0), size


def _narrowed(weights: Weights, wanted: float) -> tuple[Weights, float]:
    """Those among which the least is, with all that are as large as one of them, and what is wanted of their sum."""
    while len(weights) > ORDERED:
        missing = wanted
        for part in _parts(weights, *_bounds(weights, wanted)):
            reached = part.sum(dtype=np.float64)
            if reached >= missing:
                break
            missing -= reached
        # All of them are needed, by rounding, or all that are left are alike.
        if reached < missing or len(part) == len(weights):
            break
        weights, wanted = part, missing
    return weights, wanted


def _parts(weights: Weights, high: np.float32, low: np.float32) -> Iterator[Weights]:
    yield weights[weights > high]
    yield weights[(weights <= high) & (weights >= low)]
    yield weights[weights < low]


def _bounds(weights: Weights, wanted: float) -> tuple[np.float32, np.float32]:
    """Weights above and below the least, as a part of them makes likely."""
    sample = np.sort(weights[:: len(weights) // SAMPLE])[::-1]
    sums = sample.cumsum(dtype=np.float64)
    middle = int(np.searchsorted(sums, sums[-1] * wanted / weights.sum(dtype=np.float64)))
    return sample[max(middle - MARGIN, 0)], sample[min(middle + MARGIN, len(sample) - 1)]
