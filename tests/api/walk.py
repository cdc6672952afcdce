"""Every route of an application, and what it answers to somebody with certain headers."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from starlette.routing import Route, WebSocketRoute

from tests.api.conftest import ACCOUNT, client_of


def every_route(app: FastAPI) -> list[tuple[str, str]]:
    """Method, or WEBSOCKET, and concrete path of all routes; a kind of route that this cannot read fails the test."""
    found: list[tuple[str, str]] = []
    for route in app.routes:
        assert isinstance(route, Route | WebSocketRoute), route
        path = route.path_format.format(account_id=ACCOUNT, model_name="@cf/x", path="nowhere/else")
        found += [(method, path) for method in getattr(route, "methods", None) or ("WEBSOCKET",)]
    return found


async def upgrade(app: FastAPI, path: str, headers: dict[str, str]) -> tuple[int, bytes]:
    """Status and body of the answer that refuses a WebSocket."""
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "websocket", "path": path, "headers": raw, "query_string": b"", "client": ("127.0.0.1", 1)}
    await app(scope, receive, send)
    start, body = sent
    assert start["type"] == "websocket.http.response.start"
    return start["status"], body["body"]


async def answer(app: FastAPI, method: str, path: str, headers: dict[str, str]) -> tuple[int, str]:
    """Status and text of the answer."""
    if method == "WEBSOCKET":
        status, body = await upgrade(app, path, headers)
        return status, body.decode()
    async with client_of(app) as http:
        response = await http.request(method, f"http://127.0.0.1{path}", headers=headers)
    return response.status_code, response.text
