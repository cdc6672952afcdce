"""How many bytes of which device a replica will take: what the row says, what was measured, else an estimate."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.config import MIB, ModelSpec
from gateway.runtime.memory import HOST
from gateway.weights.footprint import Footprint, Measured

# Until a load was measured: what a process takes besides its weights, and what a CUDA context takes.
PROCESS_BYTES, CONTEXT_BYTES = 256 * MIB, 512 * MIB
# Bytes in memory for each byte of the files, at the peak of a load. `auto` and float32 may widen what the files hold;
# a quantised file may be unpacked to 16 bits.
WIDENING = {"auto": 2.0, "float32": 2.0, "bfloat16": 1.5, "float16": 1.5, "int8": 1.25}
UNPACKING = 4.0
LEAST_GROWTH_BYTES = 256 * MIB


def estimate(spec: ModelSpec, files_bytes: int, device: str) -> dict[str, int]:
    """Bytes by device for weights of `files_bytes` that nobody has loaded yet."""
    is_packed = (spec.source or "").lower().endswith(".gguf")
    weights = int(files_bytes * (UNPACKING if is_packed else WIDENING[spec.dtype]))
    if device == HOST:
        return {HOST: weights + PROCESS_BYTES}
    return {device: weights + CONTEXT_BYTES, HOST: files_bytes + CONTEXT_BYTES + PROCESS_BYTES}


def footprint_on(measured: Measured, device: str) -> Footprint | None:
    """What was measured on that kind of device."""
    return measured.cpu if device == HOST else measured.cuda


def needed_bytes(
    spec: ModelSpec, measured: Measured, files_bytes: int, device: str, budgets: Mapping[str, int]
) -> dict[str, int]:
    """Bytes by device for one replica of the row on `device` (`host` or `cuda:N`).

    An estimate over the budget is cut to it, unless the files alone are: only a load can tell.
    """
    known = footprint_on(measured, device)
    if known is None:
        needed = estimate(spec, files_bytes, device)
        needed = {where: max(files_bytes, min(size, budgets.get(where, 0))) for where, size in needed.items()}
    else:
        needed = {HOST: known.host_bytes} | ({} if device == HOST else {device: known.gpu_bytes})
    if spec.memory_mib is not None:
        needed[device] = spec.memory_mib * MIB
    return needed


def growth_bytes(spec: ModelSpec, peak_bytes: int) -> int:
    """How far a worker may go beyond its measured peak before it is replaced."""
    return spec.growth_mib * MIB if spec.growth_mib is not None else max(LEAST_GROWTH_BYTES, peak_bytes // 2)
