"""Streams over pages and the parts of them that a pass computes; plans nothing."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.engines.llm.guesses import Guesses
from gateway.engines.llm.pages import Held
from gateway.engines.llm.stepping import TokenStream


@dataclass(slots=True)
class Line:
    """One stream: the first `read` of its tokens, the prompt's and those since, are in the pages it holds.

    `names` are those of the full pages of its prompt, none if it shares with nobody.
    """

    id: int
    stream: TokenStream
    names: list[bytes]
    guesses: Guesses
    held: Held | None = None
    read: int = 0

    @property
    def left(self) -> int:
        """How many tokens have not been read."""
        return len(self.stream.prompt.tokens) + len(self.stream.tokens) - self.read

    @property
    def runs(self) -> bool:
        """Whether all but its newest token has been read."""
        return self.left == 1 and bool(self.stream.tokens)

    def tokens(self) -> list[int]:
        """The prompt's tokens and those since."""
        return self.stream.prompt.tokens + self.stream.tokens

    def alike(self, other: Line) -> int:
        """With how many full pages both prompts begin."""
        pairs = zip(self.names, other.names, strict=False)
        return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))


@dataclass(frozen=True, slots=True)
class Run:
    """Tokens behind the first `past` of a stream, and where its keys and values are; if it `ends`, with logits.

    `adapter` is the name of the LoRA adapter that they are computed with.
    """

    tokens: Sequence[int]
    past: int
    held: Held
    ends: bool
    adapter: str | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """The next `count` tokens of a stream in one pass; if it `ends`, all have been read then."""

    line: Line
    held: Held
    count: int
    ends: bool

    def runs(self) -> list[Run]:
        """Its tokens, and its guesses, each as if it were another stream in the same pages.

        Attention rounds one token of a stream in another way than several.
        """
        line, stream = self.line, self.line.stream
        tokens = stream.tokens[-1:] if line.runs else line.tokens()[line.read : line.read + self.count]
        adapter = stream.decoding.adapter
        own = Run(tokens, line.read, self.held, self.ends, adapter)
        past = line.read + self.count
        return [own, *(Run([token], past + at, self.held, True, adapter) for at, token in enumerate(stream.guessed))]
