"""How many bytes of which device a replica will take: what the row says, what was measured, else an estimate."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from gateway.config import MIB, ModelSpec
from gateway.runtime.memory import HOST
from gateway.weights.content import size_below
from gateway.weights.footprint import Footprint, Measured
from gateway.weights.quantization import DAMAGED, unpacked_bytes

# Until a load was measured: what a process takes besides its weights, and what a CUDA context takes.
PROCESS_BYTES, CONTEXT_BYTES = 256 * MIB, 512 * MIB
# Bytes in memory for each byte of the files, at the peak of a load. `auto` and float32 may widen what the files hold;
# a quantised file may be unpacked to 16 bits.
WIDENING = {"auto": 2.0, "float32": 2.0, "bfloat16": 1.5, "float16": 1.5, "int8": 1.25}
UNPACKING = 4.0
LEAST_GROWTH_BYTES = 256 * MIB


def estimate(spec: ModelSpec, files_bytes: int, unpacked_bytes: int, device: str) -> dict[str, int]:
    """Bytes by device for weights that nobody has loaded yet: their files, and what they are once unpacked (or 0)."""
    is_packed = (spec.source or "").lower().endswith(".gguf")
    weights = int(max(files_bytes, unpacked_bytes) * (UNPACKING if is_packed else WIDENING[spec.dtype]))
    if device == HOST:
        return {HOST: weights + PROCESS_BYTES}
    return {device: weights + CONTEXT_BYTES, HOST: files_bytes + CONTEXT_BYTES + PROCESS_BYTES}


def sizes(spec: ModelSpec, files: Path) -> dict[str, int]:
    """The two sizes of weights that `needed_bytes` asks for, as its arguments.

    What another server makes of the row's weights is not known. Raises `OSError`.
    """
    found = {"files_bytes": size_below(files), "unpacked_bytes": 0}
    if not is_served_elsewhere(spec):
        with suppress(*DAMAGED):  # of which the load will tell
            found["unpacked_bytes"] = unpacked_bytes(files)
    return found


def is_served_elsewhere(spec: ModelSpec) -> bool:
    """Whether another server reads the row's weights, in whatever forms it can."""
    return bool({"url", "command"} & spec.options.keys())


def footprint_on(measured: Measured, device: str) -> Footprint | None:
    """What was measured on that kind of device."""
    return measured.cpu if device == HOST else measured.cuda


def needed_bytes(
    spec: ModelSpec,
    measured: Measured,
    files_bytes: int,
    device: str,
    budgets: Mapping[str, int],
    *,
    unpacked_bytes: int = 0,
) -> dict[str, int]:
    """Bytes by device for one replica of the row on `device` (`host` or `cuda:N`).

    `unpacked_bytes` are those of weights that are unpacked as they are loaded, 0 for others. An estimate over the
    budget is cut to it, unless the files alone are, or what they unpack to: only a load can tell.
    """
    known = footprint_on(measured, device)
    if known is None:
        needed = estimate(spec, files_bytes, unpacked_bytes, device)
        least = {where: max(files_bytes, unpacked_bytes if where == device else 0) for where in needed}
        needed = {where: max(least[where], min(size, budgets.get(where, 0))) for where, size in needed.items()}
    else:
        needed = {HOST: known.host_bytes} | ({} if device == HOST else {device: known.gpu_bytes})
    if spec.memory_mib is not None:
        needed[device] = spec.memory_mib * MIB
    return needed


def growth_bytes(spec: ModelSpec, peak_bytes: int) -> int:
    """How far a worker may go beyond its measured peak before it is replaced."""
    return spec.growth_mib * MIB if spec.growth_mib is not None else max(LEAST_GROWTH_BYTES, peak_bytes // 2)
