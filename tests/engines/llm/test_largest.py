"""The largest numbers of rows are found wherever they are."""

from __future__ import annotations

import pytest
import torch

from gateway.engines.llm.largest import BLOCK, largest, largest_values

WIDTHS = (1, BLOCK, 262, 50 * BLOCK, 50 * BLOCK + 1)
COUNTS = (1, 5, 25, 26, 900, 50 * BLOCK)


@pytest.mark.parametrize(("width", "count"), [(width, count) for width in WIDTHS for count in COUNTS if count <= width])
@pytest.mark.parametrize("step", [1.0, 1e-6])
def test_they_are_those_that_ordering_all_finds(width: int, count: int, step: float) -> None:
    values = torch.randn(3, width, generator=torch.Generator().manual_seed(width)).div(step).round().mul(step)
    values[1, ::3] = -torch.inf
    found, places = largest(values, count)
    expected = values.sort(-1, descending=True).values[:, :count]
    assert torch.equal(found, expected)
    assert torch.equal(values.gather(-1, places), expected)
    assert all(len(set(row)) == count for row in places.tolist())
    assert torch.equal(largest_values(values, count), expected)
