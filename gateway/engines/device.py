"""What a worker process tells of memory: its own, and that of the GPUs it sees; knows no model."""

from __future__ import annotations

import resource
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

# Torch counts what its allocator holds, not the context that CUDA keeps on the device for each process.
CONTEXT_BYTES = 400 << 20


def gpu_budgets() -> dict[str, int]:
    """Total bytes of each GPU that torch can use, by its name for torch (`cuda:0`); empty without torch or GPU."""
    try:
        import torch
    except ImportError:
        return {}
    if not torch.cuda.is_available():
        return {}
    count = torch.cuda.device_count()
    return {f"cuda:{index}": torch.cuda.get_device_properties(index).total_memory for index in range(count)}


def host_bytes() -> tuple[int, int]:
    """Resident bytes of this process now, and at their highest."""
    with suppress(OSError):
        fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":" in line)
        return _kib(fields["VmRSS"]), _kib(fields["VmHWM"])
    highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return highest, highest


def gpu_bytes() -> tuple[int, int]:
    """Bytes of GPU memory that this process holds now, and held at most; zeros if torch has not touched a GPU."""
    torch: Any = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return 0, 0
    devices = range(torch.cuda.device_count())
    now = sum(torch.cuda.memory_reserved(device) for device in devices)
    highest = sum(torch.cuda.max_memory_reserved(device) for device in devices)
    return now + CONTEXT_BYTES, highest + CONTEXT_BYTES


def _kib(text: str) -> int:
    return int(text.split()[0]) * 1024
