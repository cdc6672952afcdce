"""When, on what and with what a run is made; knows no measurement."""

from __future__ import annotations

import os
import platform
import re
import shlex
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from gateway import __version__
from gateway.bench.result import About

PACKAGES = ("torch", "transformers", "openvino", "ctranslate2", "diffusers", "sentence-transformers", "onnxruntime")
_SOURCE = Path(__file__).resolve().parents[2]
_GPUS = ("nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader")


def about(arguments: Sequence[str]) -> About:
    """This moment and machine; `arguments` are those of `gateway bench`, of which a key is not kept."""
    return About(
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        command=shlex.join(["gateway", "bench", *_without_key(arguments)]),
        version=__version__,
        commit=_output("git", "-C", str(_SOURCE), "rev-parse", "HEAD") if (_SOURCE / ".git").exists() else None,
        threads=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        load_before=round(os.getloadavg()[0], 2),
        machine=_machine(),
        versions={"python": platform.python_version(), **_versions()},
    )


def _without_key(arguments: Sequence[str]) -> list[str]:
    hidden = [re.sub(r"^(--key=).*", r"\1…", argument) for argument in arguments]
    return ["…" if before == "--key" else argument for before, argument in zip(["", *hidden], hidden, strict=False)]


def _machine() -> dict[str, str]:
    return {
        "cpu": _cpu(),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "gpu": "; ".join((_output(*_GPUS) or "none").splitlines()),
        "system": f"{platform.system()} {platform.release()}",
    }


def _cpu() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        text = ""
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return found[1] if found else platform.processor() or platform.machine()


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def _output(*command: str) -> str | None:
    """What a program prints, or None if it is not here or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None
