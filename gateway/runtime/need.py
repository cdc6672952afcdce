"""How many bytes of which device a replica will take: what the row says, what was measured, else an estimate."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gateway.config import MIB, ModelSpec
from gateway.runtime.memory import HOST
from gateway.weights.content import size_below
from gateway.weights.footprint import Footprint, Measured, Span
from gateway.weights.quantization import DAMAGED, unpacked_bytes

# Until a load was measured: what a process takes besides its weights, and what a CUDA context takes.
PROCESS_BYTES, CONTEXT_BYTES = 256 * MIB, 512 * MIB
# Bytes in memory for each byte of the files, at the peak of a load. `auto` and float32 may widen what the files hold;
# a quantised file may be unpacked to 16 bits.
WIDENING = {"auto": 2.0, "float32": 2.0, "bfloat16": 1.5, "float16": 1.5, "int8": 1.25}
UNPACKING = 4.0
LEAST_GROWTH_BYTES = 256 * MIB


@dataclass(frozen=True, slots=True)
class WeightsSize:
    """How large weights are: their files, and what they become where loading unpacks them, 0 for others."""

    files_bytes: int = 0
    unpacked_bytes: int = 0


def estimate(spec: ModelSpec, size: WeightsSize, device: str) -> dict[str, int]:
    """Bytes by device for weights that nobody has loaded yet."""
    is_packed = (spec.source or "").lower().endswith(".gguf")
    weights = int(max(size.files_bytes, size.unpacked_bytes) * (UNPACKING if is_packed else WIDENING[spec.dtype]))
    if device == HOST:
        return {HOST: weights + PROCESS_BYTES}
    return {device: weights + CONTEXT_BYTES, HOST: size.files_bytes + CONTEXT_BYTES + PROCESS_BYTES}


def _estimated(spec: ModelSpec, size: WeightsSize, device: str) -> dict[str, Span]:
    """At the least its files, or what they unpack to where the engine runs: only a load can tell more."""
    least = {HOST: size.files_bytes} | {device: max(size.files_bytes, size.unpacked_bytes)}
    return {where: Span(least[where], most) for where, most in estimate(spec, size, device).items()}


def weights_size(spec: ModelSpec, files: Path | None) -> WeightsSize:
    """The size of the row's weights, None for a row without any.

    What another server makes of them is not known. Raises `OSError`.
    """
    if files is None:
        return WeightsSize()
    unpacked = 0
    if not is_served_elsewhere(spec):
        with suppress(*DAMAGED):  # of which the load will tell
            unpacked = unpacked_bytes(files)
    return WeightsSize(size_below(files), unpacked)


def is_served_elsewhere(spec: ModelSpec) -> bool:
    """Whether another server reads the row's weights, in whatever forms it can."""
    return bool({"url", "command"} & spec.options.keys())


def footprint_on(measured: Measured, device: str) -> Footprint | None:
    """What was measured on that kind of device."""
    return measured.cpu if device == HOST else measured.cuda


def needed_bytes(
    spec: ModelSpec,
    measured: Measured,
    size: WeightsSize,
    device: str,
    budgets: Mapping[str, int],
) -> dict[str, int]:
    """Bytes by device for one replica of the row on `device` (`host` or `cuda:N`).

    What is over the budget is cut to it, so that neither a wide estimate nor one large request of former days keeps a
    model away, unless what it takes at the very least is over it too.
    """
    known = footprint_on(measured, device)
    if known is None:
        spans = _estimated(spec, size, device)
    else:
        spans = {HOST: known.host} | ({} if device == HOST else {device: known.gpu})
    needed = {where: max(span.least, min(span.most, budgets.get(where, 0))) for where, span in spans.items()}
    if spec.memory_mib is not None:
        needed[device] = spec.memory_mib * MIB
    return needed


def growth_bytes(spec: ModelSpec, peak_bytes: int) -> int:
    """How far a worker may go beyond its measured peak before it is replaced."""
    return spec.growth_mib * MIB if spec.growth_mib is not None else max(LEAST_GROWTH_BYTES, peak_bytes // 2)
