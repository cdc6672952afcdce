"""One prompt's way into a model's cache, in parts or, with pictures, at once; knows no sampling and no other stream."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from transformers import DynamicCache

from gateway.engines.llm.decoding import Prompt
from gateway.engines.llm.prefix_cache import Prefix
from gateway.engines.llm.rows import Forward, Rows

# What a model with attention from text to pictures (Mllama) must be given at each further token as well.
LASTING = "cross_attention_mask"


class PromptReading:
    """The cache of one stream while its prompt is read. `read` counts the tokens that are in it."""

    def __init__(self, id: int, prompt: Prompt, model: Any) -> None:
        self.id = id
        self.prompt = prompt
        self.cache: Any = DynamicCache(config=model.config)
        self.read = 0
        self._model = model
        self._tokens = torch.tensor([prompt.tokens], device=model.device)
        self._mask = torch.ones_like(self._tokens)
        self._media = {name: _placed(value, model) for name, value in prompt.media.items()}
        self._positions = model._prepare_position_ids_for_generation(
            self._tokens, {"attention_mask": self._mask, **self._media}
        )

    @property
    def left(self) -> int:
        """How many tokens are still to be read."""
        return self._tokens.shape[1] - self.read

    def resume(self, prefix: Prefix) -> None:
        """Begin after what is known already."""
        prefix.fill(self.cache)
        self.read = prefix.tokens

    def advance(self, most: int, forward: Forward) -> torch.Tensor | None:
        """Read `most` tokens, or all if there are pictures among them; the logits [1, vocabulary] after the last."""
        end = self._tokens.shape[1] if self._media else min(self.read + most, self._tokens.shape[1])
        ids, positions = self._tokens[:, self.read : end], self._positions[..., self.read : end]
        more = self._first(positions) if self._media else {}
        logits = forward(ids, self._mask[:, :end], positions, self.cache, [self.id], more)
        self.read = end
        return None if self.left else logits

    def rows(self) -> Rows:
        """The whole prompt as a row to which tokens are appended."""
        lasting = {LASTING: self._media[LASTING][:, -1:]} if LASTING in self._media else {}
        return Rows(self.id, self.cache, self.read, self._positions[..., -1:] + 1, lasting)

    def _first(self, positions: torch.Tensor) -> Mapping[str, Any]:
        """The arguments that the model itself makes of its pictures for the first pass of a generation."""
        inputs: dict[str, Any] = self._model.prepare_inputs_for_generation(
            self._tokens,
            past_key_values=self.cache,
            attention_mask=self._mask,
            position_ids=positions,
            use_cache=True,
            is_first_iteration=True,
            **self._media,
        )
        ours = ("input_ids", "past_key_values", "attention_mask", "position_ids", "use_cache", "logits_to_keep")
        return {name: value for name, value in inputs.items() if name not in ours}


def _placed(value: Any, model: Any) -> Any:
    if not isinstance(value, torch.Tensor):
        return value
    return value.to(model.device, model.dtype if value.is_floating_point() else None)
