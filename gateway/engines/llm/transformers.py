"""Continues tokens with transformers on CPU or CUDA; knows no text beyond its tokenizer.

The library's continuous-batching manager is not used: it has no seeds, no penalties and no greedy stream beside
a sampled one, and steps on a thread of its own. Its parts are, where `options.cache` says so.
"""

from __future__ import annotations

import logging

from gateway.config import ConfigError, ModelSpec
from gateway.engines.llm.adapters import Adapters
from gateway.engines.llm.grammar import Grammars
from gateway.engines.llm.merged import MergedStepper
from gateway.engines.llm.options import Options
from gateway.engines.llm.paged import PagedStepper
from gateway.engines.llm.paged_plan import flash_attention, obstacle, plan_pages, slides
from gateway.engines.llm.stepped import SteppedModel
from gateway.engines.llm.stepping import Stepper
from gateway.engines.llm.transformers_weights import Loaded, SightedTokenizer, load
from gateway.engines.llm.vocabulary import vocabulary_of
from gateway.engines.llm.weights import Weights
from gateway.engines.precision import choose as choose_precision
from gateway.engines.precision import use_threads

logger = logging.getLogger(__name__)


class TransformersModel(SteppedModel):
    """A `TokenModel` over one causal or vision-language model."""

    def __init__(self, spec: ModelSpec, options: Options, weights: Weights) -> None:
        use_threads(spec)
        precision = choose_precision(spec)
        loaded = load(spec, weights, precision.torch_dtype, precision.device)
        adapters = Adapters(spec, loaded.model)
        width = loaded.model.get_output_embeddings().weight.shape[0]
        super().__init__(
            _stepper(spec, options, loaded, adapters),
            loaded.tokenizer,
            Grammars(vocabulary_of(loaded.tokenizer.library, loaded.ends, width)),
            ends=loaded.ends,
            width=width,
            device=precision.device,
            adapters=adapters.names,
        )


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
