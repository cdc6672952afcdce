"""Checks what the machine offers the engines: instructions, GPUs with their driver, memory; knows no row."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path

from gateway.cli.doctor.finding import Finding, fault, note, ok
from gateway.config import GIB, Settings
from gateway.runtime.capacity import HOST_SHARE, host_limit_bytes
from gateway.runtime.memory import readable
from gateway.runtime.nursery import GPU_SIGNS

# What Linux calls them, and what people do.
INSTRUCTIONS = {
    "avx2": "AVX2",
    "avx512f": "AVX-512",
    "avx512_bf16": "AVX512-BF16",
    "amx_tile": "AMX",
}
DRIVER = Path("proc/driver/nvidia/version")
# The oldest driver for each major version of CUDA (NVIDIA's table of minor version compatibility).
LEAST_DRIVER = {11: 450, 12: 525, 13: 580}
Torch = tuple[str | None, str | None]
BUILD = "install a build of torch for CUDA: GATEWAY_TORCH_INDEX=<package index with it> scripts/setup"


def instructions(root: Path = Path("/")) -> Iterator[Finding]:
    """The vector instructions of an x86 CPU."""
    if platform.machine() not in ("x86_64", "AMD64"):
        yield ok("cpu", platform.machine())
        return
    try:
        text = (root / "proc/cpuinfo").read_text()
    except OSError:
        yield note("cpu", "its instructions cannot be read here")
        return
    flags = set((found[1] if (found := re.search(r"^flags\s*:(.*)$", text, re.MULTILINE)) else "").split())
    has = ", ".join(name for flag, name in INSTRUCTIONS.items() if flag in flags)
    lacks = ", ".join(name for flag, name in INSTRUCTIONS.items() if flag not in flags)
    told = f"{os.cpu_count()} threads" + (f"; {has}" if has else "") + (f"; no {lacks}" if lacks else "")
    if "avx2" in flags:
        yield ok("cpu", told)
    else:
        yield note("cpu", told, "use a CPU with AVX2, or let the hypervisor pass it through: all else is much slower")


def gpus(budgets: Mapping[str, int], torch: Torch, root: Path = Path("/")) -> Iterator[Finding]:
    """Whether driver, torch's build and devices go together; `budgets` are the GPUs that a worker saw."""
    has_device = any((root / str(path).lstrip("/")).exists() for path in GPU_SIGNS)
    try:
        text = (root / DRIVER).read_text()
    except OSError:
        text = ""
    driver = found[1] if (found := re.search(r"Kernel Module.*?\s(\d+\.[\d.]+)", text)) else None
    build, cuda = torch
    if not has_device and driver is None:
        yield ok("gpu", f"none; torch {build or 'is not installed'}")
        return
    told = f"driver {driver or 'unknown'}, torch {build or 'not installed'} for {f'CUDA {cuda}' if cuda else 'the CPU'}"
    least = LEAST_DRIVER.get(int(cuda.partition(".")[0])) if cuda else None
    if cuda is None:
        yield fault("gpu", told, BUILD)
    elif driver and least and int(driver.partition(".")[0]) < least:
        yield fault("gpu", told, f"update the driver to {least} or newer, or install torch for an older CUDA")
    elif not has_device:
        yield fault(
            "gpu", f"{told}; no device file", "load the driver (`nvidia-smi`), or pass the GPU to the container"
        )
    elif not budgets:
        yield fault("gpu", f"{told}; workers cannot use it", "see `nvidia-smi`; check CUDA_VISIBLE_DEVICES")
    else:
        sizes = ", ".join(f"{name} {readable(size)}" for name, size in budgets.items())
        yield ok("gpu", f"{told}; {sizes}")


def torch_build() -> Torch:
    """The version of torch and of the CUDA that it was built for, read without importing it."""
    try:
        distribution = metadata.distribution("torch")
        text = Path(str(distribution.locate_file("torch/version.py"))).read_text()
    except (metadata.PackageNotFoundError, OSError):
        return None, None
    cuda = re.search(r"^cuda\b[^=]*=\s*'([^']+)'", text, re.MULTILINE)
    return distribution.version, cuda[1] if cuda else None


def memory(settings: Settings, root: Path = Path("/")) -> Iterator[Finding]:
    """The memory of the machine or container, what models may take of it, and what is free now."""
    machine, limit = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), host_limit_bytes(root)
    budget = int(settings.memory_gib * GIB) if settings.memory_gib is not None else int(limit * HOST_SHARE)
    of = f"a control group allows {readable(limit)} of {readable(machine)}" if limit < machine else readable(machine)
    told = f"{of}; models may take {readable(budget)}"
    if budget > limit:
        yield fault("memory", told, f"set GATEWAY_MEMORY_GIB to at most {limit * HOST_SHARE / GIB:.1f}")
        return
    free = available_bytes(root)
    if limit == machine and free is not None and free < budget:
        yield note("memory", f"{told}, but {readable(free)} are free now", "end other programs, or lower the budget")
    else:
        yield ok("memory", told)


def available_bytes(root: Path) -> int | None:
    """What Linux says could be had without swapping; None where it does not say."""
    try:
        found = re.search(r"^MemAvailable:\s+(\d+) kB", (root / "proc/meminfo").read_text(), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) * 1024 if found else None
