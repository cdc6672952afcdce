"""The `Server-Timing` header (W3C Server Timing): where a request's time went; knows no route and no process."""

from __future__ import annotations

from gateway.runtime.timing import Timing


def header_value(timing: Timing) -> bytes:
    """Durations in milliseconds: `queue`, `load` if it waited for one, then `run`, or `first` of a stream.

    `batch` has no duration; its description is how many requests the worker answered together.
    """
    parts = [f"queue;dur={timing.queue_s * 1000:.3f}"]
    if timing.load_s:
        parts.append(f"load;dur={timing.load_s * 1000:.3f}")
    if timing.batch_items:
        parts.append(f'batch;desc="{timing.batch_items}"')
        first_s = timing.first_s
        name, seconds = ("run", timing.run_s) if first_s is None else ("first", first_s)
        parts.append(f"{name};dur={seconds * 1000:.3f}")
    return ", ".join(parts).encode()
