"""How the C library of this process hands out memory and gives it back; knows no request and no setting."""

from __future__ import annotations

import ctypes
import threading
import time

_M_ARENA_MAX = -8  # mallopt(3), malloc.h
GIVE_BACK_S = 10.0


def share_one_heap() -> bool:
    """Have every thread allocate from one heap, which is to be said before there are threads; whether it will be so.

    glibc gives threads heaps of their own, and each keeps what was freed in it for itself. Threads of the front take
    turns at parsing, so that large bodies leave their size behind in one heap after another. Other C libraries have no
    such heaps.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(_M_ARENA_MAX, 1))


def give_back_freed(every_s: float = GIVE_BACK_S) -> bool:
    """Return what is free in the heap to the system from now on, every so often; whether this C library can.

    glibc returns only what is free at the heap's end: one small object there keeps a flood's worth of memory. To look
    takes a millisecond or two for a heap of some 10 MB (malloc_trim(3)).
    """
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):
        return False

    def for_ever() -> None:
        while True:
            time.sleep(every_s)
            trim(0)

    threading.Thread(target=for_ever, name="gives back memory", daemon=True).start()
    return True
