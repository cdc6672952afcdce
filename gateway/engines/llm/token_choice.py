"""What one stream's next token depends on beside its logits; knows no model and no other stream."""

from __future__ import annotations

import random
from collections.abc import Sequence

from llguidance import LLMatcher

from gateway.engines.llm.decoding import Decoding
from gateway.engines.llm.score_edits import ScoreEdits


class TokenChoice:
    """One stream's choices: its own random numbers and its own memory of the tokens so far.

    `matcher` is where the stream is in its constraint; `logprobs` as `Decoding` has it.
    """

    def __init__(self, decoding: Decoding, prompt: Sequence[int], matcher: LLMatcher | None = None) -> None:
        self.sampling = decoding.sampling
        self.matcher = matcher
        self.logprobs = decoding.logprobs
        self.edits = ScoreEdits(decoding.sampling, decoding.logit_bias, prompt)
        # By its digits, which are hashed: numbers would lose their sign, and neighbours share most of their bits.
        self._random = random.Random(str(decoding.sampling.seed))  # noqa: S311

    @property
    def bare(self) -> bool:
        """Whether it is the largest logit whatever was chosen before, and nothing is reported of it."""
        is_greedy = self.sampling.greedy and not self.sampling.penalized and not len(self.edits.table)
        return is_greedy and self.matcher is None and self.logprobs is None

    def uniform(self) -> float:
        """The next of the stream's random numbers, each in [0, 1)."""
        return self._random.random()

    def took(self, token: int) -> None:
        """Remember the token that was chosen."""
        self.edits.took(token)
        if self.matcher is not None:
            self.matcher.consume_token(token)
