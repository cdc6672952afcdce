"""Runs one server and ends it, with all it started, once its own standard input ends; a program of its own.

It outlives the worker that started it, however that ends, for as long as the server needs to go. It is run by its
path, without the packages around it.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading

GRACE_S = 3.0
NOT_STARTED = 127
_PR_SET_PDEATHSIG = 1


def main(command: list[str]) -> int:
    """The server's exit status, as a shell would give it."""
    try:
        # One thread and no library has run yet, so the hook is safe.
        server = subprocess.Popen(  # noqa: S603 - the operator's own command, and no shell
            command, stdin=subprocess.DEVNULL, start_new_session=True, preexec_fn=_die_with_the_guard
        )
    except OSError as error:
        sys.stderr.write(f"cannot start {command[0]}: {error.strerror}\n")
        return NOT_STARTED
    threading.Thread(target=_end_with_the_input, args=(server,), daemon=True).start()
    status = server.wait()
    _signal(server, signal.SIGKILL)
    return status if status >= 0 else 128 - status


def _die_with_the_guard() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _end_with_the_input(server: subprocess.Popen[bytes]) -> None:
    while os.read(0, 4096):
        pass
    _signal(server, signal.SIGTERM)
    try:
        server.wait(GRACE_S)
    except subprocess.TimeoutExpired:
        _signal(server, signal.SIGKILL)


def _signal(server: subprocess.Popen[bytes], number: int) -> None:
    """To the server and what it started, as far as that stayed in its process group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(server.pid, number)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
