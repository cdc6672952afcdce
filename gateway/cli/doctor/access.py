"""Checks where the gateway would listen and who may come in; and, if asked to, whether the hub can be reached."""

from __future__ import annotations

import os
from collections.abc import Iterator

from gateway.api.keyring import Keyring
from gateway.api.socket_file import is_served
from gateway.cli.doctor.finding import Finding, fault, note, ok
from gateway.cli.open_files import room_for_connections
from gateway.cli.serve import bind, control_socket
from gateway.config import ConfigError, Settings

REACH_S = 10.0


def port(settings: Settings) -> Iterator[Finding]:
    """Whether it can listen where it is told to; a running gateway of the same home is no fault."""
    where = f"{settings.host}:{settings.port}"
    if is_served(control_socket(settings.home, settings.port)):
        yield ok("port", f"a gateway of this home listens on {where}")
        return
    try:
        bind(settings).close()
    except (ConfigError, OSError) as error:
        told = getattr(error, "detail", str(error))
        text, _, advice = told.partition("; " if "; " in told else ": ")
        yield fault("port", text, advice or "choose another with GATEWAY_HOST and GATEWAY_PORT")
    else:
        yield ok("port", f"{where} is free")


def connections(settings: Settings, files: int) -> Iterator[Finding]:
    """Whether a process that may have so many open files can have the connections that the settings want."""
    room = room_for_connections(files, settings.max_connections)
    told = f"{files} open files leave room for {room} connections"
    if room < settings.max_connections:
        fix = "raise the hard limit (`LimitNOFILE=65536`, `ulimit -Hn 65536`), or lower GATEWAY_MAX_CONNECTIONS"
        yield note("connections", f"{told} of {settings.max_connections}", fix)
    else:
        yield ok("connections", told)


def keys(settings: Settings) -> Iterator[Finding]:
    """Whether the keys can be read, by nobody else."""
    try:
        ring = Keyring.of(settings)
    except (ConfigError, OSError) as error:
        yield fault(
            "keys", getattr(error, "detail", str(error)), "correct it, or create it anew with `gateway keys create`"
        )
        return
    path = ring.file.path
    if path.exists() and (mode := path.stat().st_mode & 0o777) & 0o077:
        yield fault("keys", f"{path} is open to others (mode {mode:o})", f"`chmod 600 {path}`")
    elif path.exists() and path.stat().st_uid != os.geteuid():
        yield note("keys", f"{path} belongs to somebody else", f"`chown $USER {path}`")
    elif ring.has_keys():
        count = len(ring.file.entries()) + len(settings.key_hashes)
        yield ok("keys", f"every route but /health asks for one of {count}")
    elif ring.closed:
        yield note("keys", "there is a keys file without keys: nobody gets in", "`gateway keys create`")
    else:
        yield ok("keys", "none: everybody on this machine gets in")


def hub(settings: Settings, *, online: bool) -> Iterator[Finding]:
    """Whether weights could be fetched; asks only if told to, and never offline."""
    if settings.offline:
        yield ok("hub", "not asked: GATEWAY_OFFLINE")
    elif not online:
        yield ok("hub", "not asked; --online asks")
    else:
        import httpx
        from huggingface_hub import constants

        try:
            status = httpx.head(constants.ENDPOINT, timeout=REACH_S).status_code
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            fix = "check the network, proxy and HF_ENDPOINT, or set GATEWAY_OFFLINE and bring weights by hand"
            yield fault("hub", f"{constants.ENDPOINT} cannot be reached: {error}", fix)
        else:
            yield ok("hub", f"{constants.ENDPOINT} answers ({status})")
