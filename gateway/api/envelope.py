"""Cloudflare's envelopes around results and errors (docs/api.md); knows no route."""

from __future__ import annotations

import asyncio
import contextlib
import math
from typing import Any

import orjson
import structlog
from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from gateway.api.exchange import Exchange, exchange_of
from gateway.api.openai_error import openai_error
from gateway.errors import (
    GatewayError,
    InternalError,
    InvalidCredentialHeader,
    MethodNotAllowed,
    NoRoute,
    RequestTooLarge,
    RouterError,
)
from gateway.tasks import Answer
from gateway.tasks.base import JSON

LINGER_S = 2.0
_log = structlog.get_logger()


class LastAnswer(Response):
    """An answer to a body that was not read to its end: the connection closes after it.

    What the client still sends is thrown away for `LINGER_S`: closing with unread bytes resets the connection,
    and the client would lose the answer (RFC 9112, section 9.6).
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer, then wait for the end of the request, the client's departure or `LINGER_S`."""
        headers = [*self.raw_headers, (b"connection", b"close")]
        await send({"type": "http.response.start", "status": self.status_code, "headers": headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LINGER_S):
                while (await receive()).get("more_body", False):
                    pass
        await send({"type": "http.response.body"})


def success(answer: Answer) -> Response:
    """The answer in its envelope if it is JSON, or the raw media."""
    if answer.media_type != JSON:
        return Response(answer.body, media_type=answer.media_type)
    return Response(b'{"result":%b,"success":true,"errors":[],"messages":[]}' % answer.body, media_type=JSON)


def error_body(error: GatewayError, request_id: str, *, openai: bool = False) -> bytes:
    """The JSON of an error: keys in the order of the live service, which differs between router and models.

    With `openai`, what OpenAI's clients read of it stands beside the envelope.
    """
    message = error.message(request_id)
    beside = {"error": openai_error(error, request_id)} if openai else {}
    if isinstance(error, RouterError):
        entry: dict[str, Any] = {"code": error.code, "message": message}
        if isinstance(error, InvalidCredentialHeader):
            entry["error_chain"] = [{"code": error.chain[0], "message": error.chain[1]}]
        return orjson.dumps({"result": None, "success": False, "errors": [entry], "messages": [], **beside})
    entry = {"message": message, "code": error.code}
    return orjson.dumps({"errors": [entry], "success": False, "result": {}, "messages": [], **beside})


def as_gateway_error(error: Exception) -> GatewayError:
    """`error` itself if a caller may see it; anything else is a bug, for the log alone."""
    if isinstance(error, GatewayError):
        return error
    _log.error("unexpected error", exc_info=error)
    return InternalError()


def failure(error: Exception, exchange: Exchange) -> Response:
    """The answer to a request that failed."""
    known = as_gateway_error(error)
    exchange.code = known.code
    headers: dict[str, str] = {}
    if known.retry_after_s is not None:
        headers["retry-after"] = str(math.ceil(known.retry_after_s))
    elif known.should_retry is not None:
        headers["x-should-retry"] = "true" if known.should_retry else "false"
    kind = LastAnswer if isinstance(known, RequestTooLarge) else Response
    body = error_body(known, exchange.request_id, openai=exchange.is_openai)
    return kind(body, known.status, headers, JSON)


async def _on_gateway_error(request: Request, error: Exception) -> Response:
    return failure(error, exchange_of(request.scope))


async def _on_http_exception(request: Request, error: Exception) -> Response:
    """Starlette's own findings: no such path, no such method."""
    assert isinstance(error, HTTPException)
    known: dict[int, GatewayError] = {404: NoRoute(), 405: MethodNotAllowed(request.method)}
    response = failure(known.get(error.status_code, error), exchange_of(request.scope))
    response.headers.update(error.headers or {})
    return response


def install_handlers(app: FastAPI) -> None:
    """Have `app` answer every known failure in its envelope."""
    app.add_exception_handler(GatewayError, _on_gateway_error)
    app.add_exception_handler(HTTPException, _on_http_exception)
