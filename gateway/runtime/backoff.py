"""How long to wait before trying again what keeps failing; knows no task."""

from __future__ import annotations

FIRST_DELAY_S, LONGEST_DELAY_S = 0.25, 30.0
# So many doublings go beyond the longest delay; more would not fit into a float one day.
_MAX_DOUBLINGS = 10


def backoff_s(failures: int) -> float:
    """Seconds to wait after that many failures in a row: doubling, bounded; none without a failure."""
    if failures <= 0:
        return 0.0
    return min(LONGEST_DELAY_S, FIRST_DELAY_S * 2.0 ** min(failures - 1, _MAX_DOUBLINGS))
