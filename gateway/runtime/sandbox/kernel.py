"""Linux's calls that Python has no function for, with its errors; knows none of their meaning."""

from __future__ import annotations

import ctypes
import errno
import os
import sys

_PR_SET_NO_NEW_PRIVS = 38
NOT_LINUX = "this is not Linux"


def call(number: int, *arguments: object) -> int:
    """The result of a system call; raises `OSError`, also where it does not exist."""
    if sys.platform != "linux":
        raise OSError(errno.ENOSYS, NOT_LINUX)
    words = [ctypes.c_long(one) if isinstance(one, int) else one for one in arguments]
    result = int(_libc().syscall(ctypes.c_long(number), *words))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def give_up_privileges() -> None:
    """From now on no program that this thread starts has more rights than it; the kernel asks for that first."""
    if _libc().prctl(_PR_SET_NO_NEW_PRIVS, *(ctypes.c_ulong(one) for one in (1, 0, 0, 0))) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
