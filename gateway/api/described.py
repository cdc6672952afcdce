"""What the OpenAPI document says of routes that only read, and of the account in a path; knows no route."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from fastapi import APIRouter, Request, Response

ACCOUNT = {
    "name": "account_id",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
}


def add_read(
    router: APIRouter,
    path: str,
    endpoint: Callable[[Request], Coroutine[Any, Any, Response]],
    summary: str,
    parameters: Sequence[dict[str, Any]] = (),
) -> None:
    """Add a GET route below an account; `parameters` are its further ones, as OpenAPI 3 writes them."""
    described = {"parameters": [ACCOUNT, *parameters]}
    router.add_api_route(path, endpoint, methods=["GET"], summary=summary, openapi_extra=described)
