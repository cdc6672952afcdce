"""Guesses a stream's next tokens from those it has and from former streams; knows no model and no pass.

After "Prompt Lookup Decoding" (A. Saxena, 2023): texts repeat themselves and their prompts; and a caller's streams are
alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from gateway.engines.llm.followers import Followers

# The more tokens are alike, the likelier the guess.
LONGEST = 4
# Of a stream's tokens, where it is looked for guesses first.
LATEST = 8192
# Of each kind of guess: a third is right until it is known better, and what was long ago counts less.
FIRST_RIGHT, FIRST_TRIED, REMEMBERED = 1.0, 3.0, 2000.0
# The kind that is believed is the one that looks best, so that each guess behind another is less sure than it looks
# (found by trying on texts of SmolLM2: 0.8 and 0.9 are hardly worse).
DOUBT = 0.85
# What speaks for a guess: behind how many of the last tokens it was found in the stream, behind how many in former
# ones, and their trust (see `Followers`).
Kind = tuple[int, int, int]
LAST: Kind = (0, 0, 0)


class Guess(NamedTuple):
    """A token, and how likely it is that the stream has it and all those guessed before it."""

    token: int
    odds: float


class Odds:
    """How often guesses of each kind were right."""

    def __init__(self) -> None:
        self._right: dict[Kind, float] = {}
        self._tried: dict[Kind, float] = {}

    def of(self, kind: Kind) -> float:
        """The share of right ones."""
        return self._right.get(kind, FIRST_RIGHT) / self._tried.get(kind, FIRST_TRIED)

    def note(self, kind: Kind, *, right: bool) -> None:
        """One more of that kind."""
        tried, rights = self._tried.get(kind, FIRST_TRIED) + 1, self._right.get(kind, FIRST_RIGHT) + right
        fading = 0.5 if tried > REMEMBERED else 1.0
        self._tried[kind], self._right[kind] = tried * fading, rights * fading


class Experience:
    """What all streams of a model share: how good guesses are, and if it `remembers`, what followed what."""

    def __init__(self, *, remembers: bool) -> None:
        self.odds = Odds()
        self.followers = Followers() if remembers else None


class Guesses:
    """Those for one stream: what followed its last tokens before, in it or in those of its salt."""

    def __init__(self, prompt: Sequence[int], experience: Experience, salt: str) -> None:
        self._tokens = list(prompt)
        self._prompt_length = len(prompt)
        self._odds, self._followers, self._salt = experience.odds, experience.followers, salt
        # The stream's own are only kept once it is asked for guesses.
        self._own: dict[tuple[int, ...], int] | None = None

    def follow(self, tokens: Sequence[int]) -> None:
        """The stream's tokens behind its prompt, of which those of the last call are known."""
        for token in tokens[len(self._tokens) - self._prompt_length :]:
            self._learn(token)

    def chain(self, forced: Sequence[int] = ()) -> Iterator[Guess]:
        """One token behind the other, without end; at first those that are `forced` by something else."""
        if self._own is None:
            self._own = {}
            for end in range(max(1, len(self._tokens) - LATEST), len(self._tokens)):
                self._keep(self._own, _runs(self._tokens, end), self._tokens[end])
        yield from (Guess(token, 1.0) for token in forced)
        tail, odds = [*self._tokens[-LONGEST:], *forced][-LONGEST:], 1.0
        while True:
            kind, token = max(self._found(self._own, tail), key=lambda found: self._odds.of(found[0]))
            odds *= self._odds.of(kind)
            yield Guess(token, odds)
            tail, odds = [*tail, token][-LONGEST:], odds * DOUBT

    def _learn(self, token: int) -> None:
        runs = _runs(self._tokens, len(self._tokens))
        if self._own is not None:
            for kind, guess in self._found(self._own, self._tokens[-LONGEST:]):
                self._odds.note(kind, right=guess == token)
            self._keep(self._own, runs, token)
        if self._followers is not None:
            for run in runs:
                self._followers.note(self._salt, run, token)
        self._tokens.append(token)

    def _found(self, own: dict[tuple[int, ...], int], tail: Sequence[int]) -> list[tuple[Kind, int]]:
        """The guesses behind `tail`, each with all that speaks for it."""
        owns: dict[int, int] = {}
        formers: dict[int, tuple[int, int]] = {}
        for run in _runs(tail, len(tail)):
            if (token := own.get(run)) is not None:
                owns.setdefault(token, len(run))
            if self._followers is not None and (known := self._followers.find(self._salt, run)) is not None:
                formers.setdefault(known[0], (len(run), known[1]))
        kinds = [((owns.get(token, 0), *formers.get(token, (0, 0))), token) for token in owns | formers]
        return kinds or [(LAST, tail[-1])]

    @staticmethod
    def _keep(own: dict[tuple[int, ...], int], runs: Sequence[tuple[int, ...]], token: int) -> None:
        for run in runs:
            own[run] = token


def _runs(tokens: Sequence[int], end: int) -> list[tuple[int, ...]]:
    """The runs of tokens that end before `end`, the longest first."""
    return [tuple(tokens[end - length : end]) for length in range(min(LONGEST, end), 0, -1)]
