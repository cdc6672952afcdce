"""Continues tokens with transformers on CPU or CUDA; knows no text beyond its tokenizer.

The library's continuous-batching manager is not used: it has no seeds, no penalties and no greedy stream beside
a sampled one, steps on a thread of its own, and is slower than `generate` for one stream on a CPU.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from gateway.config import MIB, ModelSpec
from gateway.engines.llm.adapters import Adapters
from gateway.engines.llm.backend import Advance, Tokenizer, TokenReport
from gateway.engines.llm.decoding import Decoding, Prompt
from gateway.engines.llm.grammar import Grammars
from gateway.engines.llm.options import Options
from gateway.engines.llm.prefix_cache import PrefixCache
from gateway.engines.llm.prompt_reading import PromptReading
from gateway.engines.llm.row_choice import choose
from gateway.engines.llm.rows import Rows
from gateway.engines.llm.token_choice import TokenChoice
from gateway.engines.llm.transformers_weights import load
from gateway.engines.llm.weights import Weights
from gateway.engines.precision import choose as choose_precision
from gateway.engines.precision import use_threads
from gateway.errors import BadInput, GatewayError, InferenceFailed

PROMPT_TOKENS_PER_STEP = 512
logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Stream:
    prompt: Prompt
    decoding: Decoding
    choice: TokenChoice
    tokens: list[int] = field(default_factory=list)
    cached: int = 0


class TransformersModel:
    """A `TokenModel` over one causal or vision-language model.

    Each step gives every running stream one token in a shared pass, then reads at most
    `PROMPT_TOKENS_PER_STEP` tokens of waiting prompts, oldest first, so a long prompt delays nobody for long; one
    with pictures is read at once. Models whose caches cannot be merged (sliding windows, recurrent states, attention
    to pictures) are run stream by stream.
    """

    constrains_special_tokens = False

    def __init__(self, spec: ModelSpec, options: Options, weights: Weights) -> None:
        use_threads(spec)
        precision = choose_precision(spec)
        self.device = precision.device
        self.cache_bytes = 0 if spec.prefix_cache == "off" else options.prefix_cache_mib * MIB
        loaded = load(spec, weights, precision.torch_dtype, precision.device)
        self.tokenizer: Tokenizer = loaded.tokenizer
        self.window = loaded.window
        self._model, self._ends = loaded.model, loaded.ends
        self._adapters = Adapters(spec, loaded.model)
        self.adapters: Collection[str] = self._adapters.names
        self._width = loaded.model.get_output_embeddings().weight.shape[0]
        self._grammars = Grammars(loaded.tokenizer.library, loaded.ends, self._width)
        parameters = inspect.signature(self._model.forward).parameters
        self._last_only = {"logits_to_keep": 1} if "logits_to_keep" in parameters else {}
        self._shares_prefixes = spec.prefix_cache == "shared"
        limit_bytes = 0 if spec.prefix_cache == "off" else options.prefix_cache_mib * MIB
        self._prefixes = PrefixCache(limit_bytes) if limit_bytes else None
        self._streams: dict[int, _Stream] = {}
        self._waiting: dict[int, PromptReading | None] = {}
        self._batches: list[Rows] = []

    def add(self, id: int, prompt: Prompt, decoding: Decoding) -> None:
        """Queue one stream; raises `BadInput` for a bias or a constraint that this model cannot have."""
        outside = next((token for token in decoding.logit_bias if not 0 <= token < self._width), None)
        if outside is not None:
            raise BadInput(f"'/logit_bias/{outside}' is not a token of this model; they are 0 to {self._width - 1}")
        matcher = self._grammars.start(decoding.constraint) if decoding.constraint is not None else None
        choice = TokenChoice(decoding, prompt.tokens, self._model.device, matcher)
        self._streams[id] = _Stream(prompt, decoding, choice)
        self._waiting[id] = None

    @torch.inference_mode()
    def step(self) -> Sequence[tuple[int, Advance | GatewayError]]:
        """One token for every running stream, and a part of the waiting prompts."""
        advances: list[tuple[int, Advance | GatewayError]] = []
        for batch in list(self._batches):
            tokens = [self._streams[id].tokens[-1] for id in batch.ids]
            advances += self._choose(batch.ids, batch.forward(tokens, self._forward))
        advances += self._read_prompts()
        for id, advance in advances:
            if isinstance(advance, GatewayError) or advance.finish_reason is not None:
                self.drop(id)
        return advances

    def drop(self, id: int) -> None:
        """Forget a stream and its cache."""
        self._waiting.pop(id, None)
        if self._streams.pop(id, None) is None:
            return
        for batch in [batch for batch in self._batches if id in batch.ids]:
            batch.remove(id)
            if not batch.ids:
                self._batches.remove(batch)

    def _read_prompts(self) -> Iterable[tuple[int, Advance | GatewayError]]:
        left = PROMPT_TOKENS_PER_STEP
        advances: list[tuple[int, Advance | GatewayError]] = []
        for id in list(self._waiting):
            if left <= 0:
                break
            try:
                reading = self._waiting[id] or self._open(id)
                before = reading.left
                advances += self._read_part(reading, left)
                left -= before - reading.left
            except Exception as error:  # one prompt, whose pictures may make the library raise anything
                logger.error("a prompt failed", exc_info=error)
                advances.append((id, InferenceFailed()))
        return advances

    def _open(self, id: int) -> PromptReading:
        stream = self._streams[id]
        reading = PromptReading(id, stream.prompt, self._model)
        known = None
        if self._prefixes is not None and not stream.prompt.media:
            known = self._prefixes.find(self._salt(stream), stream.prompt.tokens)
        if known is not None:
            reading.resume(known)
            stream.cached = known.tokens
        self._waiting[id] = reading
        return reading

    def _salt(self, stream: _Stream) -> str:
        """What separates prompts whose work may not be shared: an adapter changes keys and values."""
        account = "" if self._shares_prefixes else stream.decoding.salt
        return f"{stream.decoding.adapter or ''}\n{account}"

    def _read_part(self, reading: PromptReading, most: int) -> list[tuple[int, Advance | GatewayError]]:
        logits = reading.advance(most, self._forward)
        if logits is None:
            return []
        del self._waiting[reading.id]
        row, stream = reading.rows(), self._streams[reading.id]
        if self._prefixes is not None and row.open and not stream.prompt.media:
            self._prefixes.keep(self._salt(stream), stream.prompt.tokens, reading.cache)
        advances = self._choose([reading.id], logits)
        self._place(row)
        return advances

    def _place(self, row: Rows) -> None:
        shared = next((batch for batch in self._batches if batch.open), None)
        if row.open and shared is not None:
            shared.join(row)
        else:
            self._batches.append(row)

    def _forward(
        self,
        ids: torch.Tensor,
        mask: torch.Tensor,
        positions: torch.Tensor,
        cache: Any,
        streams: Sequence[int],
        more: Mapping[str, Any],
    ) -> torch.Tensor:
        inputs = {"input_ids": ids, "attention_mask": mask, "position_ids": positions, "past_key_values": cache}
        adapters = [self._streams[id].decoding.adapter for id in streams]
        output = self._adapters.run(adapters, {**inputs, "use_cache": True, **self._last_only, **more})
        logits: torch.Tensor = output.logits[:, -1]
        return logits

    def _choose(self, ids: Sequence[int], logits: torch.Tensor) -> list[tuple[int, Advance | GatewayError]]:
        streams = [self._streams[id] for id in ids]
        chosen = choose([stream.choice for stream in streams], logits)
        return [
            (id, found if isinstance(found, GatewayError) else self._advance(stream, found.token, found.reports))
            for id, stream, found in zip(ids, streams, chosen, strict=True)
        ]

    def _advance(self, stream: _Stream, token: int, reports: list[TokenReport]) -> Advance:
        cached = 0 if stream.tokens else stream.cached
        stream.tokens.append(token)
        # What has reached the end of its constraint has nothing but its end left to write.
        ends = token in self._ends and (not stream.decoding.ignore_eos or stream.choice.matcher is not None)
        full = len(stream.tokens) >= stream.decoding.sampling.max_tokens
        return Advance([token], "stop" if ends else "length" if full else None, cached, reports)
