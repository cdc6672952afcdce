"""One log line for each request that was turned away, for those who watch for abuse; never a secret in it."""

from __future__ import annotations

import structlog
from starlette.types import Scope

from gateway.api.exchange import Exchange
from gateway.api.paths import account_of
from gateway.errors import InvalidAccount, InvalidCredentialHeader, MissingCredentials

MAX_FIELD_CHARACTERS = 200
_STATUSES = frozenset({401, 403, 413, 429})
_CODES = frozenset(error.code for error in (InvalidAccount, InvalidCredentialHeader, MissingCredentials))
_log = structlog.get_logger("gateway.audit")


def is_refusal(exchange: Exchange) -> bool:
    """Whether the answer turned the caller away: not let in, not allowed, too often or too much."""
    return exchange.status in _STATUSES or exchange.code in _CODES


def record(exchange: Exchange, scope: Scope) -> None:
    """Write the line; the request's id is in the log's context.

    What callers choose, such as the path, is cut and escaped. Queries are left out: they may hold anything.
    """
    client = scope.get("client")
    _log.warning(
        "refused",
        key=shown(exchange.caller.name) if exchange.caller is not None else "",
        account=shown(account_of(scope["path"]) or ""),
        method=shown(scope.get("method", "WEBSOCKET")),
        path=shown(scope["path"]),
        model=exchange.model,
        status=exchange.status,
        code=exchange.code,
        peer=shown(client[0]) if client else "",
    )


def shown(text: str) -> str:
    """`text` cut to `MAX_FIELD_CHARACTERS`, with what does not print as an escape: no line ends, no terminal codes."""
    cut = text[:MAX_FIELD_CHARACTERS]
    if cut.isprintable():
        return cut
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in cut)
