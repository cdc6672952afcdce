"""`gateway ready`: asks a gateway on this machine whether it is ready, without a key; knows no model."""

from __future__ import annotations

import typer

from gateway.cli.reload import Home, Port, ask, find_socket
from gateway.cli.serve import read_settings


def ready(home: Home = None, port: Port = None) -> None:
    """Exit with 0 if the running gateway is ready, else with 1; for supervisors, which have no key for /ready."""
    settings = read_settings({} if home is None else {"home": home})
    is_ready = ask(find_socket(settings.home, port), "ready")
    typer.echo("ready" if is_ready else "not ready: /ready says why")
    raise typer.Exit(0 if is_ready else 1)
