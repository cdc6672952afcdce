"""Decides whether a model's keys and values can be kept in pages, and how many; runs nothing."""

from __future__ import annotations

import os
from typing import Any

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer
from transformers.generation.configuration_utils import ContinuousBatchingConfig
from transformers.generation.continuous_batching.initialization import resolve_continuous_batching_config
from transformers.generation.continuous_batching.utils import find_head_dim, find_num_key_value_heads
from transformers.utils.import_utils import is_flash_attn_2_available, is_flash_attn_3_available

from gateway.config import ConfigError, ModelSpec
from gateway.engines.llm.options import Options

GIB = 1 << 30
PROMPT_TOKENS_PER_STEP = 512
# Flash attention reads whole pages, 256 tokens at the least; other kinds gather tokens, for which small pages waste less.
FLASH_PAGE_TOKENS, PAGE_TOKENS = 256, 16


def obstacle(spec: ModelSpec, model: Any, *, sees: bool) -> str | None:
    """Why a row's streams cannot be kept in pages, if they cannot."""
    config = model.config.get_text_config()
    if sees:
        return "the model takes pictures"
    if spec.loras:
        return "the row has LoRA adapters, which need a row of the batch for each stream"
    if not model._supports_attention_backend or getattr(config, "v_head_dim", find_head_dim(config)) != find_head_dim(
        config
    ):
        return "transformers has no paged attention for this model"
    if model._is_stateful or any(type(layer) is not DynamicLayer for layer in DynamicCache(config=config).layers):
        return "the model has layers with sliding windows or recurrent states"
    return None


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

    Decoding steps of a model with flash attention run as CUDA graphs, one for each power of two of streams.
    Raises `ConfigError` if not one page fits.
    """
    flash = "flash" in model.config._attn_implementation
    page_tokens = FLASH_PAGE_TOKENS if flash else PAGE_TOKENS
    window_pages = -(-window // page_tokens)
    batch_tokens = PROMPT_TOKENS_PER_STEP + spec.max_streams
    # Without flash attention there is a mask of all tokens of a step by all tokens of the pool.
    mask_bytes = 0 if flash else batch_tokens * model.dtype.itemsize
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
            max_blocks_per_request=window_pages if flash else 0,
            # The library's shared pages know no accounts.
            allow_block_sharing=spec.prefix_cache == "shared",
            use_async_batching=False,
            use_cuda_graph=(False, flash),
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
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 4
