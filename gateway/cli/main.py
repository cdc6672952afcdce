"""The `gateway` command; each group of subcommands is a file of its own, and none imports a model library."""

from __future__ import annotations

import signal
import sys
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from gateway import __version__
from gateway.cli import keys, models, ready, reload, serve, top
from gateway.cli.bench import command as bench
from gateway.cli.doctor import command as doctor
from gateway.errors import GatewayError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("serve")(serve.serve)
app.command("ready")(ready.ready)
app.command("top")(top.top)
app.command("bench")(bench.bench)
app.command("doctor")(doctor.doctor)
models.app.command("reload")(reload.reload)
app.add_typer(models.app, name="models", help="Weights: list, pull, verify, remove; and reload models.yaml.")
app.add_typer(keys.app, name="keys", help="API keys: create, list, show, revoke.")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Cloudflare Workers AI's routes from your own machine."""


@app.command("version")
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


def main() -> None:
    """Run the command; a failure that has an explanation is one line, not a traceback."""
    # Unwinds instead of dying on the spot: a pull ends the pip that it started.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        app()
    except GatewayError as error:
        _fail(error.detail)
    except OSError as error:  # such as a full disk behind standard output
        _fail(str(error))


def _fail(reason: str) -> NoReturn:
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    console.print("error:", style="bold red", end=" ")
    console.print(reason, markup=False)
    sys.exit(1)


if __name__ == "__main__":
    main()
