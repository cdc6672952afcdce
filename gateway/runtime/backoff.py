"""How long to wait before trying again what keeps failing; knows no task."""

from __future__ import annotations

FIRST_DELAY_S, LONGEST_DELAY_S = 0.25, 30.0


def backoff_s(failures: int) -> float:
    """Seconds to wait after that many failures in a row: doubling, bounded."""
    return float(min(LONGEST_DELAY_S, FIRST_DELAY_S * 2 ** max(0, failures - 1))) if failures else 0.0
