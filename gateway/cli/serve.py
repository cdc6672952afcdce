"""`gateway serve`: settings, starter weights, then the server; knows no route and no model."""

from __future__ import annotations

import ipaddress
import signal
import socket
import ssl
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from gateway import models_file
from gateway.cli.allocator import give_back_freed, share_one_heap
from gateway.cli.open_files import allow_files, room_for_connections
from gateway.config import ConfigError, ModelSpec, Settings, describe

Host = Annotated[str | None, typer.Option(help="Address to listen on (default: 127.0.0.1).")]
Port = Annotated[int | None, typer.Option(help="Port to listen on; 0 takes a free one (default: 8787).")]
TlsCert = Annotated[Path | None, typer.Option(help="Serve HTTPS with this certificate (PEM, chain included).")]
TlsKey = Annotated[Path | None, typer.Option(help="Its private key (PEM) (default: in the certificate's file).")]
Models = Annotated[Path | None, typer.Option(help="The models.yaml to serve.")]
Home = Annotated[Path | None, typer.Option(help="The model store and keys (default: the user's data directory).")]
LogFormat = Annotated[str | None, typer.Option(help="text or json.")]
LogLevel = Annotated[str | None, typer.Option(help="debug, info, warning or error.")]
Offline = Annotated[bool | None, typer.Option("--offline/--online", help="Never open an outbound connection.")]
Pull = Annotated[bool, typer.Option("--pull/--no-pull", help="Fetch missing starter weights first.")]


def serve(
    host: Host = None,
    port: Port = None,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    models: Models = None,
    home: Home = None,
    log_format: LogFormat = None,
    log_level: LogLevel = None,
    offline: Offline = None,
    pull: Pull = True,
) -> None:
    """Serve the models of models.yaml on Cloudflare's routes."""
    share_one_heap()
    give_back_freed()
    files = allow_files()
    given = {
        "host": host,
        "port": port,
        "tls_cert": tls_cert,
        "tls_key": tls_key,
        "models": models,
        "home": home,
        "log_format": log_format,
        "log_level": log_level,
        "offline": offline,
    }
    settings = read_settings({name: value for name, value in given.items() if value is not None})
    path = models_file.find_models_file(settings)
    specs = models_file.load_specs(path)
    settings = models_file.with_file_settings(settings, path)
    check_tls(settings)
    make_home(settings.home)
    listener = bind(settings)
    with listener:
        if pull:
            from gateway.cli.models import ensure_starters

            ensure_starters(settings, specs)
        run(settings, specs, path, listener, room_for_connections(files, settings.max_connections))


def read_settings(given: dict[str, Any]) -> Settings:
    """The settings with the command line's on top; raises `ConfigError` naming the setting."""
    try:
        return Settings(**given)
    except ValidationError as error:
        raise ConfigError(f"setting {describe(error)}") from error


def is_loopback(host: str) -> bool:
    """Whether every address of `host` is this machine's own; raises `ConfigError` if it has none."""
    try:
        addresses = {entry[4][0] for entry in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except OSError as error:
        raise ConfigError(f"cannot resolve --host {host}: {error.strerror}") from error
    return all(ipaddress.ip_address(str(address).partition("%")[0]).is_loopback for address in addresses)


def check_tls(settings: Settings) -> None:
    """Raise `ConfigError` if there is a certificate or key that cannot be served."""
    if settings.tls_cert is None:
        if settings.tls_key is not None:
            raise ConfigError("--tls-key needs --tls-cert")
        return
    try:
        # An empty password: without one OpenSSL would ask the terminal for it.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(settings.tls_cert, settings.tls_key, password="")
    except (OSError, ValueError) as error:
        files = " and ".join(str(file) for file in (settings.tls_cert, settings.tls_key) if file is not None)
        raise ConfigError(f"no certificate with its unencrypted private key in {files}: {error}") from error


def make_home(home: Path) -> None:
    """The folder of weights, keys and batches; raises `ConfigError` if there is none and none can be made."""
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"no folder can be made at {home} ({error.strerror}): name one that this user may write to with --home"
        ) from error


def bind(settings: Settings) -> socket.socket:
    """The listening socket. Raises `ConfigError`: no key for a public address, or the port is taken."""
    from gateway.api.keyring import Keyring

    if not is_loopback(settings.host) and not Keyring.of(settings).has_keys():
        raise ConfigError(
            f"will not listen on {settings.host} without a key: run `gateway keys create` first, or listen on 127.0.0.1"
        )
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
        listener.listen(2048)
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"cannot listen on {settings.host}:{settings.port}: {error.strerror}; "
            "is a gateway already running there? Choose another with --port"
        ) from error
    return listener


def run(settings: Settings, specs: list[ModelSpec], path: Path, listener: socket.socket, connections: int) -> None:
    """Serve at most so many connections until told to stop (SIGINT, SIGTERM).

    Running requests get `settings.grace_s` to finish.
    """
    import uvicorn

    from gateway import logs
    from gateway.api.live.socket import MAX_FRAME_BYTES
    from gateway.api.lobby import Lobby
    from gateway.api.protocol import BoundedProtocol
    from gateway.api.tls_gate import TlsGate
    from gateway.api.upgrade import AnsweredUpgrade
    from gateway.app import Management, create_app
    from gateway.weights.lock import Lock

    logs.configure(settings.log_format, settings.log_level)
    host, port = listener.getsockname()[:2]
    management = Management(path.resolve(), control_socket(settings.home, port))
    app = create_app(settings, specs, pinned=Lock.for_models(path), management=management)
    scheme = "http" if settings.tls_cert is None else "https"
    typer.echo(f"Gateway listens on {scheme}://{f'[{host}]' if ':' in host else host}:{port}", err=True)
    http = BoundedProtocol.bounded_by(settings.client_timeout_s, Lobby(connections))
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            loop="uvloop",
            http=http if settings.tls_cert is None else TlsGate.before(http, settings.tls_cert, settings.tls_key),
            ws=AnsweredUpgrade,
            ws_max_size=MAX_FRAME_BYTES,
            ws_per_message_deflate=False,
            ws_ping_timeout=60.0,
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=max(1, round(settings.grace_s)),
        )
    )
    # uvicorn repeats the signal once it has drained; to die of it would leave temporary files and look like a failure.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    server.run(sockets=[listener])


def control_socket(home: Path, port: int) -> Path:
    """Where the gateway that listens on `port` takes management commands."""
    return home.resolve() / "run" / f"gateway-{port}.sock"
