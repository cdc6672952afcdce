"""Continues tokens with transformers on CPU or CUDA; knows no text beyond its tokenizer.

The library's continuous-batching manager is not used: it has no seeds, no penalties and no greedy stream beside
a sampled one, steps on a thread of its own, and is slower than `generate` for one stream on a CPU.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import DynamicCache

from gateway.config import ModelSpec
from gateway.engines.llm.backend import Advance
from gateway.engines.llm.decoding import Decoding, Prompt
from gateway.engines.llm.rows import Rows, mergeable
from gateway.engines.llm.token_choice import TokenChoice
from gateway.engines.llm.transformers_weights import load
from gateway.engines.llm.weights import Weights
from gateway.engines.precision import choose, use_threads
from gateway.errors import GatewayError, InferenceFailed

PROMPT_TOKENS_PER_STEP = 512
logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Stream:
    prompt: list[int]
    choice: TokenChoice
    cache: Any
    read: int = 0
    tokens: list[int] = field(default_factory=list)


class TransformersModel:
    """A `TokenModel` over one causal language model.

    Each step gives every running stream one token in a shared pass, then reads at most
    `PROMPT_TOKENS_PER_STEP` tokens of waiting prompts, oldest first, so a long prompt delays nobody for long.
    Models whose caches cannot be merged (sliding windows, recurrent states) are run stream by stream.
    """

    adapters: Collection[str] = ()
    constrains_special_tokens = False

    def __init__(self, spec: ModelSpec, weights: Weights) -> None:
        use_threads(spec)
        precision = choose(spec)
        self.device = precision.device
        loaded = load(spec, weights, precision.torch_dtype, precision.device)
        self.tokenizer, self.window = loaded.tokenizer, loaded.window
        self._model, self._ends = loaded.model, loaded.ends
        parameters = inspect.signature(self._model.forward).parameters
        self._last_only = {"logits_to_keep": 1} if "logits_to_keep" in parameters else {}
        self._waiting: dict[int, _Stream] = {}
        self._running: dict[int, _Stream] = {}
        self._batches: list[Rows] = []

    def add(self, id: int, prompt: Prompt, decoding: Decoding) -> None:
        """Queue one stream."""
        choice = TokenChoice(decoding.sampling, prompt.tokens, self._model.device)
        self._waiting[id] = _Stream(list(prompt.tokens), choice, DynamicCache(config=self._model.config))

    @torch.inference_mode()
    def step(self) -> Sequence[tuple[int, Advance | GatewayError]]:
        """One token for every running stream, and a part of the waiting prompts."""
        advances: list[tuple[int, Advance | GatewayError]] = []
        for batch in list(self._batches):
            tokens = [self._running[id].tokens[-1] for id in batch.ids]
            logits = batch.forward(tokens, self._forward)
            advances += self._choose(batch.ids, logits)
        advances += self._read_prompts()
        for id, advance in advances:
            if isinstance(advance, GatewayError) or advance.finish_reason is not None:
                self.drop(id)
        return advances

    def drop(self, id: int) -> None:
        """Forget a stream and its cache."""
        self._waiting.pop(id, None)
        if self._running.pop(id, None) is None:
            return
        batch = next(batch for batch in self._batches if id in batch.ids)
        batch.remove(id)
        if not batch.ids:
            self._batches.remove(batch)

    def _read_prompts(self) -> Iterable[tuple[int, Advance | GatewayError]]:
        left = PROMPT_TOKENS_PER_STEP
        advances: list[tuple[int, Advance | GatewayError]] = []
        for id, stream in list(self._waiting.items()):
            if left <= 0:
                break
            part = stream.prompt[stream.read : stream.read + left]
            left -= len(part)
            try:
                advances += self._read_part(id, stream, part)
            except RuntimeError as error:
                logger.error("a prompt failed", exc_info=error)
                advances.append((id, InferenceFailed()))
        return advances

    def _read_part(self, id: int, stream: _Stream, part: list[int]) -> list[tuple[int, Advance]]:
        device = self._model.device
        end = stream.read + len(part)
        positions = torch.arange(stream.read, end, device=device)[None]
        mask = torch.ones(1, end, dtype=torch.long, device=device)
        logits = self._forward(torch.tensor([part], device=device), mask, positions, stream.cache)
        stream.read = end
        if end < len(stream.prompt):
            return []
        self._running[id] = self._waiting.pop(id)
        self._place(Rows(id, stream.cache, end, device), stream)
        return self._choose([id], logits)

    def _place(self, row: Rows, stream: _Stream) -> None:
        if self._batches and mergeable(stream.cache):
            self._batches[0].join(row)
        else:
            self._batches.append(row)

    def _forward(self, ids: torch.Tensor, mask: torch.Tensor, positions: torch.Tensor, cache: Any) -> torch.Tensor:
        output = self._model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            **self._last_only,
        )
        logits: torch.Tensor = output.logits[:, -1]
        return logits

    def _choose(self, ids: Sequence[int], logits: torch.Tensor) -> list[tuple[int, Advance]]:
        largest = logits.argmax(-1).tolist()
        return [
            (id, self._advance(self._running[id], greedy, row))
            for id, greedy, row in zip(ids, largest, logits, strict=True)
        ]

    def _advance(self, stream: _Stream, greedy: int, logits: torch.Tensor) -> Advance:
        token = greedy if stream.choice.plain else stream.choice.next(logits)
        stream.tokens.append(token)
        if token in self._ends:
            return Advance([token], "stop")
        return Advance([token], "length" if len(stream.tokens) >= stream.choice.sampling.max_tokens else None)
