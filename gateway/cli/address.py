"""Where a gateway of this environment is to be found; asks nobody."""

from __future__ import annotations

from gateway.cli.serve import read_settings


def default_url() -> str:
    """Where `gateway serve` would listen; raises `ConfigError` for settings that cannot be used."""
    settings = read_settings({})
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104 - where it listens
    scheme = "http" if settings.tls_cert is None else "https"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{settings.port}"
