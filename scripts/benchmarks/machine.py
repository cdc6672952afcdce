"""What the figures were taken on and with; knows no measurement."""

from __future__ import annotations

import contextlib
import os
import platform
import shlex
import subprocess
import sys
import time
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
FLAGS = ("avx2", "avx512f", "avx512_bf16", "avx512_fp16", "avx512_vnni", "avx_vnni", "amx_bf16", "amx_int8")
PACKAGES = (
    "fastapi",
    "faster-whisper",
    "ctranslate2",
    "httptools",
    "openvino",
    "openvino-genai",
    "sentence-transformers",
    "starlette",
    "torch",
    "transformers",
    "uvicorn",
    "uvloop",
    "xllamacpp",
)


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def _cpu() -> dict[str, Any]:
    """Model and the instructions that decide which kernels run (Linux; elsewhere what `platform` knows)."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return {"model": platform.processor() or platform.machine(), "flags": []}
    entries = dict(line.split(":", 1) for line in text.partition("\n\n")[0].splitlines() if ":" in line)
    fields = {name.strip(): value.strip() for name, value in entries.items()}
    flags = set(fields.get("flags", "").split())
    return {"model": fields.get("model name", platform.machine()), "flags": [flag for flag in FLAGS if flag in flags]}


def busy_cores(seconds: float = 1.0) -> float | None:
    """How many cores other processes keep busy while this one waits; None where `/proc/stat` is missing."""
    before = _cpu_ticks()
    time.sleep(seconds)
    after = _cpu_ticks()
    if before is None or after is None:
        return None
    total, idle = after[0] - before[0], after[1] - before[1]
    return round((total - idle) / max(1, total) * (os.cpu_count() or 1), 2)


def _cpu_ticks() -> tuple[int, int] | None:
    """All ticks of all cores since the start, and the idle ones (proc(5): user nice system idle iowait …)."""
    try:
        fields = Path("/proc/stat").read_text(encoding="utf-8").partition("\n")[0].split()[1:]
    except OSError:
        return None
    ticks = [int(field) for field in fields]
    return sum(ticks), ticks[3] + ticks[4]


def about() -> dict[str, Any]:
    """Machine, commit, versions, command line and what else kept it busy before the first measurement."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": shlex.join(["scripts/bench", *sys.argv[1:]]),
        "commit": _git("rev-parse", "HEAD"),
        "changed": bool(_git("status", "--porcelain", "--untracked-files=no")),
        "machine": {
            **_cpu(),
            "cores": len(os.sched_getaffinity(0)),
            "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30), 1),
            "kernel": platform.release(),
            "busy_cores_before": busy_cores(),
        },
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}},
    }


def memory_of_children() -> int:
    """Bytes that this process's children and theirs hold, pages that they share counted once."""
    total = 0
    for pid in descendants(os.getpid()):
        with contextlib.suppress(OSError):
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
            total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    return total


def descendants(pid: int) -> list[int]:
    """The process's children, theirs, and so on."""
    found: list[int] = []
    waiting = _children(pid)
    while waiting:
        found.append(waiting.pop())
        waiting += _children(found[-1])
    return found


def is_alive(pid: int) -> bool:
    """Whether the process runs; one that has ended and is not waited for does not (proc(5): state Z)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def resident_bytes(pid: int) -> int:
    """What the process holds in memory (proc(5), statm's second field is pages); raises `OSError` if it is gone."""
    return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def open_files(pid: int) -> int:
    """How many file descriptors the process has; raises `OSError` if it is gone."""
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


def _children(pid: int) -> list[int]:
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += map(int, (task / "children").read_text(encoding="ascii").split())
    return found
