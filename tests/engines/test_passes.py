"""How texts are grouped into passes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.engines.passes import filling, passes


@given(st.lists(st.integers(1, 600)), st.integers(1, 2000))
def test_every_text_is_in_one_pass_and_no_pass_of_several_breaks_the_budget(lengths: list[int], budget: int) -> None:
    groups = list(passes(lengths, budget))
    order = [index for group in groups for index in group]
    assert sorted(order) == list(range(len(lengths)))
    assert [lengths[index] for index in order] == sorted(lengths)
    assert all(len(group) == 1 or len(group) * max(lengths[i] for i in group) <= budget for group in groups)


def test_passes_of_all_lengths_come_in_few_sizes() -> None:
    sizes = {count: count + filling(count) for count in range(1, 4097)}
    assert all(count <= size < count + max(8, count / 8) for count, size in sizes.items())
    assert len(set(sizes.values())) < 80
