"""Tokens are drawn with the probabilities of transformers' warpers, and never one that is out."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from transformers import LogitsProcessorList, TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from gateway.engines.llm.decoding import Decoding
from gateway.engines.llm.largest import BLOCK
from gateway.engines.llm.sampling import Sampling
from gateway.engines.llm.token_choice import TokenChoice
from gateway.engines.llm.token_draw import draw, weigh

WIDTH = 96 * BLOCK
SETTINGS: list[dict[str, Any]] = [
    {"temperature": 1.0},
    {"temperature": 0.3},
    {"temperature": 5.0},
    {"top_k": 1},
    {"top_k": 7},
    {"top_k": 1000},
    {"top_k": 10 * WIDTH},
    {"top_p": 0.0},
    {"top_p": 1e-3},
    {"top_p": 0.55},
    {"top_p": 0.9, "temperature": 0.6},
    {"top_p": 0.99},
    {"top_p": 0.95, "temperature": 5.0},
    {"top_p": 0.9, "top_k": 40, "temperature": 0.6},
    {"top_p": 0.3, "top_k": 500, "temperature": 3.0},
    {"top_p": 0.7, "top_k": 2},
]


def noise(scale: float, seed: int = 0) -> torch.Tensor:
    return torch.randn(WIDTH, generator=torch.Generator().manual_seed(seed)) * scale


def without(scores: torch.Tensor, allowed: list[int]) -> torch.Tensor:
    out = torch.full_like(scores, -torch.inf)
    out[allowed] = scores[allowed]
    return out


ROWS = {
    "peaked": noise(8),
    "usual": noise(3, 1),
    "flat": noise(0.1, 2),
    "of ties": noise(1, 3).mul(4).round().div(4),
    "level": torch.zeros(WIDTH),
    "of few": without(noise(1, 4), [0, 1, 63, 64, 4000, WIDTH - 1]),
    "of one": without(noise(1, 4), [WIDTH - 1]),
    "far down": noise(3, 5) - 1e3,
}


def warped(scores: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    """The probabilities of transformers' warpers, in float64."""
    warpers = LogitsProcessorList([TemperatureLogitsWarper(float(sampling.temperature))])
    if sampling.top_k:
        warpers.append(TopKLogitsWarper(sampling.top_k))
    if sampling.top_p < 1:
        warpers.append(TopPLogitsWarper(sampling.top_p))
    probabilities: torch.Tensor = warpers(None, scores.double()[None]).softmax(-1)[0]  # type: ignore[arg-type]
    return probabilities


def cases() -> tuple[list[str], torch.Tensor, list[Sampling]]:
    """Every row with every setting: their names, scores and settings."""
    pairs = [(name, setting) for setting in SETTINGS for name in ROWS]
    names = [f"{name} {setting}" for name, setting in pairs]
    return names, torch.stack([ROWS[name] for name, _ in pairs]), [Sampling(1, **setting) for _, setting in pairs]


def test_the_probabilities_are_those_of_transformers_warpers() -> None:
    names, scores, samplings = cases()
    for name, row, sampling, found in zip(names, scores, samplings, probabilities(scores, samplings), strict=True):
        expected = warped(row, sampling)
        if sampling.top_p < 1 and len(row.unique()) < WIDTH:  # of ties transformers leaves any
            assert torch.equal(row[found > 0].sort().values, row[expected > 0].sort().values), name
            found, expected = found.sort().values, expected.sort().values
        assert torch.equal(found > 1e-37, expected > 1e-37), name  # float32 ends there
        rounding = torch.finfo(torch.float32).eps * (2 + 2 * row[row.isfinite()].abs().max() / sampling.temperature)
        assert torch.allclose(found, expected, rtol=rounding.item(), atol=1e-30), name


def probabilities(scores: torch.Tensor, samplings: list[Sampling]) -> torch.Tensor:
    weights = weigh(scores.clone(), samplings).double()
    return weights / weights.sum(-1, keepdim=True)


def test_of_ties_the_first_stay() -> None:
    (kept,) = weigh(ROWS["level"][None].clone(), [Sampling(1, top_p=0.24999)])
    assert kept.nonzero()[:, 0].tolist() == list(range(WIDTH // 4))


@pytest.mark.parametrize("number", [0.0, 1e-12, 0.1, 0.25, 0.5, 0.77, 0.9, 0.999999, 1 - 2**-53])
def test_the_token_is_where_the_sum_of_probabilities_passes_the_number(number: float) -> None:
    names, scores, samplings = cases()
    tokens = draw(scores.clone(), samplings, [number] * len(names))
    for name, row, token in zip(names, probabilities(scores, samplings), tokens, strict=True):
        upto = row.cumsum(-1)[token].item()
        assert row[token] > 0, name
        assert upto - row[token].item() - 1e-6 <= number <= upto + 1e-6, name


@pytest.mark.parametrize("edge", [0, WIDTH // 2, WIDTH - BLOCK])
def test_what_is_out_is_never_drawn(edge: int) -> None:
    scores = torch.full((500, WIDTH), -torch.inf)
    scores[:, edge + 3 : edge + BLOCK - 3 : 5] = 0
    numbers = np.linspace(0, 1, 500, endpoint=False).tolist()
    tokens = draw(scores.clone(), [Sampling(1)] * 500, numbers)
    assert set(tokens) == set(range(edge + 3, edge + BLOCK - 3, 5))


@pytest.mark.parametrize("setting", [{}, {"top_k": 5}, {"top_p": 0.5}])
@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_where_there_is_nothing_to_go_by_there_is_no_token(setting: dict[str, Any], number: float) -> None:
    impossible = torch.full((WIDTH,), -torch.inf)
    impossible[3] = number
    scores = torch.stack([ROWS["of one"], impossible, ROWS["of one"]])
    assert draw(scores, [Sampling(1, **setting)] * 3, [0.5] * 3) == [WIDTH - 1, -1, WIDTH - 1]


@pytest.mark.parametrize("setting", [{"temperature": 1.3}, {"top_k": 20}, {"top_p": 0.8, "temperature": 2.0}])
def test_many_draws_are_spread_as_the_probabilities_are(setting: dict[str, Any]) -> None:
    scores, sampling = without(noise(1, 7), list(range(0, WIDTH, 200))), Sampling(1, **setting)
    choice = random.Random(5)
    rows, rounds = 200, 20
    tokens = [
        token
        for _ in range(rounds)
        for token in draw(scores.expand(rows, -1).clone(), [sampling] * rows, [choice.random() for _ in range(rows)])
    ]
    expected = warped(scores, sampling).numpy() * rows * rounds
    seen = np.bincount(tokens, minlength=WIDTH)
    assert stats.chisquare(seen[expected > 0], expected[expected > 0]).pvalue > 0.01


def first_numbers(count: int, first: int = 0) -> list[float]:
    """The first random number of streams with the seeds from `first` on."""
    return [TokenChoice(Decoding(Sampling(1, seed=seed)), []).uniform() for seed in range(first, first + count)]


@pytest.mark.parametrize("first", [0, -1000, 2**32 - 1000, 2**62 - 1000, 2**200])
def test_seeds_next_to_each_other_are_independent(first: int) -> None:
    numbers = first_numbers(2000, first)
    assert len(set(numbers)) == 2000
    assert stats.kstest(numbers, "uniform").pvalue > 0.01
    assert abs(np.corrcoef(numbers[:-1], numbers[1:])[0, 1]) < 0.06


def test_a_seed_gives_the_same_numbers_again() -> None:
    assert first_numbers(20, 2**40) == first_numbers(20, 2**40)
