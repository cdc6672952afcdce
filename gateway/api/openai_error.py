"""What OpenAI's clients read of an error, to show it and to raise the right exception; knows no route."""

from __future__ import annotations

import re
from typing import Any

from gateway.errors import AuthenticationFailed, ContextExceeded, GatewayError, ModelNotFound, RateLimited

_KINDS = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
# The words that programs compare with; every other failure has the number of the envelope.
_CODES: dict[type[GatewayError], str] = {
    ContextExceeded: "context_length_exceeded",
    ModelNotFound: "model_not_found",
    RateLimited: "rate_limit_exceeded",
    AuthenticationFailed: "invalid_api_key",
}
_MISSING = re.compile(r"required properties at '(/[^']*)' are '(\w+)")
_NAMED = re.compile(r"'(/\w[^']*)'")


def openai_error(error: GatewayError, request_id: str) -> dict[str, Any]:
    """The object that stands in `error`, beside the envelope."""
    kind = _KINDS.get(error.status, "invalid_request_error" if error.status < 500 else "server_error")
    return {
        "message": error.message(request_id),
        "type": kind,
        "param": _param(error.detail) if kind == "invalid_request_error" else None,
        "code": _CODES.get(type(error), str(error.code)),
    }


def _param(detail: str) -> str | None:
    """The field that a refusal names first, as OpenAI writes it: `messages[0].content`. Of alternatives it is none."""
    if " not met, 0 matches" in detail:
        return None
    if missing := _MISSING.search(detail):
        return _path(f"{missing[1].rstrip('/')}/{missing[2]}")
    named = _NAMED.search(detail)
    return None if named is None else _path(named[1])


def _path(pointer: str) -> str:
    parts = [f"[{part}]" if part.isdecimal() else f".{part}" for part in pointer.split("/")[1:]]
    return "".join(parts).removeprefix(".")
