"""`gateway keys`: create, list, show and revoke API keys; a running gateway follows within a second."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from gateway.cli import terminal
from gateway.config import ConfigError, Settings

if TYPE_CHECKING:
    from gateway.api.access import Key
    from gateway.api.keyfile import KeyFile

app = typer.Typer(help="API keys. Only their hashes are stored.", no_args_is_help=True)
KeysFile = Annotated[
    Path | None, typer.Option("--keys-file", help="default: GATEWAY_KEYS_FILE, then keys.json in GATEWAY_HOME")
]
Scopes = Annotated[
    list[str],
    typer.Option("--scope", help="run: have models work; read: the catalogue; admin: /ready and /metrics. Repeat it."),
]
Accounts = Annotated[
    list[str] | None, typer.Option("--account", help="an account id it is good for; default: every one that is served")
]
RateLimits = Annotated[
    list[str] | None,
    typer.Option("--rate-limit", help="requests a minute: TASK=N, *=N for all tasks, or cloudflare; 0: no limit"),
]
MaxCost = Annotated[
    list[str] | None,
    typer.Option(
        "--max-cost",
        help="the most that one request may take: tokens=N, characters=N, audio_seconds=N, pixels=N, pixel_steps=N",
    ),
]
MaxSessions = Annotated[
    int | None,
    typer.Option(min=0, help="WebSocket sessions open at once; 0: all that there may be; default: as the settings say"),
]
UNSET = "as the gateway's settings say"
Name = Annotated[str, typer.Argument(help="as shown by `list`")]


def _file(keys_file: Path | None) -> KeyFile:
    # Imported here because the web framework comes along, and `gateway version` has no use for it.
    from gateway.api.keyfile import KeyFile

    return KeyFile.of(Settings.model_validate({"keys_file": keys_file} if keys_file is not None else {}))


@app.command()
def create(
    name: Annotated[str | None, typer.Option(help="what to call it; default: key-1, key-2, …")] = None,
    scope: Scopes = ["run", "read"],  # noqa: B006 - typer copies it
    account: Accounts = None,
    rate_limit: RateLimits = None,
    max_cost: MaxCost = None,
    max_sessions: MaxSessions = None,
    keys_file: KeysFile = None,
) -> None:
    """Make a key and print it, this once. From the first key on, every route but /health needs one."""
    file = _file(keys_file)
    like = _permissions(scope, account or [], rate_limit or [], max_cost or [], max_sessions)
    typer.echo(file.create(name, like))
    typer.echo(f"Its hash is in {file.path}; the key itself is stored nowhere.", err=True)


def _permissions(
    scopes: Sequence[str], accounts: Sequence[str], rates: Sequence[str], costs: Sequence[str], sessions: int | None
) -> Key:
    """What the options allow, as a key without a name; raises `ConfigError`."""
    from gateway.api import limits
    from gateway.api.access import Key, Scope
    from gateway.api.paths import is_account_id

    for scope in scopes:
        if scope not in list(Scope):
            raise ConfigError(f"--scope {scope}: there are {', '.join(Scope)}")
    for account in accounts:
        if not is_account_id(account):
            raise ConfigError(f"--account {account}: an account id has 32 hexadecimal digits")
    return Key(
        "",
        "",
        scopes=tuple(scope for scope in Scope if scope in scopes),
        accounts=tuple(account.lower() for account in accounts),
        rate_limits=limits.rate_limits(rates, "--rate-limit"),
        max_cost=limits.max_cost(costs, "--max-cost"),
        max_sessions=sessions,
    )


@app.command("list")
def list_keys(keys_file: KeysFile = None) -> None:
    """Show names, dates and scopes."""
    file = _file(keys_file)
    keys = file.entries()
    if not keys:
        refused = "so every request is refused" if file.path.exists() else "so everybody on this machine gets in"
        typer.echo(f"There is no key in {file.path}, {refused}: `gateway keys create` makes one.", err=True)
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("name", "created", "scopes", "SHA-256 begins with"):
        table.add_column(heading, overflow="fold")
    for key in keys:
        table.add_row(Text(key.name), key.created_at, " ".join(key.scopes), key.sha256[:8])
    terminal.console().print(table)


@app.command()
def show(name: Name, keys_file: KeysFile = None) -> None:
    """Show what a key may do. The key itself cannot be shown: nobody knows it."""
    key = _file(keys_file).entry(name)
    for title, value in (
        ("name", key.name),
        ("created", key.created_at),
        ("SHA-256", key.sha256),
        ("scopes", " ".join(key.scopes)),
        ("accounts", " ".join(key.accounts) or "all that are served"),
        ("requests a minute", _pairs(key.rate_limits)),
        ("most for one request", _pairs(key.max_cost)),
        ("sessions at once", UNSET if key.max_sessions is None else key.max_sessions or "all that there may be"),
    ):
        typer.echo(f"{title:<21} {value}")


def _pairs(limits: Mapping[Any, int]) -> str:
    return " ".join(f"{name}={limit}" for name, limit in limits.items()) or UNSET


@app.command()
def revoke(name: Name, keys_file: KeysFile = None) -> None:
    """Forget a key. Without any left, every request is refused; remove the file to serve without keys."""
    file = _file(keys_file)
    file.revoke(name)
    typer.echo(f"{name} is revoked.")
    if not file.entries():
        typer.echo(f"No key is left: requests are refused until one is created or {file.path} is removed.", err=True)
