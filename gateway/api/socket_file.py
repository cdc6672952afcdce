"""Unix sockets as files: opened for their owner alone, cleared away once nobody listens; knows no command."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PATTERN = "gateway-*.sock"


def listen(path: Path) -> socket.socket:
    """A socket that listens at `path` (mode 0600), in a folder that nobody else can enter.

    What killed servers left in that folder is removed. Raises `OSError`, also if a server listens there.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _alone(path.parent):
        _sweep(path.parent)
        if is_served(path):
            raise OSError(f"another server listens at {path}")
        path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            _bind(listener, path)
            listener.listen()
        except OSError:
            listener.close()
            raise
    return listener


def is_served(path: Path) -> bool:
    """Whether somebody listens there, who need not answer: a server that was killed leaves its socket behind."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except (BlockingIOError, PermissionError):  # a full backlog, or another user's
            return True
        except OSError:
            return False
    return True


def _sweep(folder: Path) -> None:
    for left in folder.glob(PATTERN):
        if not is_served(left):
            left.unlink(missing_ok=True)


def _bind(listener: socket.socket, path: Path) -> None:
    before = os.umask(0o177)
    try:
        listener.bind(str(path))
    finally:
        os.umask(before)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Held meanwhile: a socket that is bound and not yet listened at looks like one that was left."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
