"""How the next token is chosen, as plain numbers; knows neither the wire format's defaults nor any library."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from gateway.tasks.generation import Generation

# Below this a division by the temperature overflows and the largest probability is 1 anyway.
GREEDY_BELOW = 1e-5


@dataclass(frozen=True, slots=True)
class Sampling:
    """One request's choices; the defaults change nothing.

    `temperature` 0 is greedy, `top_k` 0 keeps every token. Repetition counts prompt and output, as in CTRL
    (Keskar et al. 2019); frequency and presence count the output alone, as OpenAI defines them.
    """

    max_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int = 0
    repetition_penalty: float = 1.0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0

    @property
    def greedy(self) -> bool:
        """Whether the most probable token is always taken."""
        return self.temperature == 0

    @property
    def penalized(self) -> bool:
        """Whether earlier tokens change the probabilities."""
        return self.repetition_penalty != 1 or self.frequency_penalty != 0 or self.presence_penalty != 0


def sampling_of(generation: Generation, max_tokens: int) -> Sampling:
    """The choices of a request with a budget of `max_tokens`.

    One without a seed gets its own, so that it differs from the next.
    """
    return Sampling(
        max_tokens=max_tokens,
        temperature=generation.temperature if generation.temperature >= GREEDY_BELOW else 0.0,
        top_p=generation.top_p,
        top_k=generation.top_k,
        seed=generation.seed if generation.seed is not None else secrets.randbits(32),
        repetition_penalty=generation.repetition_penalty,
        frequency_penalty=generation.frequency_penalty,
        presence_penalty=generation.presence_penalty,
    )
