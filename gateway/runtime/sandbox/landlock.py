"""Landlock's rules that leave a process to read files and write hardly any; knows no network.

After Documentation/userspace-api/landlock.rst and include/uapi/linux/landlock.h of Linux.
"""

from __future__ import annotations

import errno
import os
import stat
import struct
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from gateway.runtime.sandbox import kernel

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION_FLAG, _PATH_BENEATH = 1, 1
_WRITE_FILE, _REMOVE_DIR, _TRUNCATE, _REFER = 1 << 1, 1 << 4, 1 << 14, 1 << 13
_MAKE_DEVICES = (1 << 6) | (1 << 11)
# Writing, removing and making of every kind, in the first version.
_FIRST = _WRITE_FILE | sum(1 << bit for bit in range(4, 13))
_REFER_SINCE, _TRUNCATE_SINCE, SCOPES_SINCE = 2, 3, 6
# Neither abstract sockets nor signals reach a process outside.
_SCOPES = (1 << 0) | (1 << 1)
# What programs write to without keeping anything, and the devices that compute.
_DEVICES = ("null", "zero", "full", "nvidia*", "nvidia-caps/*", "dri/*", "kfd", "dxg", "accel/*")
_SHARED_MEMORY = Path("/dev", "shm")
# CUDA gives names to its threads here, and does not start if it cannot.
_THREADS = Path("/proc/self/task")
_UNTRUNCATED = "for truncating them, which Linux refuses from 6.2 on"


def gap() -> str | None:
    """Why writing cannot be wholly refused here, if it cannot."""
    try:
        return f"refused, except {_UNTRUNCATED}" if version() < _TRUNCATE_SINCE else None
    except OSError as error:
        return error.strerror


def refuse_writes(folders: Iterable[Path]) -> Sequence[str]:
    """Refuse this thread and all that it starts to change files, except below `folders` and for devices.

    Files that are open stay so. Processes that it did not start can be neither traced nor, from Linux 6.12 on,
    signalled any more. Gives what is not refused though it should be; raises `OSError` that says why nothing is.
    """
    known = version()
    exceptions = [_UNTRUNCATED] if known < _TRUNCATE_SINCE else []
    if len(os.listdir("/proc/self/task")) > 1:
        exceptions.append("in threads that libraries began while they were imported")
    handled = _FIRST | (_REFER if known >= _REFER_SINCE else 0) | (_TRUNCATE if known >= _TRUNCATE_SINCE else 0)
    ruleset = struct.pack("QQQ", handled, 0, _SCOPES if known >= SCOPES_SINCE else 0)
    rules = kernel.call(_CREATE_RULESET, ruleset, len(ruleset), 0)
    try:
        for folder in (*folders, _SHARED_MEMORY):
            _allow(rules, folder, handled & ~_MAKE_DEVICES)
        for path in (_THREADS, *(found for name in _DEVICES for found in Path("/dev").glob(name))):
            _allow(rules, path, handled & (_WRITE_FILE | _TRUNCATE))
        kernel.give_up_privileges()
        kernel.call(_RESTRICT_SELF, rules, 0)
    finally:
        os.close(rules)
    return exceptions


def version() -> int:
    """Which of Landlock's interfaces this kernel has; raises `OSError` that says why none."""
    try:
        return kernel.call(_CREATE_RULESET, 0, 0, _VERSION_FLAG)
    except OSError as error:
        reasons = {
            errno.ENOSYS: "this Linux has no Landlock",
            errno.EOPNOTSUPP: "Landlock is switched off in this Linux",
            errno.EPERM: "the container forbids Landlock",
        }
        raise OSError(error.errno, reasons.get(error.errno or 0, error.strerror)) from None


def _allow(rules: int, path: Path, access: int) -> None:
    """A rule for what is there; a path that is not there needs none."""
    with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
                access &= _WRITE_FILE | _TRUNCATE
            kernel.call(_ADD_RULE, rules, _PATH_BENEATH, struct.pack("=Qi", access, descriptor), 0)
        finally:
            os.close(descriptor)
