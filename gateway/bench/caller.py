"""Asks one model over one connection, as a patient client does; knows no statistics."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import httpx

from gateway.bench.endpoint import Endpoint
from gateway.bench.loads import Load, Request
from gateway.bench.reply import Fault, Reply
from gateway.errors import GatewayError

EVENTS = "text/event-stream"
# Where a server that is busy does not say for how long: as official clients do, twice as long each time.
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 8.0


class BenchFailed(GatewayError):
    """There is nothing to measure; the text says why."""

    title = None


class EndpointGone(BenchFailed):
    """Nobody listens at the endpoint any more, or nobody did."""


@dataclass
class Outcome:
    """One request, from the first try to the last answer; `waits` counts the codes that asked to come again."""

    begun_s: float
    ended_s: float
    reply: Reply
    request: Request
    waits: Counter[str] = field(default_factory=Counter)


class Caller:
    """One connection. Times are of `time.perf_counter`."""

    def __init__(self, endpoint: Endpoint, model: str, load: Load, http: httpx.AsyncClient) -> None:
        self._endpoint = endpoint
        self._url = endpoint.run_path(model)
        self._streams = load.streams
        self._http = http

    async def ask(self, request: Request, until_s: float) -> Outcome:
        """Ask, and come again when the server says so, unless that would be after `until_s`; raises `EndpointGone`."""
        outcome = Outcome(time.perf_counter(), 0.0, Reply(), request)
        while True:
            reply = await self._exchange(request)
            outcome.reply, outcome.ended_s = reply, time.perf_counter()
            wait_s = reply.retry_after_s
            if wait_s is None:
                wait_s = min(FIRST_WAIT_S * 2 ** outcome.waits.total(), LONGEST_WAIT_S)
            if not reply.is_busy or outcome.ended_s + wait_s > until_s:
                return outcome
            outcome.waits[reply.fault.code if reply.fault else ""] += 1
            await asyncio.sleep(wait_s)

    async def _exchange(self, request: Request) -> Reply:
        reply, sent_s = Reply(), time.perf_counter()
        headers = {"content-type": request.content_type}
        try:
            async with self._http.stream("POST", self._url, content=request.body, headers=headers) as response:
                await self._read(response, reply, sent_s)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise EndpointGone(f"nothing answers at {self._endpoint.root} ({error})") from error
        except httpx.TimeoutException:
            reply.fault = Fault("time-out", "no byte of the answer came in time")
        except httpx.TransportError as error:
            reply.fault = Fault("connection lost", str(error) or type(error).__name__)
        reply.seconds = time.perf_counter() - sent_s
        return reply

    async def _read(self, response: httpx.Response, reply: Reply, sent_s: float) -> None:
        reply.status, reply.retry_after_s = response.status_code, _seconds(response.headers.get("retry-after"))
        reply.routed = response.headers.get("cf-aig-routed-model")
        told = response.headers.get("cf-ai-neurons")
        media_type = response.headers.get("content-type", "")
        if response.status_code != 200:
            reply.refuse(await response.aread())
        elif media_type.startswith(EVENTS):
            await self._read_events(response, reply, sent_s)
        else:
            chunks = []
            async for chunk in response.aiter_bytes():
                reply.content(time.perf_counter() - sent_s)
                chunks.append(chunk)
            reply.pieces = 0
            reply.take_body(b"".join(chunks), media_type)
        if reply.neurons is None and told is not None:
            reply.neurons = float(told)

    async def _read_events(self, response: httpx.Response, reply: Reply, sent_s: float) -> None:
        is_whole = False
        async for data in _events(response):
            is_whole = reply.take_event(data, time.perf_counter() - sent_s) or is_whole
        if not is_whole and reply.fault is None:
            reply.fault = Fault("cut off", "the stream ended without its last event")


async def _events(response: httpx.Response) -> AsyncIterator[bytes]:
    """The data of each event; Cloudflare's have one line each."""
    async for line in response.aiter_lines():
        if line.startswith("data:"):
            yield line[5:].strip().encode()


def _seconds(retry_after: str | None) -> float | None:
    """The header as seconds; a date, which neither Cloudflare nor the gateway sends, counts as absent."""
    return float(retry_after) if retry_after is not None and retry_after.isdecimal() else None
