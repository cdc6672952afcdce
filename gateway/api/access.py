"""What a caller may do: scopes, accounts, rates and costs of a key; knows neither files nor routes."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated

import msgspec

from gateway.tasks.cost import Unit


class Scope(StrEnum):
    """What a route asks of a key; none contains another."""

    RUN = "run"
    READ = "read"
    ADMIN = "admin"


class Key(msgspec.Struct, frozen=True):
    """One row of the keys file. The key itself is shown once, at creation, and kept nowhere.

    The defaults are what every key could do before there was a choice, so that older files mean what they meant.
    `accounts` are lower-case ids, none for all that are served. `rate_limits` are requests a minute by task,
    `max_cost` amounts by unit that one request may be estimated to take; a task or unit that is not there has no bound.
    `max_sessions` are WebSocket sessions open at once: None as the settings say, 0 all that there may be.
    """

    name: str
    sha256: str
    created_at: str = ""
    scopes: tuple[Scope, ...] = tuple(Scope)
    accounts: tuple[str, ...] = ()
    rate_limits: Mapping[str, int] = {}
    max_cost: Mapping[Unit, int] = {}
    max_sessions: Annotated[int, msgspec.Meta(ge=0)] | None = None


# Whoever comes while there are no keys; may do everything.
ANYONE = Key("", "")
