"""Takes from a worker what its engine can do without: the network, and writing files; knows no engine and no model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import structlog

from gateway.config import ConfigError, SandboxMode
from gateway.engines.base import Access
from gateway.errors import ModelUnavailable
from gateway.runtime.sandbox import landlock, seccomp

NETWORK, WRITES = "network", "writes"
log = structlog.get_logger("gateway.worker")


def gaps() -> dict[str, str]:
    """What this system cannot refuse to a process, `network` or `writes`, and why."""
    return {name: gap for name, gap in ((NETWORK, seccomp.gap()), (WRITES, landlock.gap())) if gap}


def check(mode: SandboxMode) -> None:
    """In the gateway: raise `ConfigError` if `on` asks for what this system cannot do; for `auto`, log it."""
    found = gaps() if mode != "off" else {}
    if found and mode == "on":
        told = "; ".join(f"{name}: {gap}" for name, gap in found.items())
        raise ConfigError(f"setting sandbox: on is more than this system can do: {told}")
    if found:
        log.warning("workers are not wholly confined", **found)


def confine(mode: SandboxMode, access: Access, scratch: Path | None) -> dict[str, str]:
    """Confine this process for the rest of its life; what it may still do, by `network` and `writes`, as words.

    Each is `refused`, `refused, except …` or `allowed: ` and the reason. Raises `ModelUnavailable` if that is not
    what `on` promises; what the engine declares in `access` never counts against it.
    """
    if mode == "off":
        return dict.fromkeys((NETWORK, WRITES), "allowed: the sandbox is off")
    if access.programs:
        return dict.fromkeys((NETWORK, WRITES), "allowed: the row starts a program")
    for folder in access.folders:
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
    folders = [*access.folders, *([scratch] if scratch is not None else [])]
    writes = _refused(WRITES, lambda: landlock.refuse_writes(folders), mode)
    if access.network:
        return {NETWORK: "allowed: the engine needs it", WRITES: writes}
    return {NETWORK: _refused(NETWORK, seccomp.refuse_network, mode), WRITES: writes}


def _refused(what: str, refuse: Callable[[], Sequence[str]], mode: SandboxMode) -> str:
    try:
        exceptions = refuse()
        state = f"refused, except {' and '.join(exceptions)}" if exceptions else "refused"
    except OSError as error:
        state = f"allowed: {error.strerror}"
    if mode == "on" and state != "refused":
        raise ModelUnavailable(f"the sandbox is on, but {what} would be {state}")
    return state
