"""Chooses one stream's next token from its logits with torch; knows no model and no other stream."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from llguidance import LLMatcher
from transformers import LogitsProcessorList, TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from gateway.engines.llm.decoding import Decoding
from gateway.engines.llm.sampling import Sampling


class TokenChoice:
    """One stream's choices: its own random numbers and its own memory of the tokens so far.

    A stream's tokens depend on its seed and logits alone, and equal those of transformers' `generate` with the
    same settings and seed. `matcher` is where the stream is in its constraint; `logprobs` as `Decoding` has it.
    """

    def __init__(
        self, decoding: Decoding, prompt: Sequence[int], device: torch.device, matcher: LLMatcher | None = None
    ) -> None:
        self.sampling = decoding.sampling
        self.matcher = matcher
        self.logprobs = decoding.logprobs
        self._prompt = torch.tensor(prompt, device=device)
        self._biased = torch.tensor(list(decoding.logit_bias), dtype=torch.long, device=device)
        self._bias = torch.tensor(list(decoding.logit_bias.values()), dtype=torch.float32, device=device)
        self._seen: torch.Tensor | None = None
        self._counts: torch.Tensor | None = None
        self._random = torch.Generator(device).manual_seed(_folded(self.sampling.seed))
        self._warpers = _warpers(self.sampling)

    @property
    def plain(self) -> bool:
        """Whether the choice is the largest allowed logit as it stands."""
        return self.sampling.greedy and not self.sampling.penalized and not len(self._biased)

    def next(self, logits: torch.Tensor) -> torch.Tensor:
        """The next token for `logits`, one number for each of the vocabulary's tokens; those at -inf are out."""
        scores = logits.float()
        if len(self._biased):
            scores = scores.index_add(0, self._biased, self._bias)
        if self.sampling.penalized:
            scores = self._penalize(scores)
        if self.sampling.greedy:
            return scores.argmax()
        warped = self._warpers(cast(torch.LongTensor, self._prompt), cast(torch.FloatTensor, scores[None]))
        return torch.multinomial(warped.softmax(-1), 1, generator=self._random)[0, 0]

    def took(self, token: int) -> None:
        """Remember the token that was chosen."""
        if self._seen is not None and self._counts is not None:
            self._seen[token] = True
            self._counts[token] += 1
        if self.matcher is not None:
            self.matcher.consume_token(token)

    def _penalize(self, scores: torch.Tensor) -> torch.Tensor:
        if self._seen is None or self._counts is None:
            self._counts = torch.zeros_like(scores)
            self._seen = torch.zeros_like(scores, dtype=torch.bool)
            self._seen[self._prompt[self._prompt < len(scores)]] = True
        penalty = self.sampling.repetition_penalty
        scores = torch.where(self._seen, torch.where(scores < 0, scores * penalty, scores / penalty), scores)
        present = (self._counts > 0) * self.sampling.presence_penalty
        return scores - present - self._counts * self.sampling.frequency_penalty


def _folded(seed: int) -> int:
    """On a CPU torch's generator takes 32 bits: those beyond change the others, so that no two near seeds are alike."""
    return (seed ^ (seed >> 32) * 0x9E3779B1) & 0xFFFFFFFF


def _warpers(sampling: Sampling) -> LogitsProcessorList:
    warpers = LogitsProcessorList()
    if not sampling.greedy and sampling.temperature != 1:
        warpers.append(TemperatureLogitsWarper(float(sampling.temperature)))
    if sampling.top_k:
        warpers.append(TopKLogitsWarper(sampling.top_k))
    if sampling.top_p < 1:
        warpers.append(TopPLogitsWarper(sampling.top_p))
    return warpers
