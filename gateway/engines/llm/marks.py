"""Finds the first of some strings in a text that is still growing; knows neither stop strings nor markup."""

from __future__ import annotations

from collections.abc import Sequence


def find_first(text: str, at: int, strings: Sequence[str]) -> tuple[int, str] | None:
    """Where, from `at` on, the string that is complete first begins, and which it is; the longer of two at once.

    What is found this way does not depend on how much of the text has arrived.
    """
    hits = [(begin + len(string), begin, string) for string in strings if (begin := text.find(string, at)) >= 0]
    return min(hits)[1:] if hits else None


def undecided(text: str, at: int, strings: Sequence[str]) -> int:
    """Where, from `at` on, the longest end of `text` begins that may become one of the strings; else its length."""
    return len(text) - max((_overlap(text, at, string) for string in strings), default=0)


def _overlap(text: str, at: int, string: str) -> int:
    most = min(len(text) - at, len(string) - 1)
    return next((size for size in range(most, 0, -1) if text.endswith(string[:size])), 0)
