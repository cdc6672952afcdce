"""Copies rows of scores to where they may be changed, without new memory at every step; knows nothing of tokens."""

from __future__ import annotations

import threading

import numpy as np
import torch

from gateway.engines.llm.largest import BLOCK

# Of kept memory in each thread: some 80 rows of 50,000 numbers, which are worked on at a time.
MOST_BYTES = 16 << 20
_kept = threading.local()


def rows_at_once(scores: torch.Tensor) -> int:
    """How many rows of `scores` [rows, n] to copy at a time: all on a device, whose memory torch keeps itself."""
    return max(1, MOST_BYTES // (4 * _width(scores))) if scores.device.type == "cpu" else len(scores)


def working_copy(scores: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """These rows of `scores` [rows, n] in float32, with -inf behind them to whole blocks.

    On a CPU it is good until the next call in this thread: pages that the system has to clear first, which fresh
    megabytes are, cost more than all that is computed in them.
    """
    shape = len(rows), _width(scores)
    copy = _memory(shape) if scores.device.type == "cpu" else torch.empty(shape, device=scores.device)
    width = scores.shape[-1]
    if width == shape[1]:
        return torch.index_select(scores.float(), 0, rows, out=copy)
    copy[:, width:] = -torch.inf
    torch.index_select(scores.float(), 0, rows, out=copy[:, :width])
    return copy


def _width(scores: torch.Tensor) -> int:
    return -(-scores.shape[-1] // BLOCK) * BLOCK


def _memory(shape: tuple[int, int]) -> torch.Tensor:
    count = shape[0] * shape[1]
    kept = getattr(_kept, "numbers", None)
    if kept is None or len(kept) < count:
        # Of numpy, since a tensor made in inference mode could be changed in that mode alone.
        kept = _kept.numbers = np.empty(count, np.float32)
    return torch.from_numpy(kept[:count].reshape(shape))
