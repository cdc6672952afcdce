"""Checks what can be kept from workers on this system; knows no row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from gateway.cli.doctor.finding import Finding, fault, note, ok
from gateway.config import SandboxMode

FIX = "docs/operating.md says what the sandbox needs; in a container, its system call filter must let that through"


def check(mode: SandboxMode, gaps: Mapping[str, str]) -> Iterator[Finding]:
    """Whether the gateway starts with this setting, and what its workers may do; `gaps` are the system's."""
    told = "; ".join(f"{what}: {why}" for what, why in gaps.items())
    if mode == "off":
        yield note("sandbox", "off: workers may use the network and write files", "leave out GATEWAY_SANDBOX=off")
    elif not gaps:
        yield ok("sandbox", "workers have no network and only read files, but for what their engines need")
    elif mode == "on":
        yield fault("sandbox", f"GATEWAY_SANDBOX=on is more than this system can do ({told})", FIX)
    else:
        yield note("sandbox", f"workers are not wholly confined ({told})", FIX)
