"""How texts are grouped into passes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.engines.passes import CHEAP_TOKENS, MAX_PADDING, filling, passes


@given(st.lists(st.integers(1, 600)), st.integers(1, 2000))
def test_every_text_is_in_one_pass_and_no_pass_of_several_breaks_the_budget(lengths: list[int], budget: int) -> None:
    groups = list(passes(lengths, budget))
    order = [index for group in groups for index in group]
    assert sorted(order) == list(range(len(lengths)))
    assert [lengths[index] for index in order] == sorted(lengths)
    assert all(len(group) == 1 or len(group) * max(lengths[i] for i in group) <= budget for group in groups)


@given(st.lists(st.integers(1, 600), max_size=300))
def test_little_of_a_large_pass_is_padding(lengths: list[int]) -> None:
    for group in passes(lengths, 16_384):
        padded, text = len(group) * max(lengths[i] for i in group), sum(lengths[i] for i in group)
        assert len(group) == 1 or padded <= max(CHEAP_TOKENS, MAX_PADDING * text)


def test_one_long_text_does_not_make_many_short_ones_long() -> None:
    assert list(passes([500, *[5] * 30], 16_384)) == [[*range(1, 31)], [0]]


def test_passes_of_all_lengths_come_in_few_sizes() -> None:
    sizes = {count: count + filling(count) for count in range(1, 4097)}
    assert all(count <= size < count + max(8, count / 8) for count, size in sizes.items())
    assert len(set(sizes.values())) < 80
