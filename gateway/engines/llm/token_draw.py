"""Draws the next tokens of many streams at once from their scores; knows no model and no stream's history.

Every number of a row follows from this row alone, bit for bit on a CPU, whatever other rows there are.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from gateway.engines.llm.largest import BLOCK, in_blocks, largest_values
from gateway.engines.llm.nucleus import nucleus
from gateway.engines.llm.sampling import Sampling

TINY = torch.finfo(torch.float32).tiny
Floats = NDArray[np.float32]


def draw(scores: torch.Tensor, samplings: Sequence[Sampling], uniforms: Sequence[float]) -> list[int]:
    """A token for each row of `scores` [rows, vocabulary] by one number in [0, 1) each: where the sum of the
    probabilities, in the order of the tokens, exceeds it. -1 where there is no token, or no number, to go by.

    The scores are in float32 and whole blocks, and are overwritten: new memory would cost more than all the sums.
    """
    blocks = in_blocks(weigh(scores, samplings))
    found = [_crossing(sums, share) for sums, share in zip(blocks.sum(-1).cpu().numpy(), uniforms, strict=True)]
    chosen = blocks[list(range(len(found))), [place for place, _ in found]].cpu().numpy()
    within = (_crossing(block, share)[0] for block, (_, share) in zip(chosen, found, strict=True))
    return [block * BLOCK + at if block >= 0 else -1 for (block, _), at in zip(found, within, strict=True)]


def weigh(scores: torch.Tensor, samplings: Sequence[Sampling]) -> torch.Tensor:
    """What the probabilities are in proportion to, by `temperature`, then `top_k`, then `top_p`, in place of `scores`.

    They are those of transformers' warpers: of tokens as probable as the last that stays, `top_k` leaves all, and
    `top_p` as few as it can, here the first ones. Rows of like settings are best next to each other: each run of them
    is cut at once.
    """
    temperatures = torch.tensor([sampling.temperature for sampling in samplings], device=scores.device)
    torch.softmax(scores.div_(temperatures[:, None]), -1, out=scores)
    counts = [sampling.top_k for sampling in samplings]
    for run in _runs([count > 0 for count in counts]):
        _keep_top_k(scores[run], [min(count, scores.shape[-1]) for count in counts[run]])
    shares = [sampling.top_p for sampling in samplings]
    for run in _runs([share < 1 for share in shares]):
        _keep_top_p(scores[run], torch.tensor(shares[run], dtype=torch.float64, device=scores.device))
    return scores


def _runs(wanted: Sequence[bool]) -> Iterator[slice]:
    """Where those that are wanted are, next to each other."""
    for is_wanted, run in itertools.groupby(range(len(wanted)), key=wanted.__getitem__):
        if is_wanted:
            first, *others = run
            yield slice(first, first + len(others) + 1)


def _crossing(weights: Floats, share: float) -> tuple[int, float]:
    """The first place at which the sum of `weights` [n] exceeds this share of it, and of its weight the share left.

    -1 and 0 if the sum is none. Only a weight above zero can make a sum exceed what the one before did not, so none
    other is ever found. Row by row, with few calls: behind a pass, which takes the caches, each is slow.
    """
    sums = weights.cumsum(dtype=np.float64)
    total = sums.item(-1)
    if not total > 0:
        return -1, 0.0
    target = min(share * total, math.nextafter(total, 0))
    place = int(sums.searchsorted(target, side="right"))
    weight = weights.item(place)
    return place, max(target - (sums.item(place) - weight), 0.0) / weight


def _keep_top_k(weights: torch.Tensor, counts: Sequence[int]) -> None:
    last = torch.tensor(counts, device=weights.device)[:, None] - 1
    _keep_from(weights, largest_values(weights, max(counts)).gather(-1, last))


def _keep_top_p(weights: torch.Tensor, shares: torch.Tensor) -> None:
    wanted = shares * in_blocks(weights).sum(-1).double().cumsum(-1)[:, -1]
    least, spare = nucleus(weights, wanted)
    if spare.any():
        _drop_ties(weights, least, spare)
    _keep_from(weights, least)


def _drop_ties(weights: torch.Tensor, least: torch.Tensor, spare: torch.Tensor) -> None:
    """Those of the weight `least` that come after the first `spare` ones of it, in rows that have such."""
    (rows,) = torch.where(spare[:, 0] > 0)
    concerned = weights.index_select(0, rows)
    tied = concerned == least[rows]
    out = tied & (tied.cumsum(-1) > spare[rows])
    weights.index_copy_(0, rows, concerned.masked_fill_(out, 0))


def _keep_from(weights: torch.Tensor, least: torch.Tensor) -> None:
    """The weights from `least` [rows, 1] on, in units of the number below it, and zero instead of all others.

    A quotient of two floats exceeds 1 exactly where the one exceeds the other. On a CPU to divide and cut at 1 takes
    a fifth of the time that choosing by a mask does.
    """
    below = torch.nextafter(least, torch.zeros_like(least)).clamp(min=TINY)
    torch.threshold_(weights.div_(below), 1, 0)
