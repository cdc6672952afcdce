"""One request to another server and its streamed answer, with a time for each stage; knows no process."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

import httpx
import orjson
import structlog

from gateway.engines.llm.upstream.answer import Answer
from gateway.engines.llm.upstream.client import bounded, objects
from gateway.engines.llm.upstream.complaint import complaint_of, read_complaint
from gateway.engines.llm.upstream.event_loop import Outlet
from gateway.engines.llm.upstream.events import Events, Unreadable
from gateway.engines.llm.upstream.refusal import DEFAULT_RETRY_S, error_of, room_of
from gateway.engines.llm.upstream.request import Request
from gateway.errors import (
    ContextExceeded,
    GatewayError,
    InferenceFailed,
    ModelUnavailable,
    Overloaded,
    RequestTimeout,
    WorkerLost,
)

MAX_ERROR_BYTES = 64 * 1024
MAX_ANSWER_BYTES = 256 << 20
BROKEN_OFF = "the server behind this model broke the answer off"
GARBLED = "the server behind this model gave an answer that cannot be read"
log = structlog.get_logger("gateway.engines.llm.upstream")


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds to wait: for a connection, for the first byte of an answer, and between two."""

    connect_s: float
    first_byte_s: float
    stall_s: float


def unreachable() -> Overloaded:
    """There is no server now; there may be one soon."""
    error = Overloaded()
    error.retry_after_s = DEFAULT_RETRY_S
    return error


class Refused(Exception):
    """The server takes no such request; `room` is what it would take of tokens to generate, if length is its reason."""

    def __init__(self, error: GatewayError, room: int | None) -> None:
        super().__init__(error.detail)
        self.error = error
        self.room = room


class Exchange:
    """Asks the server below `url`. Cancelling `converse` closes the connection, and the server stops its work.

    `heard_at` is the time of its event loop at which an answer last grew.
    """

    def __init__(self, client: httpx.AsyncClient, url: str, patience: Patience, usage_per_choice: bool) -> None:
        self._client = client
        self._url = url
        self._patience = patience
        self._usage_per_choice = usage_per_choice
        self.heard_at = 0.0

    async def converse(self, request: Request, outlet: Outlet) -> None:
        """Hand the pieces of the answer to `outlet`, or the failure; always one that ends the stream."""
        try:
            try:
                await self._ask(request, outlet)
            except Refused as refused:
                if not (request.flexible and refused.room and refused.room > 0 and "max_tokens" in request.body):
                    raise refused.error from None
                await self._ask(request.shortened(refused.room), outlet)
        except Exception as error:
            await outlet.put(self._failure(error), 0)

    async def _ask(self, request: Request, outlet: Outlet) -> None:
        loop, events, total_bytes = asyncio.get_running_loop(), Events(), 0
        answer = Answer(request.n, request.stop, usage_per_choice=self._usage_per_choice, forced=request.forced)
        async with asyncio.timeout(self._patience.connect_s + self._patience.first_byte_s) as limit:
            async with self._post(request) as response:
                if response.status_code != 200:
                    await self._refused(response)
                async for event, size_bytes in objects(response, events):
                    total_bytes += size_bytes
                    if total_bytes > MAX_ANSWER_BYTES:
                        raise Unreadable(f"an answer of more than {MAX_ANSWER_BYTES} bytes")
                    # While the caller is slow the server owes nothing.
                    limit.reschedule(None)
                    if event.get("error"):
                        raise self._failed_midway(event)
                    for piece in answer.feed(event):
                        await outlet.put(piece, size_bytes)
                    self.heard_at = loop.time()
                    limit.reschedule(self.heard_at + self._patience.stall_s)
            limit.reschedule(None)
        if not (events.done or answer.is_whole):
            raise WorkerLost(BROKEN_OFF)
        for piece in answer.end():
            await outlet.put(piece, 0)

    def _post(self, request: Request) -> AbstractAsyncContextManager[httpx.Response]:
        headers = {"content-type": "application/json"}
        if request.traceparent:
            headers["traceparent"] = request.traceparent
        return self._client.stream(
            "POST", f"{self._url}/{request.path}", content=orjson.dumps(request.body), headers=headers
        )

    async def _refused(self, response: httpx.Response) -> None:
        """Raise what a status other than 200 means."""
        data = await bounded(response, MAX_ERROR_BYTES, cut=True)
        complaint = read_complaint(data)
        error = error_of(response.status_code, complaint, response.headers)
        if isinstance(error, ModelUnavailable | InferenceFailed):
            log.error("upstream refused", status=response.status_code, reason=complaint.sentence)
        raise Refused(error, room_of(complaint) if isinstance(error, ContextExceeded) else None)

    def _failed_midway(self, event: dict[str, Any]) -> GatewayError:
        error = event["error"]
        code = error.get("code") if isinstance(error, dict) else None
        complaint = complaint_of(event)
        log.error("upstream failed while it answered", code=code, reason=complaint.sentence)
        return error_of(code if isinstance(code, int) and 400 <= code < 600 else 500, complaint, {})

    def _failure(self, error: Exception) -> GatewayError:
        match error:
            case GatewayError():
                return error
            case Refused():
                return error.error
            case Unreadable():
                log.error("upstream unreadable", reason=str(error))
                return InferenceFailed(GARBLED)
            case httpx.ConnectError() | httpx.ConnectTimeout() | httpx.PoolTimeout():
                log.error("upstream unreachable", reason=type(error).__name__)
                return unreachable()
            case TimeoutError() | httpx.TimeoutException():
                return RequestTimeout()
            case httpx.RemoteProtocolError() if "without sending" not in str(error) and "closed" not in str(error):
                log.error("upstream unreadable", reason="no HTTP")
                return InferenceFailed(GARBLED)
            case httpx.TransportError():
                log.error("upstream broke off", reason=type(error).__name__)
                return WorkerLost(BROKEN_OFF)
        log.error("upstream exchange failed", exc_info=error)
        return InferenceFailed()
