"""The wall clock jumps by years while requests run: no deadline, no queue and no worker takes notice."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.chaos.test_life import Caller, row
from tests.chaos.witness import events, watched, worker_of
from tests.waiting import eventually

DAY_S = 86400
JUMPS_S = (4000 * DAY_S, -4000 * DAY_S, 0)


def preloaded_library() -> Path | None:
    """A library that shifts the wall clock of every process that it is loaded into."""
    package = find_spec("libfaketime")
    if package is None or package.origin is None:
        return None
    found = Path(package.origin).parent / "vendor/libfaketime/src/libfaketime.so.1"
    return found if found.is_file() else None


class Clock:
    """What the gateway's processes take for the time of day; the monotonic clock goes on as it is."""

    def __init__(self, file: Path, library: Path) -> None:
        self._file = file
        self.env = {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }
        self.jump(0)

    def jump(self, seconds: int) -> None:
        """Show the real time and so many seconds more."""
        scratch = self._file.with_suffix(".new")
        scratch.write_text(f"{seconds:+d}")
        scratch.replace(self._file)


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    """A clock that is right until it jumps."""
    library = preloaded_library()
    if library is None:
        pytest.skip("there is no libfaketime for this machine")
    return Clock(tmp_path / "clock", library)


def shown(gateway: Caller) -> float:
    """How far the gateway's clock is from ours, in seconds."""
    date = gateway.http.get(f"http://127.0.0.1:{gateway.server.port}/health").headers["date"]
    return (parsedate_to_datetime(date) - datetime.now(UTC)).total_seconds()


def test_a_clock_that_jumps_changes_nothing(tmp_path: Path, clock: Clock) -> None:
    gate = tmp_path / "gate"
    waits = row("a", "waits", f", max_batch_items: 1, options: {{gate: '{gate}'}}")
    idle = row("b", more=", idle_unload_s: 3600, timeout_s: 3600")
    hangs = row("h", "hangs", ", timeout_s: 20, run_limit_s: 0.5")
    with (
        watched(tmp_path, waits, idle, hangs, **clock.env) as gateway,
        ThreadPoolExecutor(9) as pool,
    ):
        assert gateway.ask("b", "warm").status_code == 200
        asked, workers = [], list[int]()
        for number, jump in enumerate(JUMPS_S):
            asked += [pool.submit(gateway.ask, "a", f"{number}.{place}") for place in range(3)]
            assert eventually(lambda: is_stuck_with(gateway, len(asked)))  # noqa: B023
            workers = workers or [worker_of(gateway, name) for name in "ab"]
            clock.jump(jump)
            assert eventually(lambda: abs(shown(gateway) - jump) < DAY_S)  # noqa: B023
            assert gateway.ask("b", f"after {jump}").status_code == 200
            late = gateway.ask("h", "hang")
            assert (late.status_code, late.json()["errors"][0]["code"]) == (408, 3046)
            assert gateway.ready()[0] == 200
        gate.touch()
        labels = [answer.result().json()["result"][0]["label"] for answer in asked]
        assert labels == [f"{number}.{place}" for number in range(len(JUMPS_S)) for place in range(3)]
        assert [worker_of(gateway, name) for name in "ab"] == workers
        os.kill(workers[0], signal.SIGSTOP)
        clock.jump(-JUMPS_S[0])
        assert gateway.ask("a", "replaced").status_code == 200
        assert worker_of(gateway, "a") != workers[0]
        assert [lost["model"] for lost in events(gateway, "worker lost")] == ["@test/h"] * len(JUMPS_S) + ["@test/a"]


def is_stuck_with(gateway: Caller, requests: int) -> bool:
    """Whether one request runs and the others wait."""
    model = gateway.ready()[1]["models"][0]
    return (model["state"], model["running"], model["waiting"]) == ("ready", 1, requests - 1)
