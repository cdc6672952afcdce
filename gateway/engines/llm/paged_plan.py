"""Decides whether a model's keys and values can be kept in pages, and how many; runs nothing."""

from __future__ import annotations

from typing import Any

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer
from transformers.generation.configuration_utils import ContinuousBatchingConfig
from transformers.generation.continuous_batching.initialization import resolve_continuous_batching_config
from transformers.generation.continuous_batching.utils import find_head_dim, find_num_key_value_heads
from transformers.utils.import_utils import is_flash_attn_2_available, is_flash_attn_3_available

from gateway.config import GIB, ConfigError, ModelSpec
from gateway.engines.llm.options import Options, quarter_bytes
from gateway.engines.llm.stepping import PROMPT_TOKENS_PER_STEP

# Flash attention reads whole pages, of 256 tokens at the least. Without it tokens are gathered: small pages waste less.
FLASH_PAGE_TOKENS, PAGE_TOKENS = 256, 16


def obstacle(spec: ModelSpec, model: Any, *, sees: bool) -> str | None:
    """Why a row's streams cannot be kept in pages, if they cannot."""
    if sees:
        return "the model takes pictures"
    if spec.loras:
        return "the row has LoRA adapters, which need a row of the batch for each stream"
    if model._is_stateful or not _has_known_layers(model.config.get_text_config()):
        return "the model has layers of a kind for which transformers has no pages"
    # What is left to eager attention has something of its own, such as sinks or capped scores.
    if not model._supports_attention_backend or model.config._attn_implementation != "sdpa":
        return "transformers has no paged attention for this model"
    return None


def slides(model: Any) -> bool:
    """Whether some layers forget what has left a window, so that streams cannot be merged into batches."""
    return any(type(layer) is DynamicSlidingWindowLayer for layer in DynamicCache(config=model.config).layers)


def _has_known_layers(config: Any) -> bool:
    """Whether every layer keeps keys and values of its own, of one size, for all tokens or the last few."""
    layers = DynamicCache(config=config).layers
    return (
        all(type(layer) in (DynamicLayer, DynamicSlidingWindowLayer) for layer in layers)
        and len(layers) == config.num_hidden_layers
        and set(getattr(config, "layer_types", None) or ()) <= {"full_attention", "sliding_attention"}
        and getattr(config, "v_head_dim", None) is None
    )


def flash_attention(model: Any) -> str | None:
    """The installed flash attention for this model, if there is one; none is fetched."""
    if model.device.type != "cuda" or model.dtype not in (torch.float16, torch.bfloat16):
        return None
    if not model._supports_flash_attn:
        return None
    if is_flash_attn_3_available():
        return "flash_attention_3"
    return "flash_attention_2" if is_flash_attn_2_available() else None


def plan_pages(spec: ModelSpec, options: Options, model: Any, window: int) -> ContinuousBatchingConfig:
    """Pages for `max_streams` full windows, at most a quarter of the machine's memory or half of what a GPU has free.

    Where flash attention reads the pages, steps without prompts run as CUDA graphs, one for each power of two of
    streams. Raises `ConfigError` if not one page fits.
    """
    flash = "flash" in model.config._attn_implementation
    page_tokens = FLASH_PAGE_TOKENS if flash else PAGE_TOKENS
    window_pages = -(-window // page_tokens)
    batch_tokens = PROMPT_TOKENS_PER_STEP + spec.max_streams
    # The fast way of flash attention: it reads the pages themselves, of layers that keep all tokens.
    direct = flash and not slides(model)
    # Without flash attention there are masks of all tokens of a step by all tokens of the pool.
    mask_bytes = 0 if flash else (1 + slides(model)) * batch_tokens * model.dtype.itemsize
    room_bytes = options.kv_cache_gib * GIB if options.kv_cache_gib else _free_bytes(model.device)
    pages = min(window_pages * spec.max_streams, room_bytes // (page_tokens * (_token_bytes(model) + mask_bytes)))
    if not pages:
        raise ConfigError(f"row {spec.name}: options.kv_cache_gib: not one page of {page_tokens} tokens fits")
    return resolve_continuous_batching_config(
        model.config.get_text_config(),
        ContinuousBatchingConfig(
            page_size=page_tokens,
            num_blocks=pages,
            max_batch_tokens=batch_tokens,
            max_requests_per_batch=spec.max_streams,
            max_blocks_per_request=window_pages if direct else 0,
            # The library's shared pages know no accounts.
            allow_block_sharing=spec.prefix_cache == "shared",
            use_async_batching=False,
            use_cuda_graph=(False, direct),
            max_memory_percent=1.0,
            seed=0,
        ),
        workload_hints=None,
        has_logit_processors=True,
        device=model.device,
    )


def _token_bytes(model: Any) -> int:
    """Bytes of the keys and values of one token."""
    config = model.config.get_text_config()
    numbers = config.num_hidden_layers * find_num_key_value_heads(config) * find_head_dim(config)
    return int(2 * numbers * model.dtype.itemsize)


def _free_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0]) // 2
    return quarter_bytes()
