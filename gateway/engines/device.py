"""What a worker process tells of memory: its own, and that of the GPUs it sees; knows no model."""

from __future__ import annotations

import os
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


class Peak:
    """Forgets how high the use of memory once was; where the system has no way to, nothing is forgotten.

    After proc_pid_clear_refs(5) of Linux: `5` sets the highest resident size to the present one.
    """

    def __init__(self) -> None:
        """Opens the way to it, which stays open for a process that is confined later."""
        self._file: int | None = None
        with suppress(OSError):
            self._file = os.open("/proc/self/clear_refs", os.O_WRONLY | os.O_CLOEXEC)

    def forget(self) -> None:
        """From now on the highest use is what is used now, or later."""
        if self._file is not None:
            with suppress(OSError):
                os.write(self._file, b"5")
        torch: Any = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_initialized():
            for index in range(torch.cuda.device_count()):
                torch.cuda.reset_peak_memory_stats(index)


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
