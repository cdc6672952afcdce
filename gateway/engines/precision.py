"""Chooses the device, number type and threads of an engine from its row and this machine; knows no model."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import torch

from gateway.config import ConfigError, ModelSpec

FLOATS = ("float32", "bfloat16", "float16")
PROBE_ROWS, PROBE_WIDTH, PROBE_INNER, PROBE_ROUNDS = 128, 384, 1536, 3
WORTHWHILE = 0.8
BFLOAT16_FLAGS = ("amx_bf16", "avx512_bf16", "bf16", "sve_bf16")


@dataclass(frozen=True, slots=True)
class Precision:
    """Where an engine computes, and in which number type (a name of torch's, or `int8`)."""

    device: str
    dtype: str

    @property
    def torch_dtype(self) -> torch.dtype:
        """The number type as torch's own."""
        dtype: torch.dtype = getattr(torch, self.dtype)
        return dtype


def choose(spec: ModelSpec, offered: Collection[str] = FLOATS) -> Precision:
    """What the row asks for, or the fastest of the `offered` number types where it leaves the choice.

    Raises `ConfigError` if the row names a device that is not there or a number type outside `offered`.
    """
    device = _device(spec)
    if spec.dtype == "auto":
        return Precision(device, _fastest(device, offered))
    if spec.dtype not in offered:
        raise ConfigError(f"row {spec.name}: dtype: {spec.dtype} is not one of {', '.join(offered)} for this engine")
    return Precision(device, spec.dtype)


def use_threads(spec: ModelSpec) -> int:
    """Give torch the row's number of threads in this process (default: every core it may run on), and return it."""
    threads = spec.threads or len(os.sched_getaffinity(0))
    torch.set_num_threads(threads)
    return threads


def _device(spec: ModelSpec) -> str:
    if spec.device == "cpu" or (spec.device == "auto" and not torch.cuda.is_available()):
        return "cpu"
    index = int(spec.device.partition(":")[2] or 0)
    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if index >= found:
        raise ConfigError(f"row {spec.name}: device: {spec.device} is not there (CUDA devices found: {found})")
    return f"cuda:{index}"


def _fastest(device: str, offered: Collection[str]) -> str:
    if device == "cpu":
        return "bfloat16" if "bfloat16" in offered and bfloat16_pays() else "float32"
    wanted = ("bfloat16", "float16") if torch.cuda.is_bf16_supported(including_emulation=False) else ("float16",)
    return next((dtype for dtype in wanted if dtype in offered), "float32")


@functools.cache
def bfloat16_pays() -> bool:
    """Whether this CPU multiplies bfloat16 in hardware and, tried on an encoder's shapes, clearly faster than float32.

    The instructions alone do not tell: some processors and virtual machines have them without the speed.
    """
    return has_bfloat16(torch.cpu.get_capabilities()) and _best_ratio() < WORTHWHILE


def has_bfloat16(capabilities: Mapping[str, object]) -> bool:
    """Whether `capabilities`, as `torch.cpu.get_capabilities` gives them, include bfloat16 products."""
    return any(capabilities.get(name) for name in BFLOAT16_FLAGS)


@torch.inference_mode()
def _best_ratio() -> float:
    """The time of bfloat16 in units of float32's: processor time of one thread, so that neighbours do not count.

    Each is the best of a few passes, taken in turn, through the two matrices of a small encoder's feed-forward block.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        best = {torch.bfloat16: float("inf"), torch.float32: float("inf")}
        for _ in range(PROBE_ROUNDS):
            for dtype, seconds in best.items():
                best[dtype] = min(seconds, _pass_s(dtype))
        return best[torch.bfloat16] / best[torch.float32]
    finally:
        torch.set_num_threads(threads)


def _pass_s(dtype: torch.dtype) -> float:
    x = torch.ones(PROBE_ROWS, PROBE_WIDTH, dtype=dtype)
    up, down = torch.ones(PROBE_INNER, PROBE_WIDTH, dtype=dtype), torch.ones(PROBE_WIDTH, PROBE_INNER, dtype=dtype)
    started = time.thread_time()
    torch.nn.functional.linear(torch.nn.functional.linear(x, up), down)
    return time.thread_time() - started
