"""A filter of system calls that leaves a process no socket to another machine; knows no file.

After Documentation/userspace-api/seccomp_filter.rst and include/uapi/linux/{seccomp,filter}.h of Linux.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import socket
import struct
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.runtime.sandbox import kernel

_SET_MODE_FILTER, _GET_ACTION_AVAIL = 1, 2
# All threads; and without what older kernels do against speculation wherever there is a filter: it slows computing.
_FLAGS = (1 << 0) | (1 << 2)
ALLOW, ERRNO = 0x7FFF0000, 0x00050000
LOAD, EQUAL, _AT_LEAST, RETURN = 0x20, 0x15, 0x35, 0x06
# An instruction: what to do, how many to leave out if it holds and if not, and with what.
Line = tuple[int, int, int, int]
# Offsets in struct seccomp_data; the lower half of the first argument, little-endian.
NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16
# x86-64's second table of numbers begins here; no other has so many.
_X32 = 0x40000000
_IO_URING_SETUP = 425


@dataclass(frozen=True)
class _Machine:
    """`AUDIT_ARCH_…` of linux/audit.h, and the numbers of system calls."""

    architecture: int
    seccomp: int
    socket: int
    connect: int


_MACHINES = {
    "x86_64": _Machine(0xC000003E, seccomp=317, socket=41, connect=42),
    "aarch64": _Machine(0xC00000B7, seccomp=277, socket=198, connect=203),
}


def gap() -> str | None:
    """Why the network cannot be refused here, if it cannot."""
    try:
        action = ctypes.c_uint32(ERRNO)
        kernel.call(_machine().seccomp, _GET_ACTION_AVAIL, 0, ctypes.byref(action))
    except OSError as error:
        return error.strerror
    return None


def refuse_network() -> Sequence[str]:
    """Refuse this process and its children every socket but those between processes of this machine, and `connect`.

    What is open stays open. Raises `OSError` that says why it cannot be done; there are no exceptions to name.
    """
    install(_no_network(_machine()))
    return ()


def install(lines: Sequence[Line]) -> None:
    """Have the kernel run this program before every system call of this process; raises `OSError`."""
    code = b"".join(struct.pack("HBBI", *line) for line in lines)
    buffer = ctypes.create_string_buffer(code, len(code))
    program = struct.pack("HxxxxxxP", len(lines), ctypes.addressof(buffer))
    kernel.give_up_privileges()
    if kernel.call(_machine().seccomp, _SET_MODE_FILTER, _FLAGS, program):
        raise OSError(errno.ESRCH, "a thread has a filter of its own")


def _machine() -> _Machine:
    machine = _MACHINES.get(platform.machine())
    if sys.platform != "linux" or machine is None or struct.calcsize("P") != 8:
        reason = kernel.NOT_LINUX if sys.platform != "linux" else f"no filter is written for {platform.machine()}"
        raise OSError(errno.ENOSYS, reason)
    return machine


def _no_network(machine: _Machine) -> list[Line]:
    """Look at the architecture, the number, and for `socket` at the first argument.

    A missing name service or log is what a refused connection looks like to a library, so `connect` fails as theirs
    does. io_uring would open sockets past the filter.
    """
    return [
        (LOAD, 0, 0, _ARCHITECTURE),
        (EQUAL, 0, 8, machine.architecture),
        (LOAD, 0, 0, NUMBER),
        (_AT_LEAST, 6, 0, _X32),
        (EQUAL, 5, 0, _IO_URING_SETUP),
        (EQUAL, 5, 0, machine.connect),
        (EQUAL, 0, 5, machine.socket),
        (LOAD, 0, 0, _FIRST_ARGUMENT),
        (EQUAL, 3, 0, socket.AF_UNIX),
        (RETURN, 0, 0, ERRNO | errno.EACCES),
        (RETURN, 0, 0, ERRNO | errno.ENOSYS),
        (RETURN, 0, 0, ERRNO | errno.ECONNREFUSED),
        (RETURN, 0, 0, ALLOW),
    ]
