"""Text comes out whole whatever way its bytes are cut into tokens and its tokens into steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.engines.llm.detokenize import Detokenizer
from tests import tiny

Decode = Callable[[Sequence[Sequence[int]]], list[str]]


def marking(rows: Sequence[Sequence[int]]) -> list[str]:
    """A byte is a token; what is not UTF-8 shows as U+FFFD, as in most tokenizers."""
    return [bytes(row).decode("utf-8", "replace") for row in rows]


def dropping(rows: Sequence[Sequence[int]]) -> list[str]:
    """A byte is a token; what is not UTF-8 does not show, as in OpenVINO's tokenizers."""
    return [bytes(row).decode("utf-8", "ignore") for row in rows]


def marking_each(rows: Sequence[Sequence[int]]) -> list[str]:
    """The byte tokens of a byte-level BPE, with special tokens left out."""
    return tiny.byte_tokenizer().batch_decode([list(row) for row in rows], skip_special_tokens=True)


def stream(decode: Decode, tokens: Sequence[int], sizes: Sequence[int]) -> list[str]:
    detokenizer = Detokenizer(decode)
    pieces, start = [], 0
    for size in [*sizes, *[1] * len(tokens)]:
        if start >= len(tokens):
            break
        (text,) = decode([detokenizer.push(tokens[start : start + size])])
        pieces.append(detokenizer.text(text))
        start += size
    return pieces


texts = st.text(st.characters(exclude_characters="\ufffd", codec="utf-8"), max_size=60) | st.text(
    "😀日本é a", max_size=60
)


@given(texts, st.lists(st.integers(1, 9), max_size=20), st.sampled_from([marking, dropping]))
def test_pieces_join_to_the_text_and_show_no_broken_character(text: str, sizes: list[int], decode: Decode) -> None:
    pieces = stream(decode, text.encode(), sizes)
    assert "".join(pieces) == text
    assert not any("\ufffd" in piece for piece in pieces)


@pytest.mark.parametrize("text", ["😀😀😀", "日本語のテキスト", "naïve café", "👩‍👩‍👧‍👦" * 20])
def test_each_character_comes_with_its_last_token(text: str) -> None:
    tokenizer = tiny.byte_tokenizer()
    for character in text:
        tokens = tokenizer.encode(character, add_special_tokens=False)
        assert stream(marking_each, tokens, []) == [""] * (len(tokens) - 1) + [character]


@given(st.binary(max_size=200))
def test_bytes_that_are_no_text_stop_nothing(noise: bytes) -> None:
    text = "".join(stream(marking, noise + b" end", []))
    assert text == marking([noise + b" end"])[0]


def test_the_cost_of_a_step_does_not_grow() -> None:
    longest = 0

    def decode(rows: Sequence[Sequence[int]]) -> list[str]:
        nonlocal longest
        longest = max(longest, *map(len, rows))
        return marking(rows)

    stream(decode, b"a longer text " * 100, [])
    assert longest < 32
