"""Guesses a stream's next token from those it has (prompt lookup); knows no model.

After "Prompt Lookup Decoding" (A. Saxena, 2023): texts repeat themselves and their prompts.
"""

from __future__ import annotations

from collections.abc import Sequence

# The more tokens are alike, the likelier the guess.
LONGEST = 3


class Guesses:
    """What followed when a stream's last tokens were there before."""

    def __init__(self) -> None:
        self._after: dict[tuple[int, ...], int] = {}
        self._known = 0

    def next(self, tokens: Sequence[int]) -> int:
        """The likeliest token behind `tokens`, which are those of the last call and more."""
        for end in range(self._known, len(tokens)):
            for length in range(1, min(LONGEST, end) + 1):
                self._after[tuple(tokens[end - length : end])] = tokens[end]
        self._known = len(tokens)
        found = (self._after.get(tuple(tokens[-length:])) for length in range(LONGEST, 0, -1))
        return next((token for token in found if token is not None), tokens[-1])
