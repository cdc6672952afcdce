"""How many files this process may have open, and so how many connections; knows no socket."""

from __future__ import annotations

import contextlib
import resource

# Connections take one each. The rest is for workers, weights, batches and logs.
ENOUGH_FILES = 65_536
OTHERS = 256


def allowed_files() -> int:
    """How far this user may raise the limit of open files, as far as that is useful."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return ENOUGH_FILES if hard == resource.RLIM_INFINITY else min(hard, ENOUGH_FILES)


def allow_files() -> int:
    """Raise the limit of open files so far; the limit from now on."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return ENOUGH_FILES
    wanted = allowed_files()
    if wanted > soft:
        with contextlib.suppress(ValueError, OSError):  # some systems have a further limit, and tell only so
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def room_for_connections(files: int, wanted: int) -> int:
    """As many connections as are `wanted`, or as leave enough of so many open files for everything else."""
    return min(wanted, max(files - OTHERS, files // 2))
