"""Guesses of next tokens: what followed the longest run of last tokens that was there before."""

from __future__ import annotations

import pytest

from gateway.engines.llm.guesses import Guesses


@pytest.mark.parametrize(
    ("tokens", "guess"),
    [
        ([7], 7),
        ([1, 2, 3], 3),
        ([1, 2, 3, 1], 2),
        ([1, 2, 1, 3, 1], 3),
        ([5, 1, 2, 9, 1, 2, 8, 5, 1, 2], 9),
        ([0, 5, 1, 2, 7, 4, 5, 1, 2, 8, 0, 5, 1, 2], 8),
    ],
)
def test_the_longest_run_decides_and_of_these_the_last(tokens: list[int], guess: int) -> None:
    assert Guesses().next(tokens) == guess


def test_growing_tokens_give_what_all_at_once_do() -> None:
    tokens = [1, 2, 3, 1, 2, 4, 1, 2, 3, 3, 3, 1, 2]
    growing = Guesses()
    for end in range(1, len(tokens) + 1):
        assert growing.next(tokens[:end]) == Guesses().next(tokens[:end])
