"""Groups texts of different lengths into the passes that a model makes over them; knows no model."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import torch

# A pass has a multiple of this many tokens, or of a sixteenth to an eighth of what it has, whichever is more.
LEAST_STEP = 8
# How much of a pass may be padding, and how large one may be whatever it holds: less does not keep a device busy.
MAX_PADDING, CHEAP_TOKENS = 1.4, 1024
TokenIds = Sequence[int]
_PASS_TOKENS = {("cpu", True): 1024, ("cpu", False): 2048, ("cuda", True): 16384}


def pass_tokens(device: torch.device | str, *, pads: bool = True) -> int:
    """How many tokens, padding included, keep a device busy in one pass."""
    return _PASS_TOKENS[torch.device(device).type, pads]


def passes(lengths: Sequence[int], budget_tokens: int) -> Iterator[list[int]]:
    """Indices of `lengths`, shortest first, in groups of which rows x longest stays within the budget.

    It also stays within `MAX_PADDING` times the tokens that are text, or within `CHEAP_TOKENS`, whichever is more: a
    long text on a large device would have many short ones padded to its length. A length beyond all that makes a
    group of its own.
    """
    group: list[int] = []
    text = 0
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        length = lengths[index]
        most = min(budget_tokens, max(CHEAP_TOKENS, MAX_PADDING * (text + length)))
        if group and (len(group) + 1) * length > most:
            yield group
            group, text = [], 0
        group.append(index)
        text += length
    if group:
        yield group


def pad(rows: Sequence[TokenIds], padding: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids of shape (rows, longest) and the mask of what is text in them."""
    longest = max(map(len, rows))
    ids = torch.tensor([[*row, *itertools.repeat(padding, longest - len(row))] for row in rows])
    lengths = torch.tensor([len(row) for row in rows])
    return ids.to(device), (torch.arange(longest) < lengths[:, None]).to(device)


def filling(tokens: int) -> int:
    """How many tokens more make the passes of all requests equal in a few dozen sizes.

    oneDNN, which multiplies on CPUs, prepares code for each size that it meets and keeps it: 1 to 2 MB for MiniLM,
    half a gigabyte after a few hundred batches.
    """
    step = max(LEAST_STEP, 1 << max(0, tokens.bit_length() - 4))
    return -tokens % step
