"""Continues tokens with transformers on CPU or CUDA; knows no text beyond its tokenizer.

The library's continuous-batching manager is not used: it has no seeds, no penalties and no greedy stream beside
a sampled one, and steps on a thread of its own. Its parts are, where `options.cache` says so.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence

import torch

from gateway.config import ConfigError, ModelSpec
from gateway.engines.llm.adapters import Adapters
from gateway.engines.llm.backend import Advance, Tokenizer, TokenReport
from gateway.engines.llm.decoding import Decoding, Prompt
from gateway.engines.llm.grammar import Grammars
from gateway.engines.llm.merged import MergedStepper
from gateway.engines.llm.options import Options
from gateway.engines.llm.paged import PagedStepper
from gateway.engines.llm.paged_plan import flash_attention, obstacle, plan_pages, slides
from gateway.engines.llm.row_choice import choose
from gateway.engines.llm.stepping import Stepper, TokenStream
from gateway.engines.llm.token_choice import TokenChoice
from gateway.engines.llm.transformers_weights import Loaded, SightedTokenizer, load
from gateway.engines.llm.weights import Weights
from gateway.engines.precision import choose as choose_precision
from gateway.engines.precision import use_threads
from gateway.errors import BadInput, GatewayError

logger = logging.getLogger(__name__)


class TransformersModel:
    """A `TokenModel` over one causal or vision-language model.

    A `Stepper` computes the logits of all streams; each stream's tokens are chosen here, by its own rules.
    """

    constrains_special_tokens = False

    def __init__(self, spec: ModelSpec, options: Options, weights: Weights) -> None:
        use_threads(spec)
        precision = choose_precision(spec)
        self.device = precision.device
        loaded = load(spec, weights, precision.torch_dtype, precision.device)
        self.tokenizer: Tokenizer = loaded.tokenizer
        self._model, self._ends = loaded.model, loaded.ends
        adapters = Adapters(spec, loaded.model)
        self.adapters: Collection[str] = adapters.names
        self._stepper = _stepper(spec, options, loaded, adapters)
        self.window, self.cache_bytes = self._stepper.window, self._stepper.cache_bytes
        self._width = loaded.model.get_output_embeddings().weight.shape[0]
        self._grammars = Grammars(loaded.tokenizer.library, loaded.ends, self._width)
        self._streams: dict[int, TokenStream] = {}

    def add(self, id: int, prompt: Prompt, decoding: Decoding) -> None:
        """Queue one stream; raises `BadInput` for a bias or a constraint that this model cannot have."""
        outside = next((token for token in decoding.logit_bias if not 0 <= token < self._width), None)
        if outside is not None:
            raise BadInput(f"'/logit_bias/{outside}' is not a token of this model; they are 0 to {self._width - 1}")
        matcher = self._grammars.start(decoding.constraint) if decoding.constraint is not None else None
        choice = TokenChoice(decoding, prompt.tokens, self._model.device, matcher)
        self._streams[id] = TokenStream(prompt, decoding, choice)
        self._stepper.add(id, self._streams[id])

    @torch.inference_mode()
    def step(self) -> Sequence[tuple[int, Advance | GatewayError]]:
        """One token for every running stream, and a part of the waiting prompts."""
        advances: list[tuple[int, Advance | GatewayError]] = []
        for ids, logits in self._stepper.step():
            if isinstance(logits, GatewayError):
                advances += [(id, logits) for id in ids]
            else:
                advances += self._choose(ids, logits)
        for id, advance in advances:
            if isinstance(advance, GatewayError) or advance.finish_reason is not None:
                self.drop(id)
        return advances

    def drop(self, id: int) -> None:
        """Forget a stream and its cache."""
        if self._streams.pop(id, None) is not None:
            self._stepper.drop(id)

    def _choose(self, ids: Sequence[int], logits: torch.Tensor) -> list[tuple[int, Advance | GatewayError]]:
        streams = [self._streams[id] for id in ids]
        chosen = choose([stream.choice for stream in streams], logits)
        return [
            (id, found if isinstance(found, GatewayError) else self._advance(stream, found.token, found.reports))
            for id, stream, found in zip(ids, streams, chosen, strict=True)
        ]

    def _advance(self, stream: TokenStream, token: int, reports: list[TokenReport]) -> Advance:
        cached = 0 if stream.tokens else stream.cached
        stream.tokens.append(token)
        # What has reached the end of its constraint has nothing but its end left to write.
        ends = token in self._ends and (not stream.decoding.ignore_eos or stream.choice.matcher is not None)
        full = len(stream.tokens) >= stream.decoding.sampling.max_tokens
        return Advance([token], "stop" if ends else "length" if full else None, cached, reports)


def _stepper(spec: ModelSpec, options: Options, loaded: Loaded, adapters: Adapters) -> Stepper:
    """Pages where they are faster or the row asks for them, merged batches elsewhere.

    Without flash attention every token is compared with those of all streams and masked, which only pays where
    streams could not be merged at all. Raises `ConfigError` for a row that asks for pages and cannot have them.
    """
    model = loaded.model
    reason = obstacle(spec, model, sees=isinstance(loaded.tokenizer, SightedTokenizer))
    flash = flash_attention(model) if reason is None else None
    if options.cache == "paged" and reason is not None:
        raise ConfigError(f"row {spec.name}: options.cache: paged cannot be used: {reason}")
    pays = reason is None and (flash is not None or slides(model))
    if options.cache == "merged" or (options.cache == "auto" and not pays):
        return MergedStepper(spec, options, model, adapters, loaded.window)
    if flash is not None:
        model.set_attn_implementation(flash)
    pages = plan_pages(spec, options, model, loaded.window)
    logger.info("%s: %d pages of %d tokens for keys and values", spec.name, pages.num_blocks, pages.page_size)
    if spec.prefix_cache in ("auto", "account"):
        logger.info("%s: prefix cache off: pages know no accounts (options.cache: merged keeps them apart)", spec.name)
    try:
        return PagedStepper(model, pages, loaded.window)
    except MemoryError:
        raise ConfigError(f"row {spec.name}: options.kv_cache_gib: is more than the memory that is free") from None
