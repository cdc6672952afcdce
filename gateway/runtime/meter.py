"""How much memory a worker process takes by itself, read in that process; knows no engine."""

from __future__ import annotations

import time
from collections.abc import Callable

from gateway.engines import device
from gateway.runtime.messages import Grown, Message, Taken

REPORT_S = 1.0
# Smaller changes are not worth a message.
NOTICEABLE_BYTES = 4 << 20
# Pages that a worker shares with the fork server at first and then copies by writing to them (measured: 25 to 30 MiB);
# they are in the resident size from the start, so its growth does not show them.
COPIED_BYTES = 32 << 20


class Meter:
    """Counts from its making: what the process shares with the fork server by then is not its own.

    Made before the process may write nothing.
    """

    def __init__(self) -> None:
        self._peak = device.Peak()
        self._born_bytes = device.host_bytes()[0]
        self._told = Taken()
        self._due_at = 0.0

    def read(self) -> Taken:
        """The memory now."""
        host, host_peak = (max(0, size - self._born_bytes) + COPIED_BYTES for size in device.host_bytes())
        self._told = Taken(host, host_peak, *device.gpu_bytes())
        self._due_at = time.monotonic() + REPORT_S
        return self._told

    def read_load(self) -> Taken:
        """The memory now, and at most while loading; from here on the highest is counted anew, where it can be."""
        taken = self.read()
        self._peak.forget()
        return taken

    def report(self, send: Callable[[Message], None]) -> None:
        """Send `Grown` if the last look is a while ago and the memory has changed noticeably since."""
        if time.monotonic() < self._due_at:
            return
        told = self._told
        usage = self.read()
        changes = (usage.host - told.host, usage.host_peak - told.host_peak, usage.gpu - told.gpu)
        if max(map(abs, changes)) >= NOTICEABLE_BYTES:
            send(Grown(usage))
        else:
            self._told = told
