"""Chooses the next token of every row of a pass and reports on it; knows no model."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from gateway.engines.llm.backend import TokenReport
from gateway.engines.llm.grammar import forbidden
from gateway.engines.llm.largest import largest
from gateway.engines.llm.sampling import Sampling
from gateway.engines.llm.score_edits import edit
from gateway.engines.llm.token_choice import TokenChoice
from gateway.engines.llm.token_draw import draw
from gateway.engines.llm.working_copy import rows_at_once, working_copy
from gateway.errors import GatewayError, InferenceFailed

logger = logging.getLogger(__name__)
Masks = Mapping[int, NDArray[np.bool_]]


@dataclass(slots=True)
class Chosen:
    """One row's next token, and what is reported of it, if anything."""

    token: int
    reports: list[TokenReport]


def choose(
    choices: Sequence[TokenChoice], logits: torch.Tensor, rows: Sequence[int] | None = None
) -> list[Chosen | GatewayError]:
    """The next token of each choice by its row of `logits` [rows, vocabulary], or why its stream ends.

    `choices` remember it; they are all `rows` in their order unless these say which. A stream's tokens depend on its
    logits, seed and settings alone. The probabilities are those of transformers' `generate` with the same settings;
    the draws are not, as they take other random numbers.
    """
    rows = range(len(logits)) if rows is None else rows
    matchers = {at: choice.matcher for at, choice in enumerate(choices) if choice.matcher is not None}
    masks, faults = forbidden(matchers, logits.shape[-1])
    tokens = _tokens(choices, logits, rows, masks)
    faults = {at: _no_token() for at, token in enumerate(tokens) if token < 0} | faults
    reports = _reports(choices, tokens, logits, rows)
    for at, (choice, token) in enumerate(zip(choices, tokens, strict=True)):
        if at not in faults:
            choice.took(token)
    return [faults.get(at) or Chosen(token, reports.get(at, [])) for at, token in enumerate(tokens)]


def likeliest(logits: torch.Tensor) -> list[int]:
    """The place of the largest of each row of `logits` [rows, vocabulary], -1 where none is.

    On a CPU numpy takes a tenth of torch's time, and few calls: behind a pass, which takes the caches, each is slow.
    """
    if logits.device.type == "cpu" and logits.dtype == torch.float32:
        numbers = logits.numpy()
        places: list[int] = numbers.argmax(-1).tolist()
        return [place if numbers.item(row, place) > -math.inf else -1 for row, place in enumerate(places)]
    most, at = logits.max(-1)
    found: list[int] = torch.where(most > -torch.inf, at, -1).tolist()
    return found


def as_chosen(token: int) -> Chosen | GatewayError:
    """The token, of which nothing is reported, or why there is none; for choices that are `bare` as `choose` has it."""
    return Chosen(token, []) if token >= 0 else _no_token()


def _no_token() -> GatewayError:
    logger.error("no token can be chosen from a model's numbers")
    return InferenceFailed()


def _tokens(choices: Sequence[TokenChoice], scores: torch.Tensor, rows: Sequence[int], masks: Masks) -> list[int]:
    """A token for each choice, -1 where none can be."""
    # Greedy rows come last, the others in such an order that equal settings are next to each other.
    order = sorted(range(len(choices)), key=lambda at: _kind(choices[at].sampling))
    most = rows_at_once(scores)
    tokens: dict[int, int] = {}
    for first in range(0, len(order), most):
        part = order[first : first + most]
        copy = working_copy(scores, torch.tensor([rows[at] for at in part], device=scores.device))
        for place, at in enumerate(part):
            if at in masks:
                _forbid(copy[place, : len(masks[at])], masks[at])
        edit(copy, [choices[at].edits for at in part], scores.shape[-1])
        drawing = [choices[at] for at in part if not choices[at].sampling.greedy]
        samplings, uniforms = [choice.sampling for choice in drawing], [choice.uniform() for choice in drawing]
        drawn = draw(copy[: len(drawing)], samplings, uniforms) if drawing else []
        tokens |= zip(part, drawn + likeliest(copy[len(drawing) :]), strict=True)
    return [tokens[at] for at in range(len(choices))]


def _forbid(scores: torch.Tensor, mask: NDArray[np.bool_]) -> None:
    """Leave the tokens of the mask no chance. On a CPU numpy takes a third of torch's time."""
    if scores.device.type == "cpu":
        np.copyto(scores.numpy(), -np.inf, where=mask)
    else:
        scores.masked_fill_(torch.from_numpy(mask).to(scores.device), -torch.inf)


def _kind(sampling: Sampling) -> int:
    """So that in their order those with `top_k` are next to each other, those with `top_p` too, greedy ones last."""
    if sampling.greedy:
        return 4
    if sampling.top_k:
        return 1 if sampling.top_p < 1 else 0
    return 2 if sampling.top_p < 1 else 3


def _reports(
    choices: Sequence[TokenChoice], tokens: Sequence[int], logits: torch.Tensor, rows: Sequence[int]
) -> dict[int, list[TokenReport]]:
    """By the model's own distribution: before bias, penalties, constraint and temperature, as OpenAI reports it."""
    told: dict[int, list[TokenReport]] = {}
    for rivals in {choice.logprobs for choice in choices if choice.logprobs is not None}:
        alike = [at for at, choice in enumerate(choices) if choice.logprobs == rivals]
        places = torch.tensor([rows[at] for at in alike], device=logits.device)
        taken = torch.tensor([tokens[at] for at in alike], device=logits.device)
        logprobs = logits.index_select(0, places).float().log_softmax(-1)
        values, best = largest(logprobs, min(rivals, logprobs.shape[-1]))
        own = logprobs.gather(-1, taken[:, None].clamp(min=0))[:, 0]
        for at, logprob, *top in zip(alike, own.tolist(), best.tolist(), values.tolist(), strict=True):
            told[at] = [TokenReport(tokens[at], logprob, list(zip(*top, strict=True)))]
    return told
