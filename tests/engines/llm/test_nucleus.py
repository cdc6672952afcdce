"""The fewest of the largest weights that reach a sum end where ordering all of them says."""

from __future__ import annotations

import pytest
import torch

from gateway.engines.llm.largest import BLOCK
from gateway.engines.llm.nucleus import TRIALS, nucleus

WIDTH = 400 * BLOCK


def weights_of(name: str) -> torch.Tensor:
    """Weights [rows, `WIDTH`] of a kind."""
    generator = torch.Generator().manual_seed(1)
    normal = torch.randn(4, WIDTH, generator=generator)
    return {
        "alike": normal.mul(0.01).exp(),
        "spread": normal.mul(3).exp(),
        "in order": normal.mul(2).exp().sort(-1).values,
        "of ties": normal.mul(2).round().exp(),
        "level": torch.ones_like(normal),
        "mostly zero": torch.where(normal > 1, normal.exp(), 0),
        "narrow": normal.mul(2).exp().bfloat16().float(),
    }[name]


def expected(row: torch.Tensor, wanted: float) -> tuple[float, int]:
    """The least weight that is needed and how many as large as that, 0 for all of them."""
    values = row.double().sort(descending=True).values
    size = max(int(((values.cumsum(0) - values) < wanted).sum()), 1)
    least = values[size - 1]
    needed, there = size - int((values > least).sum()), int((values == least).sum())
    return least.item(), 0 if needed == there or least == 0 else needed


@pytest.mark.parametrize("share", [1e-6, 0.01, 0.2345, 0.5678, 0.9, 0.99, 0.9999])
@pytest.mark.parametrize("name", ["alike", "spread", "in order", "of ties", "level", "mostly zero", "narrow"])
def test_they_end_where_ordering_all_says(name: str, share: float) -> None:
    weights = weights_of(name)
    # A little more than a share that a sum of weights that are alike would hit, and rounding decide on.
    wanted = weights.double().sum(-1) * share + 1e-9
    least, spare = nucleus(weights, wanted)
    found = list(zip(least[:, 0].tolist(), spare[:, 0].tolist(), strict=True))
    assert found == [expected(row, sum_) for row, sum_ in zip(weights, wanted.tolist(), strict=True)]


@pytest.mark.parametrize("count", [TRIALS[0] - 1, TRIALS[0], TRIALS[0] + 1, WIDTH])
@pytest.mark.parametrize("name", ["alike", "level"])
def test_the_last_of_a_trial_and_the_one_behind_it_are_told_apart(name: str, count: int) -> None:
    weights = weights_of(name)
    wanted = weights.double().sort(-1, descending=True).values.cumsum(-1)[:, count - 1] - 1e-6
    least, spare = nucleus(weights, wanted)
    found = list(zip(least[:, 0].tolist(), spare[:, 0].tolist(), strict=True))
    assert found == [expected(row, sum_) for row, sum_ in zip(weights, wanted.tolist(), strict=True)]


def test_a_sum_that_is_never_reached_takes_all() -> None:
    weights = weights_of("alike")
    least, spare = nucleus(weights, weights.double().sum(-1) * 2)
    assert torch.equal(least[:, 0], weights.amin(-1))
    assert not spare.any()
