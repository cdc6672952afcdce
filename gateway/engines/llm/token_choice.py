"""Chooses one stream's next token from its logits with torch; knows no model and no other stream."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from transformers import LogitsProcessorList, TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from gateway.engines.llm.sampling import Sampling


class TokenChoice:
    """One stream's choices: its own random numbers and its own memory of the tokens so far.

    A stream's tokens depend on its seed and logits alone, and equal those of transformers' `generate` with the
    same settings and seed.
    """

    def __init__(self, sampling: Sampling, prompt: Sequence[int], device: torch.device) -> None:
        self.sampling = sampling
        self._prompt = torch.tensor(prompt, device=device)
        self._seen: torch.Tensor | None = None
        self._counts: torch.Tensor | None = None
        self._random = torch.Generator(device).manual_seed(sampling.seed)
        self._warpers = _warpers(sampling)

    @property
    def plain(self) -> bool:
        """Whether the choice is the largest logit as it stands."""
        return self.sampling.greedy and not self.sampling.penalized

    def next(self, logits: torch.Tensor) -> int:
        """The next token for `logits`, one number for each of the vocabulary's tokens."""
        scores = logits.float()
        if self.sampling.penalized:
            scores = self._penalize(scores)
        if self.sampling.greedy:
            token = scores.argmax()
        else:
            warped = self._warpers(cast(torch.LongTensor, self._prompt), cast(torch.FloatTensor, scores[None]))
            token = torch.multinomial(warped.softmax(-1), 1, generator=self._random)[0, 0]
        if self.sampling.penalized:
            self._remember(token)
        return int(token)

    def _penalize(self, scores: torch.Tensor) -> torch.Tensor:
        if self._seen is None or self._counts is None:
            self._counts = torch.zeros_like(scores)
            self._seen = torch.zeros_like(scores, dtype=torch.bool)
            self._seen[self._prompt[self._prompt < len(scores)]] = True
        penalty = self.sampling.repetition_penalty
        scores = torch.where(self._seen, torch.where(scores < 0, scores * penalty, scores / penalty), scores)
        present = (self._counts > 0) * self.sampling.presence_penalty
        return scores - present - self._counts * self.sampling.frequency_penalty

    def _remember(self, token: torch.Tensor) -> None:
        if self._seen is not None and self._counts is not None:
            self._seen[token] = True
            self._counts[token] += 1


def _warpers(sampling: Sampling) -> LogitsProcessorList:
    warpers = LogitsProcessorList()
    if not sampling.greedy and sampling.temperature != 1:
        warpers.append(TemperatureLogitsWarper(sampling.temperature))
    if sampling.top_k:
        warpers.append(TopKLogitsWarper(sampling.top_k))
    if sampling.top_p < 1:
        warpers.append(TopPLogitsWarper(sampling.top_p))
    return warpers
