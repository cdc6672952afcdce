"""What large bodies leave behind in the front process: no heap for each thread that parsed one."""

from __future__ import annotations

import concurrent.futures
import platform
from pathlib import Path

import httpx
import pytest

from tests.server import Server, gateway, write_models

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
