"""A control group with little memory, in which the kernel itself ends the process that takes too much."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path("/sys/fs/cgroup")


@contextmanager
def little_memory(pid: int, limit_mib: int) -> Iterator[None]:
    """Let `pid` take that much more memory from now on (cgroups(7), both versions); skips where that is forbidden."""
    folder = _parent() / f"gateway-test-{os.getpid()}-{pid}"
    try:
        folder.mkdir()
    except OSError as error:
        pytest.skip(f"no control groups here: {error}")
    try:
        limit = next(
            (file for file in (folder / "memory.max", folder / "memory.limit_in_bytes") if file.exists()), None
        )
        if limit is None:
            pytest.skip("no memory controller here")
        limit.write_text(str(limit_mib << 20))
        (folder / "cgroup.procs").write_text(str(pid))
        yield
    finally:
        _leave(folder)


def _parent() -> Path:
    """This process's own group in the hierarchy that accounts for memory."""
    groups = dict(line.split(":", 2)[1:] for line in Path("/proc/self/cgroup").read_text().splitlines())
    return ROOT / "memory" / groups["memory"].strip("/") if "memory" in groups else ROOT / groups[""].strip("/")


def _leave(folder: Path) -> None:
    """Remove the group; a process that survived goes back to the parent's."""
    for survivor in (folder / "cgroup.procs").read_text().split():
        (folder.parent / "cgroup.procs").write_text(survivor)
    folder.rmdir()
