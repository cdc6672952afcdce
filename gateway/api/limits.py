"""How an operator writes limits, `NAME=NUMBER`, and which names there are; knows no request."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar, get_args

from gateway.api.access import Key
from gateway.config import ConfigError
from gateway.tasks import TASKS
from gateway.tasks.cost import Unit

Name = TypeVar("Name", bound=str)
EVERY = "*"
# Requests a minute that Cloudflare takes of an account; what is not here has no published limit.
CLOUDFLARE = {
    "automatic-speech-recognition": 720,
    "image-classification": 3000,
    "image-to-text": 720,
    "object-detection": 3000,
    "summarization": 1500,
    "text-classification": 2000,
    "text-embeddings": 3000,
    "text-generation": 300,
    "text-to-image": 720,
    "translation": 720,
}
TASK_NAMES = tuple(dict.fromkeys(task.name for task in TASKS))
UNITS: tuple[Unit, ...] = get_args(Unit)
# A window remembers each admitted request of the last minute.
LARGEST_RATE = 1_000_000
LARGEST_COST = 10**15


def rate_limits(entries: Iterable[str], where: str) -> dict[str, int]:
    """Requests a minute by task: `TASK=N`, `*=N` for all others, `cloudflare` for its table; 0 for no limit.

    Raises `ConfigError` that begins with `where`.
    """
    found: dict[str, int] = {}
    for entry in entries:
        found |= CLOUDFLARE if entry == "cloudflare" else dict([_pair(entry, where)])
    _check(found, (*TASK_NAMES, EVERY), LARGEST_RATE, where)
    return found


def max_cost(entries: Iterable[str], where: str) -> dict[Unit, int]:
    """The most that a request may be estimated to take, by unit: `UNIT=N`, 0 for no limit; raises `ConfigError`."""
    found = dict(_pair(entry, where) for entry in entries)
    _check(found, UNITS, LARGEST_COST, where)
    return {unit: found[unit] for unit in UNITS if unit in found}


def check(key: Key, where: str) -> None:
    """Raise `ConfigError` for a limit of a row of the keys file that would never count."""
    _check(key.rate_limits, (*TASK_NAMES, EVERY), LARGEST_RATE, f"{where}, key {key.name}, rate_limits")
    _check(key.max_cost, UNITS, LARGEST_COST, f"{where}, key {key.name}, max_cost")


def settled(own: Mapping[Name, int], common: Mapping[Name, int], names: Iterable[Name]) -> dict[Name, int]:
    """The limit of each name that has one: its own before its own `*`, and both before what is common to all keys."""
    chosen = {name: _first(name, own, common) for name in names}
    return {name: limit for name, limit in chosen.items() if limit}


def _first(name: str, *sources: Mapping[Any, int]) -> int:
    return next((limits[at] for limits in sources for at in (name, EVERY) if at in limits), 0)


def _pair(entry: str, where: str) -> tuple[str, int]:
    name, _, number = entry.partition("=")
    if not (number.isascii() and number.isdigit() and len(number) <= 16):
        raise ConfigError(f"{where}: {entry[:80]!r} is not NAME=NUMBER")
    return name.strip(), int(number)


def _check(limits: Mapping[Any, int], names: Iterable[str], most: int, where: str) -> None:
    for name, limit in limits.items():
        if name not in names:
            raise ConfigError(f"{where}: no limit is named {name[:80]!r} (there are: {', '.join(sorted(names))})")
        if not 0 <= limit <= most:
            raise ConfigError(f"{where}: {name} must be from 0 to {most}")
