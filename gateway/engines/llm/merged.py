"""Steps streams whose keys and values are merged into padded batches; knows no sampling and no text."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from gateway.config import MIB, ModelSpec
from gateway.engines.llm.adapters import Adapters
from gateway.engines.llm.options import Options
from gateway.engines.llm.prefix_cache import PrefixCache
from gateway.engines.llm.prompt_reading import PromptReading
from gateway.engines.llm.rows import Rows
from gateway.engines.llm.stepping import PROMPT_TOKENS_PER_STEP, Pass, TokenStream
from gateway.errors import InferenceFailed

logger = logging.getLogger(__name__)


class MergedStepper:
    """A `Stepper` for every model of transformers, on any device.

    Each step gives every running stream one token in a shared pass, then reads at most
    `PROMPT_TOKENS_PER_STEP` tokens of waiting prompts, oldest first, so a long prompt delays nobody for long; one
    with pictures is read at once. Models whose caches cannot be merged (sliding windows, recurrent states, attention
    to pictures) are run stream by stream.
    """

    def __init__(self, spec: ModelSpec, options: Options, model: Any, adapters: Adapters, window: int) -> None:
        self.window = window
        self.cache_bytes = 0 if spec.prefix_cache == "off" else options.prefix_cache_mib * MIB
        self._model, self._adapters = model, adapters
        parameters = inspect.signature(model.forward).parameters
        self._last_only = {"logits_to_keep": 1} if "logits_to_keep" in parameters else {}
        self._shares_prefixes = spec.prefix_cache == "shared"
        self._prefixes = PrefixCache(self.cache_bytes) if self.cache_bytes else None
        self._streams: dict[int, TokenStream] = {}
        self._waiting: dict[int, PromptReading | None] = {}
        self._batches: list[Rows] = []

    def add(self, id: int, stream: TokenStream) -> None:
        """Queue one stream."""
        self._streams[id] = stream
        self._waiting[id] = None

    def step(self) -> Iterator[Pass]:
        """A pass for each batch of running streams, then one for each prompt that was read to its end."""
        for batch in list(self._batches):
            tokens = [self._streams[id].tokens[-1] for id in batch.ids]
            yield list(batch.ids), batch.forward(tokens, self._forward)
        yield from self._read_prompts()

    def drop(self, id: int) -> None:
        """Forget a stream and its cache."""
        self._waiting.pop(id, None)
        if self._streams.pop(id, None) is None:
            return
        for batch in [batch for batch in self._batches if id in batch.ids]:
            batch.remove(id)
            if not batch.ids:
                self._batches.remove(batch)

    def _read_prompts(self) -> Iterator[Pass]:
        left = PROMPT_TOKENS_PER_STEP
        for id in list(self._waiting):
            if left <= 0:
                break
            try:
                reading = self._waiting[id] or self._open(id)
                before = reading.left
                logits = self._read_part(reading, left)
                left -= before - reading.left
            except Exception as error:  # one prompt, whose pictures may make the library raise anything
                logger.error("a prompt failed", exc_info=error)
                yield [id], InferenceFailed()
            else:
                if logits is not None:
                    yield [id], logits

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

    def _salt(self, stream: TokenStream) -> str:
        return stream.decoding.cache_salt(accounts=not self._shares_prefixes)

    def _read_part(self, reading: PromptReading, most: int) -> torch.Tensor | None:
        logits = reading.advance(most, self._forward)
        if logits is None:
            return None
        del self._waiting[reading.id]
        row, stream = reading.rows(), self._streams[reading.id]
        if self._prefixes is not None and row.open and not stream.prompt.media:
            self._prefixes.keep(self._salt(stream), stream.prompt.tokens, reading.cache)
        self._place(row)
        return logits

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
