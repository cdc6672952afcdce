"""Memory of the whole machine, as Linux counts it: a model that is unloaded leaves none of it behind."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from tests.chaos.test_life import Caller, row, serving
from tests.waiting import eventually

TAKEN_MIB, TOLERANCE_MIB = 256, 8


def held_mib(gateway: Caller) -> int:
    """What all processes of the gateway hold, shared pages counted once between them (proc_pid_smaps_rollup(5))."""
    rollups = (Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in gateway.processes())
    return sum(int(kib) for text in rollups for kib in re.findall(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)) >> 10


@pytest.mark.skipif(sys.platform != "linux", reason="the counts are Linux's")
def test_unloading_brings_host_memory_back_to_the_baseline(tmp_path: Path) -> None:
    taking = row("a", "takes", f", idle_unload_s: 0.2, options: {{mib: {TAKEN_MIB}}}")
    with serving(tmp_path, taking) as gateway:
        found = []
        for life in range(3):
            assert gateway.ask("a", f"life {life}").status_code == 200
            loaded = held_mib(gateway)
            assert eventually(lambda: gateway.state("a") == "unloaded")
            assert eventually(lambda: len(gateway.processes()) == 3)  # the front, the fork server, the resource tracker
            found.append((loaded, held_mib(gateway)))
        baseline = found[0][1]
        for loaded, unloaded in found:
            assert loaded > baseline + TAKEN_MIB, found
            assert abs(unloaded - baseline) <= TOLERANCE_MIB, found
    print(f"MiB held while loaded and after, {len(found)} times: {found}")  # noqa: T201
