"""How many guesses go into a pass: as many as its widths allow, and more rows only where tokens are likely."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import pytest

from gateway.engines.llm.filling import ALONE, ROW_COST, fill
from gateway.engines.llm.guesses import Guess


def chain(*odds: float) -> Iterator[Guess]:
    """Tokens 0, 1, 2, … with these odds, then ever less likely ones."""
    sure = [Guess(at, chance) for at, chance in enumerate(odds)]
    return itertools.chain(sure, (Guess(at, 0.01 / at) for at in itertools.count(max(1, len(odds)))))


@pytest.mark.parametrize(
    ("streams", "widths", "counts"),
    [
        pytest.param([[0.0]], ALONE, [1], id="a stream alone gets one, however unlikely"),
        pytest.param([[0.9], [0.9]], ALONE, [0, 0], id="no other pass has guesses without a graph for it"),
        pytest.param([[0.9, 0.8, 0.7]], (2, 4), [3], id="likely ones are worth a wider pass"),
        pytest.param([[0.3, 0.05, 0.01]], (2, 4), [1], id="unlikely ones are not"),
        pytest.param([[0.4], [0.6], [0.5]], (2, 4), [0, 1, 0], id="a row that is left goes to the likeliest"),
        pytest.param([[0.9, 0.85], [0.1], [0.8], [0.2]], (2, 4, 6), [2, 0, 0, 0], id="two behind each other"),
        pytest.param([[0.9, 0.1], [0.1], [0.8], [0.2]], (2, 4, 6), [1, 0, 1, 0], id="one for each of two"),
        pytest.param([[0.2]] * 4, (2, 4, 6), [0] * 4, id="none where a row costs more than it brings"),
        pytest.param([[0.9]] * 7, (2, 4, 6), [0] * 7, id="more streams than rows"),
    ],
)
def test_guesses_fill_the_width_by_which_most_tokens_are_expected(
    streams: list[list[float]], widths: Sequence[int], counts: list[int]
) -> None:
    told = fill([chain(*odds) for odds in streams], widths)
    assert [len(tokens) for tokens in told] == counts
    assert all(tokens == list(range(len(tokens))) for tokens in told)


def test_a_wider_pass_pays_exactly_from_its_cost_on() -> None:
    """Four rows take 1 + 2 c of the time of two, so that x tokens of two rows have to become x (1 + 2 c)."""
    first = 0.5
    more = (1 + first) * 2 * ROW_COST
    for odds, count in ((more / 2 - 0.001, 1), (more / 2 + 0.001, 3)):
        assert [len(tokens) for tokens in fill([chain(first, odds, odds)], (2, 4))] == [count]
