"""How the C library of this process hands out memory; knows no request and no setting."""

from __future__ import annotations

import ctypes

_M_ARENA_MAX = -8  # mallopt(3), malloc.h


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
