"""The seam between the streams of a model of transformers and the passes that continue them; chooses no token."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch

from gateway.engines.llm.decoding import Decoding, Prompt
from gateway.engines.llm.token_choice import TokenChoice
from gateway.errors import GatewayError

# Of waiting prompts in one step, so that a long one delays nobody for long.
PROMPT_TOKENS_PER_STEP = 512


@dataclass(slots=True)
class TokenStream:
    """One stream: what it was given, its `tokens` so far, and how many of its prompt were not computed again.

    `guessed` is what its next tokens were taken for in the pass under way, so that those behind them are known as well.
    """

    prompt: Prompt
    decoding: Decoding
    choice: TokenChoice
    tokens: list[int] = field(default_factory=list)
    cached: int = 0
    guessed: Sequence[int] = ()


Pass = tuple[Sequence[int], torch.Tensor | GatewayError]
"""The ids of some streams, and the logits [rows, vocabulary] of their next tokens or why they fail.

A stream has one row, and one more behind it for each guess.
"""


class Stepper(Protocol):
    """Computes the logits of streams; `window` is the longest stream in tokens, `cache_bytes` what it may grow by."""

    window: int
    cache_bytes: int

    def add(self, id: int, stream: TokenStream) -> None:
        """Queue one stream: no work is done before `step`."""

    def step(self) -> Iterator[Pass]:
        """The passes of one step. Before the next is asked for, each stream has its token or is to be dropped."""

    def drop(self, id: int) -> None:
        """Forget a stream and its keys and values; unknown ids are ignored. Not while a step is under way."""
