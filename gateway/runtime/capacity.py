"""How much memory this machine or container lets the models have; knows no model."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

HOST_SHARE, GPU_SHARE = 0.8, 0.9


def host_limit_bytes(root: Path = Path("/")) -> int:
    """The least of the machine's memory and what any control group (version 1 or 2) above this process allows."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min(machine, *_group_limits(root), machine)


def _group_limits(root: Path) -> Iterator[int]:
    mount = root / "sys/fs/cgroup"
    with suppress(OSError):
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers and "memory" not in controllers.split(","):
                continue
            base, name = (mount, "memory.max") if not controllers else (mount / "memory", "memory.limit_in_bytes")
            # In a container the path may be the host's; then the mount itself is this process's group.
            folder = base / path.lstrip("/")
            for group in (folder, *folder.parents):
                with suppress(OSError, ValueError):
                    yield int((group / name).read_text())
                if group == base:
                    break
