"""Settings of an OpenVINO pipeline from a row and the facts of its weights; loads nothing."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from typing import Any

import openvino_genai

from gateway.config import GIB, ConfigError, ModelSpec
from gateway.engines.llm.facts import Facts
from gateway.engines.llm.options import Options

logger = logging.getLogger(__name__)
# OpenVINO's CPU plugin stores keys and values as bytes with a scale and a zero point of 4 bytes for each head.
SCALES_BYTES = 8
# float32 is at least as fast as the other hints for 4- and 8-bit weights, whose products are taken in integers
# whatever the hint: half as fast again on a CPU with AMX, equal on one with AVX512-BF16.
HINTS = {"auto": "f32", "float32": "f32", "bfloat16": "bf16", "float16": "f16"}


@dataclass(frozen=True, slots=True)
class Room:
    """`window`: tokens of one stream; `cache_gib`: memory for the keys and values of all, `cache_tokens` of them."""

    window: int
    cache_gib: int
    cache_tokens: int


def plan_room(spec: ModelSpec, options: Options, facts: Facts) -> Room:
    """Room for `max_streams` full windows, at most a quarter of the machine's memory, at least 1 GiB.

    The memory is only taken as it is used; streams beyond it wait for others to end. A window that the cache
    cannot hold is shortened. Raises `ConfigError` if nobody says how long the window is.
    """
    known = [window for window in (spec.context_window, facts.window) if window]
    if not known:
        raise ConfigError(f"row {spec.name}: context_window: is not in the weights, so the row must say it")
    window = min(known)
    token_bytes = facts.kv_heads * (4 * facts.head_size if options.batch_invariant else facts.head_size + SCALES_BYTES)
    quarter_gib = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 4 // GIB
    wanted_gib = -(-window * spec.max_streams * token_bytes // GIB)
    cache_gib = options.kv_cache_gib or max(1, min(wanted_gib, quarter_gib))
    cache_tokens = cache_gib * GIB // token_bytes if token_bytes else window
    return Room(min(window, cache_tokens), cache_gib, cache_tokens)


def scheduler(spec: ModelSpec, options: Options, room: Room) -> Any:
    """How the pipeline batches.

    Prompts share work only if the row says `shared`: OpenVINO cannot keep accounts apart, and the time that is
    saved would tell one what another has sent.
    """
    if spec.prefix_cache in ("auto", "account"):
        logger.info(
            "%s: prefix cache off: OpenVINO cannot keep accounts apart (prefix_cache: shared turns it on for all)",
            spec.name,
        )
    settings = openvino_genai.SchedulerConfig()
    settings.cache_size = room.cache_gib
    settings.max_num_seqs = spec.max_streams
    settings.max_num_batched_tokens = max(4096 if options.batch_invariant else 256, spec.max_streams)
    settings.dynamic_split_fuse = True
    settings.enable_prefix_caching = spec.prefix_cache == "shared"
    return settings


def properties(spec: ModelSpec, options: Options) -> dict[str, Any]:
    """How the CPU computes; raises `ConfigError` for a number type that OpenVINO does not offer."""
    if spec.dtype not in HINTS:
        raise ConfigError(f"row {spec.name}: dtype: {spec.dtype} is not one of {', '.join(HINTS)} for this engine")
    chosen: dict[str, Any] = {"INFERENCE_PRECISION_HINT": HINTS[spec.dtype]}
    if spec.threads is not None:
        chosen["INFERENCE_NUM_THREADS"] = spec.threads
    if options.batch_invariant:
        # Activations quantized in groups, and keys stored as bytes, round differently with the shape of a batch.
        chosen |= {"DYNAMIC_QUANTIZATION_GROUP_SIZE": 0, "KV_CACHE_PRECISION": "f32"}
    return chosen
