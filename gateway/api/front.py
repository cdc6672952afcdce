"""The outermost layer: request ids, canonical paths, the last resort for errors, what is logged of each request."""

from __future__ import annotations

import time
from collections.abc import Iterator

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.api import audit
from gateway.api.envelope import failure
from gateway.api.exchange import Exchange, begin
from gateway.api.paths import canonical, is_openai
from gateway.api.server_timing import header_value
from gateway.api.tracing import Tracing
from gateway.runtime.metrics import Metrics
from gateway.tasks.neurons import neurons_text

_log = structlog.get_logger()
_BEGINNINGS = frozenset({"http.response.start", "websocket.http.response.start", "websocket.accept"})


def _own_headers(exchange: Exchange) -> Iterator[tuple[bytes, bytes]]:
    yield b"cf-ai-req-id", exchange.request_id.encode()
    if exchange.timing.was_queued:
        yield b"server-timing", header_value(exchange.timing)
    if exchange.neurons is not None and not exchange.code:
        yield b"cf-ai-neurons", neurons_text(exchange.neurons).encode()
    if exchange.asked != exchange.model:
        yield b"cf-aig-routed-model", exchange.model.encode()


def _spent(exchange: Exchange) -> dict[str, float]:
    """What the log says of use, as far as it is known."""
    spent = {"neurons": exchange.neurons, "audio_s": exchange.audio_s}
    return {name: round(value, 6) for name, value in spent.items() if value is not None}


class Front:
    """Every request gets an id, which is in the answer's `cf-ai-req-id`, in error texts and in all log lines.

    A WebSocket is a request with the status 101, or with the status of the answer that refused it.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, tracing: Tracing | None = None) -> None:
        self._app = app
        self._metrics = metrics
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on and account for it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        else:
            scope = {**scope, "path": canonical(scope["path"])}
            exchange = begin(scope)
            exchange.is_openai = is_openai(scope["path"])
            told = {"request_id": exchange.request_id}
            if self._tracing is not None and self._tracing.begin(exchange):
                told["trace_id"] = exchange.traceparent.split("-")[1]
            with structlog.contextvars.bound_contextvars(**told):
                await self._serve(exchange, scope, receive, send)

    async def _serve(self, exchange: Exchange, scope: Scope, receive: Receive, send: Send) -> None:
        async def tagged(message: Message) -> None:
            if message["type"] in _BEGINNINGS:
                exchange.status = message.get("status", 101)
                message["headers"] = [*message.get("headers", ()), *_own_headers(exchange)]
                if exchange.traceparent and self._tracing is not None:
                    self._tracing.note(exchange)
            await send(message)

        started = time.perf_counter()
        try:
            await self._app(scope, receive, tagged)
        except Exception as error:
            if exchange.status:  # too late for an answer: the server closes the connection
                raise
            await failure(error, exchange)(scope, receive, tagged)
        finally:
            if exchange.body is not None:
                exchange.body.close()
            self._account(exchange, scope, time.perf_counter() - started)
            if exchange.traceparent and self._tracing is not None:
                self._tracing.end(exchange)

    def _account(self, exchange: Exchange, scope: Scope, seconds: float) -> None:
        self._metrics.observe_request(exchange.model, exchange.task, exchange.status, exchange.code, seconds)
        route = scope.get("route")
        _log.info(
            "request",
            method=scope.get("method", "GET"),
            path=getattr(route, "path_format", ""),
            model=exchange.model,
            status=exchange.status,
            code=exchange.code,
            ms=round(seconds * 1000, 3),
            **_spent(exchange),
        )
        if audit.is_refusal(exchange):
            audit.record(exchange, scope)
