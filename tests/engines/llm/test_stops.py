"""Stop strings: the text ends before the first of them, however it arrives."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.engines.llm.stops import Stops

texts = st.text("ab<>", max_size=30)


def cut(text: str, sizes: list[int]) -> list[str]:
    pieces, at = [], 0
    for size in sizes:
        pieces.append(text[at : at + size])
        at += size
    return [*pieces, text[at:]]


@given(texts, st.lists(st.text("ab<>", min_size=1, max_size=4), max_size=3), st.lists(st.integers(0, 4), max_size=20))
def test_any_cutting_ends_before_the_first_stop_string(text: str, strings: list[str], sizes: list[int]) -> None:
    stops = Stops(strings)
    given_out = "".join(stops.feed(piece) for piece in cut(text, sizes)) + stops.rest()
    # Text arrives in order, so the string that is complete first ends it, not the one that begins first.
    ends = [(text.find(string) + len(string), string) for string in strings if string in text]
    if not ends:
        assert (given_out, stops.found) == (text, None)
        return
    assert stops.found in strings
    assert text.startswith(given_out + stops.found)
    assert not any(string in given_out for string in strings)


def test_text_is_held_only_while_it_may_be_a_stop_string() -> None:
    stops = Stops(["</end>"])
    assert [stops.feed(piece) for piece in ("a<", "/en", "x<", "/end>b")] == ["a", "", "</enx", ""]
    assert stops.found == "</end>"
