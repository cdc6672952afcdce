"""Draws the next tokens of many streams at once from their scores; knows no model and no stream's history.

Every number of a row follows from this row alone, bit for bit on a CPU, whatever other rows there are.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import torch

from gateway.engines.llm.largest import BLOCK, in_blocks, largest_values
from gateway.engines.llm.nucleus import nucleus
from gateway.engines.llm.sampling import Sampling

TINY = torch.finfo(torch.float32).tiny


def draw(scores: torch.Tensor, samplings: Sequence[Sampling], uniforms: Sequence[float]) -> torch.Tensor:
    """A token for each row of `scores` [rows, vocabulary] by one number in [0, 1) each: where the sum of the
    probabilities, in the order of the tokens, exceeds it. -1 where there is no token, or no number, to go by.

    The scores are in float32 and whole blocks, and are overwritten: new memory would cost more than all the sums.
    """
    numbers = torch.tensor(uniforms, dtype=torch.float64, device=scores.device)
    blocks = in_blocks(weigh(scores, samplings))
    sums = blocks.sum(-1).double()
    total = sums.cumsum(-1)[:, -1]
    block, rest = _crossing(sums, numbers * total)
    rows = torch.arange(len(blocks), device=scores.device)
    within, _ = _crossing(blocks[rows, block].double(), rest)
    return torch.where(total > 0, block * BLOCK + within, -1)


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


def _crossing(weights: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The first place [rows] at which the sum of `weights` [rows, n] exceeds the target, and how much of it is left.

    Only a weight above zero can make a sum exceed what the one before did not, so none other is ever found.
    """
    sums = weights.cumsum(-1)
    below_all = torch.nextafter(sums[:, -1], torch.zeros_like(targets))
    targets = torch.minimum(targets, below_all)[:, None]
    places = torch.searchsorted(sums, targets, right=True).clamp(max=weights.shape[-1] - 1)
    before = sums.gather(-1, places) - weights.gather(-1, places)
    return places[:, 0], (targets - before).clamp(min=0)[:, 0]


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
