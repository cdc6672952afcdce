"""Continues tokens with OpenVINO GenAI's continuous batching on CPUs; knows no text beyond its tokenizer."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import openvino
import openvino_genai
from openvino_genai import GenerationFinishReason, GenerationStatus

from gateway.config import ModelSpec
from gateway.engines.llm.backend import Advance, Tokenizer
from gateway.engines.llm.conversion import converted
from gateway.engines.llm.decoding import Decoding, Prompt
from gateway.engines.llm.facts import Facts, config_facts, gguf_facts, saved_facts
from gateway.engines.llm.openvino_setup import plan_room, properties, scheduler
from gateway.engines.llm.options import Options
from gateway.engines.llm.weights import Weights
from gateway.errors import GatewayError, InferenceFailed, Overloaded

REASONS = {GenerationFinishReason.STOP: "stop", GenerationFinishReason.LENGTH: "length"}
logger = logging.getLogger(__name__)


class OpenVinoTokenizer:
    """The tokenizer that comes with the weights."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self.template: str | None = tokenizer.get_original_chat_template() or None
        self.bos_token: str = tokenizer.get_bos_token()
        self.eos_token: str = tokenizer.get_eos_token()
        pad = tokenizer.get_pad_token_id()
        self._pads_silently = pad >= 0 and not tokenizer.decode([pad])

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        """The ids of `text`."""
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=add_special_tokens).input_ids.data[0].tolist()
        return ids

    def decode(self, rows: Sequence[Sequence[int]], *, special: bool = False) -> list[str]:
        """The text of each row; special tokens are left out unless asked for."""
        filled = [list(row) for row in rows if row]
        if filled and self._pads_silently and not special:
            texts = iter(self._tokenizer.decode(filled))
        else:
            texts = iter([self._tokenizer.decode(row, skip_special_tokens=not special) for row in filled])
        return [next(texts) if row else "" for row in rows]


class OpenVinoModel:
    """A `TokenModel` over one pipeline.

    With the same seed a request gives the same tokens again; beside other streams rounding may differ, and with
    it a close choice; `batch_invariant` makes that rare.
    """

    device = "cpu"
    adapters: Collection[str] = ()

    def __init__(self, spec: ModelSpec, options: Options, weights: Weights) -> None:
        folder = converted(weights.path) if weights.kind == "gguf" and options.keep_converted else None
        path = folder or weights.path
        facts = saved_facts(path) if folder else _facts(weights)
        room = plan_room(spec, options, facts)
        tokenizer = openvino_genai.Tokenizer(path)
        self._pipeline = openvino_genai.ContinuousBatchingPipeline(
            path, tokenizer, scheduler(spec, options, room), "CPU", **properties(spec, options)
        )
        self.tokenizer: Tokenizer = OpenVinoTokenizer(tokenizer)
        self.window = _uncut(self.tokenizer, room.window)
        ends = {*self._pipeline.get_config().stop_token_ids, *facts.stop_tokens, tokenizer.get_eos_token_id()}
        self._ends = {end for end in ends if end >= 0}
        self._handles: dict[int, Any] = {}
        self._numbers = itertools.count()
        logger.info("%s: window %d tokens, up to %d GiB of keys and values", spec.name, self.window, room.cache_gib)

    def add(self, id: int, prompt: Prompt, decoding: Decoding) -> None:
        """Queue one stream; raises `InferenceFailed` if the pipeline refuses it."""
        ids = openvino.Tensor(np.array([prompt.tokens], dtype=np.int64))
        try:
            self._handles[id] = self._pipeline.add_request(next(self._numbers), ids, self._generation(decoding))
        except RuntimeError as error:
            logger.error("the pipeline refused a request", exc_info=error)
            raise InferenceFailed from error

    def step(self) -> Sequence[tuple[int, Advance | GatewayError]]:
        """One pass of the pipeline over all streams."""
        self._pipeline.step()
        advances: list[tuple[int, Advance | GatewayError]] = []
        for id, handle in list(self._handles.items()):
            advance = _read(handle)
            if advance is None:
                continue
            advances.append((id, advance))
            if isinstance(advance, GatewayError) or advance.finish_reason is not None:
                del self._handles[id]
        return advances

    def drop(self, id: int) -> None:
        """Cancel a stream; the next pass frees its blocks, and the last one to leave is given that pass."""
        handle = self._handles.pop(id, None)
        if handle is not None:
            handle.cancel()
            if not self._handles:
                self._pipeline.step()

    def _generation(self, decoding: Decoding) -> Any:
        sampling = decoding.sampling
        chosen = {}
        if not sampling.greedy:
            chosen = {"do_sample": True, "temperature": sampling.temperature, "top_p": sampling.top_p}
            chosen |= {"rng_seed": sampling.seed}
            if sampling.top_k:
                chosen["top_k"] = sampling.top_k
        return openvino_genai.GenerationConfig(
            max_new_tokens=sampling.max_tokens,
            stop_token_ids=self._ends,
            repetition_penalty=sampling.repetition_penalty,
            frequency_penalty=sampling.frequency_penalty,
            presence_penalty=sampling.presence_penalty,
            **chosen,
        )


def _read(handle: Any) -> Advance | GatewayError | None:
    tokens: list[int] = []
    reason = None
    while handle.can_read():
        for output in handle.read().values():
            tokens += output.generated_ids
            reason = REASONS.get(output.finish_reason, reason)
    if tokens or reason:
        return Advance(tokens, reason)
    if handle.get_status() == GenerationStatus.IGNORED:
        return Overloaded("the model's memory for keys and values is full")
    return None


def _uncut(tokenizer: Tokenizer, window: int) -> int:
    """The window in which no prompt is cut: some tokenizers silently end at a length of their own.

    OpenVINO 2026.4 builds that of a GGUF to end at 8192 tokens, whatever the model's window.
    """
    longest = len(tokenizer.encode("a " * (window + 1), add_special_tokens=False))
    if longest < window:
        logger.warning("the tokenizer ends at %d tokens, which shortens the window of %d", longest, window)
    return min(window, longest)


def _facts(weights: Weights) -> Facts:
    return gguf_facts(weights.path) if weights.kind == "gguf" else config_facts(weights.path)
