"""The options of `gateway bench`, and what each may be; measures nothing."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from gateway.bench.endpoint import ANY_ACCOUNT
from gateway.bench.result import OwnCost
from gateway.cli.serve import read_settings
from gateway.config import ConfigError

MOST_CONNECTIONS = 1024


Model = Annotated[str, typer.Argument(help="A model of the running gateway, e.g. @local/all-minilm-l6-v2.")]
Url = Annotated[str | None, typer.Option(help="The server to measure (default: where `gateway serve` would listen).")]
Account = Annotated[str | None, typer.Option(help="The account id there (default: any that a gateway takes).")]
Key = Annotated[str | None, typer.Option(help="Its key; better put into the environment.", envvar="GATEWAY_KEY")]
Connections = Annotated[
    str | None, typer.Option(help="Numbers of connections, one after the other (default: 1,4,16; to draw: 1).")
]
Seconds = Annotated[float, typer.Option(min=0.1, max=3600, help="How long each number of connections is measured.")]
Requests = Annotated[int | None, typer.Option(min=1, help="At most so many requests for each number of connections.")]
Timeout = Annotated[float, typer.Option(min=1, max=3600, help="Seconds without a byte after which a request failed.")]
MaxTokens = Annotated[int, typer.Option(min=1, max=8192, help="The most tokens that a generated text may have.")]
Audio = Annotated[Path | None, typer.Option(help="Speech to be recognised, in place of made-up sound: WAV, MP3, …")]
Seed = Annotated[int | None, typer.Option(min=0, help="Repeat the requests of an earlier run (default: new ones).")]
PricedAs = Annotated[str | None, typer.Option(help="Count with the price of this row of models.yaml.")]
Watts = Annotated[float | None, typer.Option(min=0, max=1e6, help="What your machine draws under load, in watts.")]
PricePerKwh = Annotated[float | None, typer.Option(min=0, max=1e3, help="What you pay for a kilowatt-hour, in USD.")]
MonthlyCost = Annotated[
    float, typer.Option(min=0, max=1e9, help="What else it costs a month, in USD: rent, depreciation.")
]
Json = Annotated[Path | None, typer.Option("--json", help="Keep the run in this file.")]
Report = Annotated[Path | None, typer.Option(help="Write a page for a browser, with plots, to this file.")]
Compare = Annotated[Path | None, typer.Option(help="An earlier run's --json file, to stand beside this one.")]


def numbers(text: str | None) -> tuple[int, ...] | None:
    """The numbers of connections in `1,4,16`, in order; raises `ConfigError`."""
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and 1 <= int(part) <= MOST_CONNECTIONS for part in parts):
        raise ConfigError(f"--connections {text}: numbers from 1 to {MOST_CONNECTIONS}, with commas, such as 1,4,16")
    return tuple(sorted({int(part) for part in parts}))


def own_cost(watts: float | None, price_per_kwh: float | None, monthly_cost: float) -> OwnCost | None:
    """What the machine costs, None if nothing of it is told; raises `ConfigError` for power without its price."""
    if (watts is None) != (price_per_kwh is None):
        raise ConfigError("--watts and --price-per-kwh belong together: power costs what a kilowatt-hour of it costs")
    if watts is None and not monthly_cost:
        return None
    return OwnCost(watts=watts or 0.0, usd_per_kwh=price_per_kwh or 0.0, usd_per_month=monthly_cost)


def read_audio(file: Path | None) -> bytes | None:
    """The clip; raises `ConfigError` if it cannot be read."""
    if file is None:
        return None
    try:
        return file.read_bytes()
    except OSError as error:
        raise ConfigError(f"--audio {file} cannot be read: {error.strerror}") from error


def check_folder(file: Path | None) -> None:
    """Raise `ConfigError` before anything is measured if the file could not be written after it."""
    if file is None:
        return
    folder = file.resolve().parent
    if file.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK):
        raise ConfigError(f"{file} cannot be written: name a file in a folder that exists and is yours")


def default_account() -> str:
    """The first account that the gateway of this environment serves, or any."""
    return next(iter(read_settings({}).accounts), ANY_ACCOUNT)
