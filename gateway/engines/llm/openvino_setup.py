"""How a row's model is computed on a CPU and what room it has for keys and values; loads nothing."""

from __future__ import annotations

from typing import Any

from gateway.config import GIB, ConfigError, ModelSpec
from gateway.engines.llm.options import Options, quarter_bytes

# float32 is at least as fast as the other hints for 4- and 8-bit weights, whose products are taken in integers
# whatever the hint: half as fast again on a CPU with AMX, equal on one with AVX512-BF16.
HINTS = {"auto": "f32", "float32": "f32", "bfloat16": "bf16", "float16": "f16"}
# Keys are stored as bytes with a scale for each token. One for a whole page, the library's choice, is rounded anew with
# every token that enters the page, so that numbers would depend on how a prompt was cut into passes.
KEYS = {"KEY_CACHE_QUANT_MODE": "BY_TOKEN"}
PASS_TOKENS, LEAST_FOR_PROMPTS = 256, 32


def room_bytes(options: Options, window_bytes: int, streams: int) -> int:
    """For keys and values: `streams` windows, at most a quarter of the machine's memory, at least 1 GiB.

    The memory is only taken as it is used; streams beyond it wait for others to end.
    """
    if options.kv_cache_gib:
        return options.kv_cache_gib * GIB
    return max(GIB, min(window_bytes * streams, quarter_bytes()))


def pass_tokens(streams: int) -> int:
    """The most tokens of one pass: a token of every stream, and so much of prompts that nobody waits for long."""
    return max(PASS_TOKENS, streams + LEAST_FOR_PROMPTS)


def properties(spec: ModelSpec) -> dict[str, Any]:
    """How the CPU computes; raises `ConfigError` for a number type that OpenVINO does not offer."""
    if spec.dtype not in HINTS:
        raise ConfigError(f"row {spec.name}: dtype: {spec.dtype} is not one of {', '.join(HINTS)} for this engine")
    chosen: dict[str, Any] = {"INFERENCE_PRECISION_HINT": HINTS[spec.dtype], **KEYS}
    if spec.threads is not None:
        chosen["INFERENCE_NUM_THREADS"] = spec.threads
    return chosen
