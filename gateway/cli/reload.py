"""`gateway models reload`: tells a running gateway to read its models.yaml again; knows no model."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.api.socket_file import PATTERN, is_served
from gateway.cli.serve import control_socket, read_settings
from gateway.config import ConfigError

Home = Annotated[Path | None, typer.Option(help="The home of the running gateway.")]
Port = Annotated[int | None, typer.Option(help="The port it listens on; not needed if only one runs on this home.")]


def reload(home: Home = None, port: Port = None) -> None:
    """Apply a changed models.yaml to the running gateway, without dropping a request."""
    settings = read_settings({} if home is None else {"home": home})
    counts = ask(find_socket(settings.home, port), "reload")
    typer.echo(", ".join(f"{count} {what}" for what, count in counts.items()))


def ask(path: Path, command: str) -> Any:
    """The result of a management command; raises `ConfigError` with the gateway's reason."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        try:
            connection.connect(str(path))
            connection.sendall(json.dumps({"command": command}).encode() + b"\n")
            with connection.makefile("rb") as answers:
                line = answers.readline()
        except OSError as error:
            raise ConfigError(f"no gateway answers at {path}: {error.strerror or error}") from error
    if not line:
        raise ConfigError("the gateway ended before it answered")
    answer = json.loads(line)
    if "error" in answer:
        raise ConfigError(answer["error"])
    return answer["result"]


def find_socket(home: Path, port: int | None) -> Path:
    """Where the gateway on this home, and on `port` if given, takes commands; raises `ConfigError`."""
    if port is not None:
        return control_socket(home, port)
    found = sorted(path for path in (home / "run").glob(PATTERN) if is_served(path))
    if not found:
        raise ConfigError(f"no gateway runs on {home}: start one with `gateway serve`, or name its folder with --home")
    if len(found) > 1:
        those = ", ".join(path.stem.rpartition("-")[2] for path in found)
        raise ConfigError(f"gateways on the ports {those} use {home}: say which with --port")
    return found[0]
