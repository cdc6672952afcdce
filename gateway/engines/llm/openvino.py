"""Continues tokens with OpenVINO GenAI's continuous batching on CPUs; knows no text beyond its tokenizer."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import openvino
import openvino_genai
from openvino_genai import GenerationFinishReason, GenerationStatus

from gateway.config import GIB, ModelSpec
from gateway.engines.llm.backend import Advance, Tokenizer, TokenReport
from gateway.engines.llm.compiling import Compiling
from gateway.engines.llm.constraint import Constraint
from gateway.engines.llm.conversion import converted
from gateway.engines.llm.decoding import Decoding, Prompt
from gateway.engines.llm.ebnf import Grammar, Unsupported, grammar_of
from gateway.engines.llm.facts import Facts, config_facts, gguf_facts, saved_facts
from gateway.engines.llm.known_blocks import KnownBlocks
from gateway.engines.llm.openable import openable
from gateway.engines.llm.openvino_setup import plan_room, properties, scheduler
from gateway.engines.llm.openvino_tokenizer import OpenVinoTokenizer
from gateway.engines.llm.options import Options
from gateway.engines.llm.weights import Weights
from gateway.errors import BadInput, GatewayError, InferenceFailed, Overloaded

REASONS = {GenerationFinishReason.STOP: "stop", GenerationFinishReason.LENGTH: "length"}
logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Stream:
    """A request in the pipeline: its tokens so far, and how many the cache had until that has been told."""

    handle: Any
    tokens: list[int]
    cached_tokens: int | None
    reports: bool


@dataclass(slots=True)
class _Coming:
    """A request that is not in the pipeline yet."""

    prompt: Prompt
    generation: Any
    grammar: Grammar | None
    reports: bool


class OpenVinoModel:
    """A `TokenModel` over one pipeline.

    With the same seed a request gives the same tokens again; beside other streams rounding may differ, and with
    it a close choice; `batch_invariant` makes that rare.
    """

    device = "cpu"
    adapters: Collection[str] = ()
    # Its grammars know the tokens by their names alone.
    constrains_special_tokens = True

    def __init__(self, spec: ModelSpec, options: Options, weights: Weights) -> None:
        folder = converted(weights.path) if weights.kind == "gguf" and options.keep_converted else None
        facts = saved_facts(folder) if folder else _facts(weights)
        room = plan_room(spec, options, facts)
        with TemporaryDirectory() as own:
            path = folder or (openable(weights.path, Path(own)) if weights.kind == "gguf" else weights.path)
            tokenizer = openvino_genai.Tokenizer(path)
            self._pipeline = openvino_genai.ContinuousBatchingPipeline(
                path, tokenizer, scheduler(spec, options, room), "CPU", **properties(spec, options)
            )
        self.tokenizer: Tokenizer = OpenVinoTokenizer(tokenizer)
        self.window = _uncut(self.tokenizer, room.window)
        self.cache_bytes = room.cache_gib * GIB
        ends = {*self._pipeline.get_config().stop_token_ids, *facts.stop_tokens, tokenizer.get_eos_token_id()}
        self._ends = {end for end in ends if end >= 0}
        self._streams: dict[int, _Stream] = {}
        self._held: dict[int, _Coming] = {}
        self._compiling = Compiling()
        # Where prompts share no work, there is no room.
        self._blocks = KnownBlocks(room.cache_tokens if spec.prefix_cache == "shared" else 0)
        self._numbers = itertools.count()
        logger.info("%s: window %d tokens, up to %d GiB of keys and values", spec.name, self.window, room.cache_gib)

    def add(self, id: int, prompt: Prompt, decoding: Decoding) -> None:
        """Queue one stream; raises `BadInput` for what OpenVINO cannot do, `InferenceFailed` if it refuses it."""
        grammar = None if decoding.constraint is None else _grammar(decoding.constraint)
        coming = _Coming(prompt, self._generation(decoding, grammar), grammar, reports=decoding.logprobs is not None)
        if self._may_enter(coming, first=not self._held):
            self._enter(id, coming)
        else:
            self._held[id] = coming

    def _may_enter(self, coming: _Coming, *, first: bool) -> bool:
        """Whether its grammar costs nothing, or nobody is there to be held up, or it is the next and has room."""
        grammar = coming.grammar
        if grammar is None or not self._streams or self._compiling.knows(grammar):
            return True
        return first and self._compiling.has_room(grammar)

    def _enter(self, id: int, coming: _Coming) -> None:
        tokens = coming.prompt.tokens
        cached = self._blocks.cached_tokens(tokens)
        ids = openvino.Tensor(np.array([tokens], dtype=np.int64))
        try:
            handle = self._pipeline.add_request(next(self._numbers), ids, coming.generation)
        except RuntimeError as error:
            logger.error("the pipeline refused a request", exc_info=error)
            raise InferenceFailed from error
        if coming.grammar is not None:
            self._compiling.begin(coming.grammar)
        self._streams[id] = _Stream(handle, list(tokens), cached, reports=coming.reports)

    def _enter_held(self) -> Iterator[tuple[int, GatewayError]]:
        """Let in those that may come now; those that the pipeline refuses."""
        for id, coming in list(self._held.items()):
            if self._may_enter(coming, first=id == next(iter(self._held))):
                del self._held[id]
                try:
                    self._enter(id, coming)
                except GatewayError as error:
                    yield id, error

    def step(self) -> Sequence[tuple[int, Advance | GatewayError]]:
        """One pass of the pipeline over all streams."""
        advances: list[tuple[int, Advance | GatewayError]] = list(self._enter_held())
        self._pipeline.step()
        self._compiling.passed()
        for id, stream in list(self._streams.items()):
            advance = _read(stream.handle, reports=stream.reports)
            if advance is None:
                continue
            advances.append((id, advance))
            if isinstance(advance, GatewayError):
                del self._streams[id]
            else:
                self._account(id, stream, advance)
        return advances

    def _account(self, id: int, stream: _Stream, advance: Advance) -> None:
        """Once its first token is there, the prompt is computed; at the end all but the last token is."""
        is_first, is_last = stream.cached_tokens is not None, advance.finish_reason is not None
        if is_first:
            advance.cached_tokens, stream.cached_tokens = stream.cached_tokens or 0, None
            self._blocks.keep(stream.tokens)
        stream.tokens += advance.tokens
        if is_last:
            self._blocks.keep(stream.tokens[:-1])
            del self._streams[id]

    def drop(self, id: int) -> None:
        """Cancel a stream; the next pass frees its blocks, and the last one to leave is given that pass."""
        self._held.pop(id, None)
        known = self._streams.pop(id, None)
        if known is not None:
            known.handle.cancel()
            if not self._streams:
                self._pipeline.step()

    def _generation(self, decoding: Decoding, grammar: Grammar | None) -> Any:
        """The library's settings for one stream; raises `BadInput`."""
        if decoding.logit_bias:
            raise BadInput("'/logit_bias' is not supported by the engine of this model")
        if decoding.logprobs:
            raise BadInput("'/top_logprobs' must be 0: the engine of this model reports the chosen tokens only")
        sampling = decoding.sampling
        endless = decoding.ignore_eos and decoding.constraint is None
        chosen: dict[str, Any] = {}
        if not sampling.greedy:
            chosen = {"do_sample": True, "temperature": sampling.temperature, "top_p": sampling.top_p}
            chosen |= {"rng_seed": _folded(sampling.seed)}
            if sampling.top_k:
                chosen["top_k"] = sampling.top_k
        if grammar is not None:
            chosen["structured_output_config"] = openvino_genai.StructuredOutputConfig(grammar=grammar.text)
        return openvino_genai.GenerationConfig(
            max_new_tokens=sampling.max_tokens,
            # What a constraint allows ends; behind its end nothing constrains.
            stop_token_ids=set() if endless else self._ends,
            ignore_eos=endless,
            repetition_penalty=sampling.repetition_penalty,
            frequency_penalty=sampling.frequency_penalty,
            presence_penalty=sampling.presence_penalty,
            logprobs=0 if decoding.logprobs is None else 1,
            **chosen,
        )


def _folded(seed: int) -> int:
    """The generator takes 32 bits: those beyond change the others, so that no two near seeds are the same."""
    return (seed ^ (seed >> 32) * 0x9E3779B1) & 0xFFFFFFFF


def _grammar(constraint: Constraint) -> Grammar:
    """The constraint as a grammar; raises `BadInput` naming what it has that cannot be promised."""
    try:
        return grammar_of(constraint)
    except Unsupported as reason:
        raise BadInput(f"'{reason.field}' cannot be followed by the engine of this model: {reason}") from None


def _read(handle: Any, *, reports: bool) -> Advance | GatewayError | None:
    tokens: list[int] = []
    told: list[TokenReport] = []
    reason = None
    while handle.can_read():
        for output in handle.read().values():
            tokens += output.generated_ids
            if reports:
                told += map(TokenReport, output.generated_ids, output.generated_log_probs)
            reason = REASONS.get(output.finish_reason, reason)
    if tokens or reason:
        return Advance(tokens, reason, reports=told)
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
