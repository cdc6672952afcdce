"""`gateway keys`: create, list and revoke API keys; a running gateway follows within a second."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from gateway.config import Settings

if TYPE_CHECKING:
    from gateway.api.keyring import Keyring

app = typer.Typer(help="API keys. Only their hashes are stored.", no_args_is_help=True)
KeysFile = Annotated[
    Path | None, typer.Option("--keys-file", help="default: GATEWAY_KEYS_FILE, then keys.json in GATEWAY_HOME")
]


def _keyring(keys_file: Path | None) -> Keyring:
    # Imported here because the web framework comes along, and `gateway version` has no use for it.
    from gateway.api.keyring import Keyring

    return Keyring.of(Settings.model_validate({"keys_file": keys_file} if keys_file is not None else {}))


@app.command()
def create(
    name: Annotated[str | None, typer.Option(help="what to call it; default: key-1, key-2, …")] = None,
    keys_file: KeysFile = None,
) -> None:
    """Make a key and print it, this once. From the first key on, every route but /health needs one."""
    keyring = _keyring(keys_file)
    typer.echo(keyring.create(name))
    typer.echo(f"Its hash is in {keyring.path}; the key itself is stored nowhere.", err=True)


@app.command("list")
def list_keys(keys_file: KeysFile = None) -> None:
    """Show names and dates."""
    keyring = _keyring(keys_file)
    table = Table("name", "created", "SHA-256 begins with")
    for key in keyring.entries():
        table.add_row(key.name, key.created_at, key.sha256[:8])
    Console().print(table)


@app.command()
def revoke(name: Annotated[str, typer.Argument(help="as shown by `list`")], keys_file: KeysFile = None) -> None:
    """Forget a key. Without any left, every request is refused; remove the file to serve without keys."""
    keyring = _keyring(keys_file)
    keyring.revoke(name)
    typer.echo(f"{name} is revoked.")
    if not keyring.entries():
        typer.echo(f"No key is left: requests are refused until one is created or {keyring.path} is removed.", err=True)
