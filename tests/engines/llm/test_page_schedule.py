"""Which streams are in a pass: all that run, prompts by age, and the oldest go on whatever memory is left."""

from __future__ import annotations

import pytest

from gateway.engines.llm.decoding import Decoding, Prompt
from gateway.engines.llm.page_parts import Part
from gateway.engines.llm.page_schedule import PageSchedule
from gateway.engines.llm.pages import Pages
from gateway.engines.llm.sampling import Sampling
from gateway.engines.llm.stepping import TokenStream
from gateway.engines.llm.token_choice import TokenChoice

PAGE = 4


def schedule(count: int = 100, *, pass_tokens: int = 16, most_streams: int = 8, shares: bool = True) -> PageSchedule:
    pages = Pages(count, PAGE, spare=count if shares else 0)
    return PageSchedule(pages, pass_tokens=pass_tokens, most_streams=most_streams, shares=shares, accounts=True)


def stream(tokens: list[int], salt: str = "") -> TokenStream:
    how = Decoding(Sampling(100), salt=salt)
    return TokenStream(Prompt(tokens), how, TokenChoice(how, tokens))


def step(plan: PageSchedule) -> dict[int, int]:
    """One pass: how many tokens of whom. Streams that were read to their end get a token."""
    parts = plan.plan()
    told = {part.line.id: part.count for part in parts}
    check(plan, parts)
    plan.passed(parts)
    for part in parts:
        if part.ends:
            part.line.stream.tokens.append(1000 + len(part.line.stream.tokens))
    return told


def check(plan: PageSchedule, parts: list[Part]) -> None:
    for part in parts:
        (own, *_) = all_runs = part.runs()
        assert list(own.tokens) == part.line.tokens()[part.line.read :][: part.count]
        assert len(part.held.numbers) >= -(-(part.line.read + sum(len(run.tokens) for run in all_runs)) // PAGE)
        assert part.ends == (part.count == part.line.left)


def test_those_that_run_come_first_and_prompts_by_age() -> None:
    plan = schedule()
    plan.add(1, stream([1] * 5))
    assert step(plan) == {1: 5}
    plan.add(2, stream([2] * 20))
    plan.add(3, stream([3] * 9))
    assert step(plan) == {1: 1, 2: 15}
    assert step(plan) == {1: 1, 2: 5, 3: 9}
    assert step(plan) == {1: 1, 2: 1, 3: 1}


def runs(parts: list[Part]) -> list[tuple[list[int], int, bool]]:
    return [(list(run.tokens), run.past, run.ends) for part in parts for run in part.runs()]


def test_a_stream_alone_gets_a_guess_beside() -> None:
    plan = schedule()
    first = stream([1, 2, 3, 1, 2])
    plan.add(1, first)
    step(plan)
    first.tokens[-1] = 3
    parts = plan.plan()
    assert runs(parts) == [([3], 5, True), ([1], 6, True)]
    plan.passed(parts)
    # It was right: two tokens are there, and the pass before has read the first of them.
    first.tokens += [1, 2]
    parts = plan.plan()
    assert runs(parts) == [([2], 7, True), ([3], 8, True)]
    plan.passed(parts)
    # It was wrong: what it left is read again.
    first.tokens += [9]
    parts = plan.plan()
    assert runs(parts)[0] == ([9], 8, True)
    plan.add(2, stream([7]))
    assert runs(plan.plan()) == [([9], 8, True), ([7], 0, True)]


def test_a_wide_pass_is_filled_with_guesses_and_what_was_wrong_is_read_again() -> None:
    plan = schedule()
    first = stream([1, 2, 3, 4, 1, 2])
    plan.add(1, first)
    step(plan)
    first.tokens[-1] = 3
    parts = plan.plan((4,))
    assert runs(parts) == [([3], 6, True), ([4], 7, True), ([1], 8, True), ([2], 9, True)]
    plan.passed(parts)
    first.tokens += [4, 1, 9]  # two were right, and the pass has read these
    parts = plan.plan((4,))
    assert runs(parts)[0] == ([9], 9, True)
    plan.passed(parts)
    plan.add(2, stream([7, 7]))
    first.tokens += [5]
    assert runs(plan.plan((4,))) == [([5], 10, True), ([7, 7], 0, True)]


def test_guesses_of_several_streams_share_a_pass() -> None:
    plan = schedule()
    streams = [stream([token] * 4) for token in (5, 6, 7)]
    for id, one in enumerate(streams):
        plan.add(id, one)
    step(plan)
    for one in streams:
        one.tokens[-1] = one.prompt.tokens[0]
    told = runs(plan.plan((2, 4)))
    assert [run for run in told if run[1] == 4] == [([token], 4, True) for token in (5, 6, 7)]
    (guess,) = [run for run in told if run[1] == 5]
    assert guess == (told[told.index(guess) - 1][0], 5, True)


def test_a_guess_needs_a_page_that_is_free() -> None:
    plan = schedule(1, shares=False)
    plan.add(1, stream([1] * 3))
    step(plan)
    assert runs(plan.plan()) == [([1000], 3, True)]


def test_a_prompt_of_one_token_is_not_alone_either() -> None:
    plan = schedule()
    plan.add(1, stream([5]))
    assert runs(plan.plan()) == [([5], 0, True), ([5], 1, True)]


def test_no_prompt_is_cut_into_a_single_token() -> None:
    plan = schedule(most_streams=20)
    plan.add(0, stream([9] * 17))
    assert step(plan) == {0: 15}
    assert step(plan) == {0: 2}
    for id in range(1, 5):
        plan.add(id, stream([id] * 4))
    # Three tokens are left to the last one in this pass, of which it could read but two.
    assert step(plan) == {0: 1, 1: 4, 2: 4, 3: 4, 4: 2}
    plan.add(5, stream([5] * 11))
    assert step(plan) == {0: 1, 1: 1, 2: 1, 3: 1, 4: 2, 5: 9}


def test_at_least_two_tokens_of_a_known_prompt_are_read() -> None:
    plan = schedule()
    for id, length in ((1, 13), (2, 13), (3, 14)):
        plan.add(id, stream(list(range(length))))
        assert step(plan)[id] == {1: 13, 2: 5, 3: 2}[id]
        plan.drop(id)


def test_more_streams_than_the_row_allows_wait() -> None:
    plan = schedule(most_streams=2)
    for id in (1, 2, 3):
        plan.add(id, stream([id] * 3))
    assert step(plan) == {1: 3, 2: 3}
    assert step(plan) == {1: 1, 2: 1}
    plan.drop(1)
    assert step(plan) == {2: 1, 3: 3}


def test_without_a_page_the_newest_waits_and_is_read_again() -> None:
    plan = schedule(4, shares=False)
    plan.add(1, stream([1] * 4))
    plan.add(2, stream([2] * 8))
    assert step(plan) == {1: 4, 2: 8}
    # One page is left: the second stream gives back its own when it runs out as well.
    assert step(plan) == {1: 1}
    for _ in range(11):
        assert step(plan) == {1: 1}
    assert step(plan) == {}
    plan.drop(1)
    assert step(plan) == {2: 9}
    assert plan.pages.left == 1


def test_an_older_stream_takes_the_pages_of_newer_ones() -> None:
    plan = schedule(6, shares=False)
    for id, length in ((1, 20), (2, 3), (3, 3)):
        plan.add(id, stream([id] * length))
    assert step(plan) == {1: 16}
    assert step(plan) == {1: 4, 2: 3}
    assert step(plan) == {1: 1}
    assert plan.pages.left == 0
    plan.drop(1)
    assert step(plan) == {2: 4, 3: 3}


@pytest.mark.parametrize(("salt", "again"), [("one", 4), ("other", 12)])
def test_only_those_of_one_salt_share(salt: str, again: int) -> None:
    plan = schedule()
    plan.add(1, stream(list(range(12)), "one"))
    assert step(plan) == {1: 12}
    plan.drop(1)
    plan.add(2, stream(list(range(12)), salt))
    assert step(plan) == {2: again}


def test_a_prompt_waits_for_one_that_is_mostly_the_same() -> None:
    plan = schedule(pass_tokens=64)
    first, second, third = stream(list(range(16))), stream([*range(12), 90, 91, 92]), stream([*range(4), *[7] * 12])
    for id, each in ((1, first), (2, second), (3, third)):
        plan.add(id, each)
    assert step(plan) == {1: 16, 3: 16}
    assert step(plan) == {1: 1, 2: 3, 3: 1}
    assert (first.cached, second.cached, third.cached) == (0, 12, 0)


def test_all_pages_come_back() -> None:
    plan = schedule(9, pass_tokens=8)
    for id in range(12):
        plan.add(id, stream([id % 3] * (3 + id)))
    for leaver in (4, 0, 7, 1, 11, 2, 3, 5, 6, 8, 9, 10):
        for _ in range(3):
            assert step(plan)
        plan.drop(leaver)
    assert plan.pages.left == plan.pages.count
