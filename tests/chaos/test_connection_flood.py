"""More connections than the gateway may have open files: a neighbour is still answered, and a model still loads."""

from __future__ import annotations

import contextlib
import resource
import ssl
import sys
from pathlib import Path

import httpx
import pytest

from gateway.cli.doctor import access
from gateway.cli.open_files import allow_files, room_for_connections
from gateway.config import Settings
from tests.certificates import make_certificate
from tests.chaos import raw
from tests.chaos.test_front import HEADERS, ROOT
from tests.server import gateway, write_models

FILES = 256
LIMITED = ("sh", "-c", f'ulimit -n {FILES} && exec "$@"', "sh", sys.executable, "-m", "gateway.cli.main", "serve")


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_silent_connections_beyond_the_limit_of_open_files_keep_nobody_out(scheme: str, tmp_path: Path) -> None:
    """Over TLS not even a handshake comes of them."""
    models = write_models(tmp_path / "models.yaml", "{name: '@test/a', task: text-classification, engine: fake}")
    options: tuple[str, ...] = ("--models", str(models), "--home", str(tmp_path))
    trust = ssl.create_default_context()
    if scheme == "https":
        make_certificate(tmp_path)
        trust.load_verify_locations(tmp_path / "cert.pem")
        options += ("--tls-cert", str(tmp_path / "cert.pem"), "--tls-key", str(tmp_path / "key.pem"))
    with (
        gateway(*options, command=LIMITED, env={"PYTHONPATH": ROOT}) as server,
        contextlib.ExitStack() as stack,
    ):
        flood = [stack.enter_context(raw.connect(server)) for _ in range(FILES + 50)]
        url = server.run_url("@test/a").replace("http:", f"{scheme}:")
        answer = httpx.post(url, json={"text": "a"}, headers=HEADERS, timeout=60, verify=trust)
        assert answer.status_code == 200, "neither the request nor the load of its model found a place"
        assert raw.open_files(server.process.pid) < FILES
        assert raw.rest_of(flood[0]) == b"", "the first to come was the first to go"


@pytest.mark.parametrize(
    ("files", "wanted", "room"), [(65_536, 10_000, 10_000), (1024, 10_000, 768), (1024, 100, 100), (256, 10_000, 128)]
)
def test_what_else_needs_files_is_left_some(files: int, wanted: int, room: int) -> None:
    assert room_for_connections(files, wanted) == room


@pytest.mark.parametrize(("files", "level"), [(1024, "note"), (65_536, "ok")])
def test_the_doctor_tells_of_a_limit_below_the_wanted_connections(files: int, level: str, tmp_path: Path) -> None:
    (finding,) = access.connections(Settings(home=tmp_path), files)
    assert (finding.level, "LimitNOFILE" in finding.fix) == (level, level == "note")


def test_the_limit_of_open_files_is_raised_as_far_as_may_be() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (512, before[1]))
        assert allow_files() == min(before[1], 65_536)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
