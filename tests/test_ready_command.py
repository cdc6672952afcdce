"""`gateway ready` against a gateway that is ready, one that cannot become ready, and none."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.server import gateway, write_models

LOADS = '{name: "@local/a", task: text-classification, engine: fake, preload: true}'
FAILS = '{name: "@local/b", task: text-classification, engine: fake, preload: true, source: "file:/nowhere"}'


def ready(home: Path, *more: str) -> tuple[int, str]:
    """The command's exit status and what it says."""
    command = [sys.executable, "-m", "gateway.cli.main", "ready", "--home", str(home), *more]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(("row", "expected"), [(LOADS, (0, "ready\n")), (FAILS, (1, "not ready: /ready says why\n"))])
def test_the_status_says_whether_it_is_ready(row: str, expected: tuple[int, str], tmp_path: Path) -> None:
    models = write_models(tmp_path / "models.yaml", row)
    with gateway("--models", str(models), "--home", str(tmp_path), "--no-pull") as server:
        name = row.split('"')[1]
        httpx.post(server.run_url(name), json={"text": "a"}, headers={"Authorization": "Bearer any"}, timeout=60)
        assert ready(tmp_path) == expected
        assert ready(tmp_path, "--port", str(server.port)) == expected


def test_where_no_gateway_runs_it_says_so(tmp_path: Path) -> None:
    status, said = ready(tmp_path)
    assert status == 1
    assert said.startswith(f"error: no gateway runs on {tmp_path}: start one with `gateway serve`")
