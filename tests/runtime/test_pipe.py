"""A worker's end of its pipe: however the gateway goes, its worker goes too."""

from __future__ import annotations

import select
import socket
import subprocess
import sys

import pytest

WORKER = """
import socket, sys
from gateway.runtime.messages import Pong
from gateway.runtime.pipe import Pipe

pipe = Pipe(socket.socket(fileno=int(sys.argv[1])))
pipe.watch()
pipe.send(Pong())
pipe.receive(wait=True)
"""


@pytest.mark.parametrize("reads", [True, False], ids=["all was read", "an answer was not read"])
def test_a_worker_ends_when_its_gateway_is_gone(reads: bool) -> None:
    """The end of a socket whose last bytes nobody read is a reset connection to the other side."""
    ours, theirs = socket.socketpair()
    with theirs:
        line = [sys.executable, "-c", WORKER, str(theirs.fileno())]
        process = subprocess.Popen(line, pass_fds=[theirs.fileno()], stderr=subprocess.PIPE, text=True)
    with ours:
        assert select.select([ours], [], [], 60)[0]
        if reads:
            ours.recv(1 << 16)
    try:
        assert process.communicate(timeout=30)[1] == ""
        assert process.returncode == 0
    finally:
        process.kill()
        process.communicate()
