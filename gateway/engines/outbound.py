"""Which rows need a connection to another machine, which an offline gateway must refuse; opens none."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from urllib.parse import urlsplit

from gateway.config import ConfigError, ModelSpec


def refuse_outbound(specs: Sequence[ModelSpec]) -> None:
    """Raise `ConfigError` for a row whose `options.url` leads to another machine."""
    for spec in specs:
        url = spec.options.get("url")
        if isinstance(url, str) and not is_this_machine(urlsplit(url).hostname or ""):
            raise ConfigError(
                f"row {spec.name}: options.url: leads to another machine, which GATEWAY_OFFLINE forbids; "
                "a server on this one is named by its loopback address"
            )


def is_this_machine(host: str) -> bool:
    """Whether `host` is this one. No name but `localhost` counts: looking another one up would ask another machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
