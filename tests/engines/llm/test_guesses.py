"""Guesses of next tokens: what followed their last ones before, here or in streams of the same salt."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.engines.llm.followers import MOST_TRUST, Followers
from gateway.engines.llm.guesses import Experience, Guesses


def first(guesses: Guesses) -> int:
    return next(guesses.chain()).token


def chain(guesses: Guesses, count: int) -> list[int]:
    return [guess.token for guess in itertools.islice(guesses.chain(), count)]


def alone(tokens: Sequence[int]) -> Guesses:
    return Guesses(tokens, Experience(remembers=False), "")


@pytest.mark.parametrize(
    ("tokens", "guess"),
    [
        ([7], 7),
        ([1, 2, 3], 3),
        ([1, 2, 3, 1], 2),
        ([1, 2, 1, 3, 1], 3),
        ([5, 1, 2, 9, 1, 2, 8, 5, 1, 2], 9),
        ([0, 5, 1, 2, 7, 4, 5, 1, 2, 8, 0, 5, 1, 2], 7),
    ],
)
def test_the_longest_run_decides_and_of_these_the_last(tokens: list[int], guess: int) -> None:
    assert first(alone(tokens)) == guess


def test_guesses_go_on_behind_each_other_and_their_odds_fall() -> None:
    guesses = list(itertools.islice(alone([1, 2, 3, 4, 1]).chain(), 5))
    assert [guess.token for guess in guesses] == [2, 3, 4, 1, 2]
    odds = [guess.odds for guess in guesses]
    assert 1 > odds[0] > odds[-1] > 0
    assert odds == sorted(odds, reverse=True)


def test_what_is_forced_comes_first_and_guesses_go_on_behind_it() -> None:
    guesses = list(itertools.islice(alone([1, 2, 3, 4, 1]).chain([7, 2]), 4))
    assert [guess.token for guess in guesses] == [7, 2, 3, 4]
    assert [guess.odds for guess in guesses][:2] == [1, 1]


@given(st.lists(st.integers(0, 4), min_size=1, max_size=40), st.integers(1, 40))
def test_growing_tokens_give_what_all_at_once_do(tokens: list[int], cut: int) -> None:
    """Without what was learned of the odds by the way, which growing ones alone have."""
    prompt, rest = tokens[:cut], tokens[cut:]
    growing = alone(prompt)
    for end in range(len(rest) + 1):
        growing.follow(rest[:end])
    assert chain(growing, 4) == chain(alone(tokens), 4)


def test_later_streams_of_a_salt_guess_what_earlier_ones_had() -> None:
    experience = Experience(remembers=True)
    Guesses([1, 2], experience, "a").follow([30, 31, 32, 33])
    assert chain(Guesses([9, 30, 31], experience, "a"), 2) == [32, 33]
    assert chain(Guesses([9, 30, 31], experience, "b"), 2) == [31, 31]
    assert chain(Guesses([9, 30, 31], Experience(remembers=False), "a"), 2) == [31, 31]


def test_prompts_are_not_told_to_later_streams() -> None:
    experience = Experience(remembers=True)
    Guesses([1, 2, 3, 4, 5], experience, "a").follow([6])
    assert first(Guesses([9, 1, 2], experience, "a")) == 2
    assert first(Guesses([9, 5], experience, "a")) == 6


def test_the_kind_that_is_right_more_often_is_believed() -> None:
    """Former streams go 1 2 3, 1 2 3; this one goes 1 2 4, where only the start of its runs is another."""
    experience = Experience(remembers=True)
    for _ in range(4):
        Guesses([0], experience, "a").follow([1, 2, 3] * 8)
    stream = Guesses([0], experience, "a")
    tokens = [1, 2, 4] * 20
    for end in range(1, len(tokens)):
        first(stream)
        stream.follow(tokens[:end])
    assert chain(stream, 3) == [4, 1, 2]


def test_a_follower_that_comes_again_stays_and_one_that_does_not_goes() -> None:
    followers = Followers()
    for _ in range(MOST_TRUST + 3):
        followers.note("", (1, 2), 3)
    assert followers.find("", (1, 2)) == (3, MOST_TRUST)
    followers.note("", (1, 2), 4)
    assert followers.find("", (1, 2)) == (3, MOST_TRUST - 1)
    for _ in range(MOST_TRUST):
        followers.note("", (1, 2), 4)
    assert followers.find("", (1, 2)) == (4, 2)


def test_followers_are_told_by_whole_runs_and_salts() -> None:
    followers = Followers()
    followers.note("a", (1, 2), 3)
    assert followers.find("a", (1, 2)) == (3, 1)
    others = [("a", (2,)), ("a", (2, 1)), ("a", (1, 2, 3)), ("b", (1, 2)), ("", (1, 2))]
    assert [followers.find(salt, run) for salt, run in others] == [None] * len(others)


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 50), st.integers(0, 3)), max_size=200))
def test_a_full_table_forgets_and_never_tells_what_was_not(steps: list[tuple[str, int, int]]) -> None:
    followers, told = Followers(8), set()
    for salt, token, follower in steps:
        followers.note(salt, (token,), follower)
        told.add((salt, token, follower))
    for salt in "ab":
        for token in range(51):
            found = followers.find(salt, (token,))
            assert found is None or (salt, token, found[0]) in told
