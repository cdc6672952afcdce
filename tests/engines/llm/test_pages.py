"""Pages of a pool: nobody gets another's, what is full can be found again, and nothing is lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as some

from gateway.engines.llm.pages import Held, Pages

PAGE = 4


def read(pages: Pages, tokens: Sequence[int], salt: str = "") -> tuple[Held, int]:
    """A stream that finds what it can and reads the rest; what it holds, and how many pages it found."""
    held = pages.find(salt, pages.names(salt, tokens))
    found = len(held.numbers)
    assert pages.extend(held, len(tokens))
    pages.note(held, tokens, len(tokens))
    return held, found


def test_a_stream_finds_the_full_pages_of_one_that_began_alike() -> None:
    pages = Pages(16, PAGE, spare=16)
    first, _ = read(pages, range(11))
    second, found = read(pages, [*range(8), 99, 98, 97])
    assert found == 2
    assert second.numbers[:2] == first.numbers[:2]
    assert second.numbers[2] != first.numbers[2]
    # The same tokens behind others are others.
    assert read(pages, [7, *range(8)])[1] == 0


def test_salts_never_share() -> None:
    pages = Pages(16, PAGE, spare=16)
    mine, _ = read(pages, range(8), "one")
    yours, found = read(pages, range(8), "other")
    assert found == 0
    assert not set(mine.numbers) & set(yours.numbers)


def test_what_was_left_stays_until_there_is_no_room_and_the_oldest_goes_first() -> None:
    pages = Pages(8, PAGE, spare=4)
    for start in (0, 100, 200):
        held, _ = read(pages, range(start, start + 8))
        pages.release(held)
    assert pages.left == 8
    assert [read(pages, range(start, start + 8))[1] for start in (200, 100, 0)] == [2, 2, 0]


def test_of_one_stream_the_last_page_goes_first() -> None:
    pages = Pages(8, PAGE, spare=2)
    held, _ = read(pages, range(12))
    pages.release(held)
    assert read(pages, range(12))[1] == 2


def test_pages_in_use_are_never_taken() -> None:
    pages = Pages(4, PAGE, spare=4)
    held, _ = read(pages, range(12))
    other = pages.find("", [])
    assert not pages.extend(other, 5)
    assert not other.numbers
    assert pages.extend(other, 4)
    assert not set(other.numbers) & set(held.numbers)
    pages.release(held)
    assert pages.extend(other, 16)


def test_a_pool_is_filled_from_its_beginning() -> None:
    pages = Pages(1000, PAGE, spare=0)
    for _ in range(5):
        held, _ = read(pages, range(12))
        assert list(held.numbers) == [0, 1, 2]
        pages.release(held)


@settings(max_examples=200, deadline=None)
@given(some.lists(some.tuples(some.booleans(), some.integers(0, 5), some.integers(1, 20)), max_size=60))
def test_every_page_is_free_kept_or_held_whatever_comes(events: list[tuple[bool, int, int]]) -> None:
    pages = Pages(12, PAGE, spare=3)
    streams: list[tuple[Held, list[int]]] = []
    for arrives, which, length in events:
        tokens = [which] * length
        if arrives:
            held = pages.find("", pages.names("", tokens))
            if pages.extend(held, length):
                pages.note(held, tokens, length)
                streams.append((held, tokens))
            else:
                pages.release(held)
        elif streams:
            pages.release(streams.pop(which % len(streams))[0])
        holders = Counter(page for held, _ in streams for page in held.numbers)
        assert pages.left == 12 - len(holders)
        for held, tokens in streams:
            assert len(held.numbers) == -(-len(tokens) // PAGE)
        # More than one holder have the same tokens in the page.
        for page in (page for page, count in holders.items() if count > 1):
            assert len({tokens[0] for held, tokens in streams if page in held.numbers}) == 1
    for held, _ in streams:
        pages.release(held)
    assert pages.left == 12
