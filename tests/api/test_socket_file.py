"""Sockets as files: who listens keeps theirs, however busy; what nobody listens at goes."""

from __future__ import annotations

import socket
import stat
from pathlib import Path

import pytest

from gateway.api.socket_file import is_served, listen


def left(path: Path) -> None:
    """A socket as a killed process leaves it."""
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(str(path))


def test_what_nobody_listens_at_goes_and_all_else_stays(tmp_path: Path) -> None:
    other = listen(tmp_path / "gateway-1.sock")
    for name in ("gateway-2.sock", "gateway-3.sock", "database.sock"):
        left(tmp_path / name)
    with other, listen(tmp_path / "gateway-3.sock"):
        assert {path.name for path in tmp_path.iterdir()} == {"gateway-1.sock", "gateway-3.sock", "database.sock"}
        assert stat.S_IMODE((tmp_path / "gateway-3.sock").stat().st_mode) == 0o600


def test_a_place_that_is_taken_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "gateway-1.sock"
    with listen(path):
        with pytest.raises(OSError, match="another server listens at"):
            listen(path)
        assert is_served(path)
    assert not is_served(path)


def test_a_server_too_busy_to_take_another_connection_still_has_its_socket(tmp_path: Path) -> None:
    busy = tmp_path / "gateway-1.sock"
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as first:
        server.bind(str(busy))
        server.listen(0)
        first.connect(str(busy))
        with listen(tmp_path / "gateway-2.sock"):
            assert busy.is_socket()
