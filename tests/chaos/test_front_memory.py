"""What floods leave behind in the front process: no heap for each thread that parsed a body, and no memory."""

from __future__ import annotations

import concurrent.futures
import contextlib
import os
import platform
from pathlib import Path

import httpx
import pytest

from tests.chaos import raw
from tests.chaos.abuse.site import forget_peak, peak_bytes
from tests.server import Server, gateway, write_models
from tests.waiting import eventually

HEAP_BYTES = 64 << 20
HEADERS = {"Authorization": "Bearer any"}


def thread_heaps(pid: int) -> int:
    """How many heaps glibc made for single threads: 64 MiB, so aligned, of which the unused end is inaccessible."""
    found, before = 0, (0, 0, "")
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        places, access, *_ = line.split()
        start, end = (int(place, 16) for place in places.split("-"))
        is_rest = access == "---p" and before[1] == start and before[2] == "rw-p"
        if is_rest and before[0] % HEAP_BYTES == 0 and end == before[0] + HEAP_BYTES:
            found += 1
        before = start, end, access
    return found


def send_large_bodies(server: Server) -> list[int]:
    """Two dozen requests of 2 MB, eight at once; how each was answered."""
    body = {"image": [1, 2, 3, 4] * 250_000}

    def send(_: int) -> int:
        return httpx.post(server.run_url("@test/see"), json=body, headers=HEADERS, timeout=60).status_code

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        return list(pool.map(send, range(24)))


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has heaps of threads")
def test_threads_that_parse_bodies_have_no_heaps_of_their_own(tmp_path: Path) -> None:
    models = write_models(tmp_path / "models.yaml", "{name: '@test/see', task: image-classification, engine: fake}")
    with gateway("--models", str(models), "--home", str(tmp_path)) as server:
        assert set(send_large_bodies(server)) == {400}, "no image"
        tasks = list(Path(f"/proc/{server.process.pid}/task").iterdir())
        assert len(tasks) > 2, "bodies were parsed in threads"
        assert thread_heaps(server.process.pid) == 0


def resident_mib(pid: int) -> int:
    """What a process has in memory now."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 20


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries give back in their own ways")
def test_what_a_flood_took_comes_back(tmp_path: Path) -> None:
    models = write_models(tmp_path / "models.yaml", "{name: '@test/see', task: image-classification, engine: fake}")
    with gateway("--models", str(models), "--home", str(tmp_path)) as server, contextlib.ExitStack() as stack:
        front = server.process.pid
        assert httpx.post(server.run_url("@test/see"), json={}, headers=HEADERS, timeout=60).status_code == 400
        before = resident_mib(front)
        forget_peak(front)
        unfinished = raw.head("@test/see", "x: " + "a" * 60_000)[:-4]
        for _ in range(250):
            connection = stack.enter_context(raw.connect(server))
            connection.sendall(unfinished)
        assert eventually(lambda: peak_bytes(front) >> 20 > before + 10), "the flood was held"
        stack.close()
        assert eventually(lambda: resident_mib(front) < before + 6)
