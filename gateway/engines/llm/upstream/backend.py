"""A backend whose text another server generates; knows how to reach it and what to do when it is gone."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from urllib.parse import urlsplit

import structlog

from gateway.config import ModelSpec
from gateway.engines.llm.effort import settled
from gateway.engines.llm.upstream.client import new_client
from gateway.engines.llm.upstream.event_loop import LoopThread, News, Outlet
from gateway.engines.llm.upstream.exchange import BROKEN_OFF, Exchange, Patience, unreachable
from gateway.engines.llm.upstream.options import UpstreamOptions, read_key
from gateway.engines.llm.upstream.probe import NotReady, answers, is_listening, read_facts
from gateway.engines.llm.upstream.request import Facts, Translator
from gateway.engines.llm.upstream.server import StartedServer
from gateway.errors import GatewayError, ModelUnavailable, WorkerLost
from gateway.tasks import Piece, Usage
from gateway.tasks.generation import GenerationInput

# How long a step waits for news: new arrivals wait no longer than this.
STEP_S = 0.005
MOST_NEWS = 256
POLL_S, LOOK_S, LOOK_AGAIN_S, LONGEST_LOOK_S = 0.1, 1.0, 0.2, 10.0
log = structlog.get_logger("gateway.engines.llm.upstream")


@dataclass(slots=True)
class _Running:
    outlet: Outlet
    exchange: Future[None]
    increments: int = 0
    usage: Usage | None = None


class UpstreamBackend:
    """A `Backend` over a server of OpenAI's form, one that runs already or one that it starts.

    `device` is the word for all that is not this machine's business. Once the server is gone every stream inside
    ends with an error and `on_lost` is told.
    """

    device = "upstream"
    cache_bytes = 0

    def __init__(self, spec: ModelSpec, options: UpstreamOptions, files: Path) -> None:
        """Start the server if the row says so, and wait until it is ready.

        Raises `ConfigError` for a row that cannot be served, `ModelUnavailable` if the server does not become ready.
        """
        key = read_key(spec, options)
        self._spec, self._options = spec, options
        self._gone = threading.Event()
        self._on_lost: Callable[[], None] = lambda: None
        self._inside: dict[int, _Running] = {}
        self._failed: dict[int, Usage] = {}
        self._arrivals: queue.SimpleQueue[News] = queue.SimpleQueue()
        self._server = StartedServer(spec, options, files, self._lose) if options.command else None
        self._url = self._server.url if self._server is not None else str(options.url)
        self._loop = LoopThread()
        connections = spec.max_streams + 2
        own_key = self._server.key if self._server is not None else None
        self._client = new_client(own_key or key, connections, options.connect_timeout_s)
        try:
            facts = self._await_ready()
        except BaseException:
            self.close()
            raise
        self.description = _description(facts, self._url)
        self._translator = Translator(facts)
        patience = Patience(options.connect_timeout_s, spec.timeout_s, options.stall_timeout_s)
        self._exchange = Exchange(self._client, self._url, patience, facts.dialect.usage_per_choice)
        self._loop.start(self._watch_elsewhere() if self._server is None else self._watch_started())

    def watch(self, on_lost: Callable[[], None]) -> None:
        """Call `on_lost`, from another thread, once the server is gone; at once if it is gone already."""
        self._on_lost = on_lost
        if self._gone.is_set():
            on_lost()

    def close(self) -> None:
        """End the server, if it was started here, and all that was going on with it.

        A lost one is not waited for: nobody can be answered until this process has ended as well.
        """
        if self._server is not None:
            self._server.stop(wait=not self._gone.is_set())
        self._loop.run(self._client.aclose())
        self._loop.close()

    def admit(self, id: int, input: GenerationInput) -> None:
        """Send one request; raises `GatewayError` for what the server cannot be asked."""
        if self._gone.is_set():
            raise unreachable()
        generation = settled(input.generation(), self._spec.properties.reasoning_effort)
        request = self._translator.request(generation, input.origin.account)
        request = replace(request, traceparent=input.origin.traceparent)
        outlet = Outlet(id, self._arrivals)
        self._inside[id] = _Running(outlet, self._loop.start(self._exchange.converse(request, outlet)))

    def step(self) -> Sequence[tuple[int, Piece | GatewayError]]:
        """What the server has sent since; waits a little if that is nothing."""
        given: list[tuple[int, Piece | GatewayError]] = []
        taken: list[News] = []
        try:
            taken.append(self._arrivals.get(timeout=STEP_S))
            while len(taken) < MOST_NEWS:
                taken.append(self._arrivals.get_nowait())
        except queue.Empty:
            pass
        for news in taken:
            running = self._inside.get(news.outlet.id)
            if running is None or running.outlet is not news.outlet:
                continue
            given.append((news.outlet.id, news.content))
            if isinstance(news.content, GatewayError):
                self._fail(news.outlet.id)
            elif news.content.is_last:
                del self._inside[news.outlet.id]
            else:
                running.increments += 1
                running.usage = news.content.usage or running.usage
        if taken:
            self._loop.loop.call_soon_threadsafe(_release, taken)
        elif self._gone.is_set():
            given += self._fail_all()
        return given

    def drop(self, id: int) -> Usage | None:
        """Close the connection of a stream, so that the server stops its work; what it told of the cost.

        Servers that tell it at the end alone have their increments counted.
        """
        running = self._inside.pop(id, None)
        if running is None:
            return self._failed.pop(id, None)
        running.exchange.cancel()
        return running.usage or Usage(completion_tokens=running.increments)

    def _fail(self, id: int) -> None:
        if (usage := self.drop(id)) is not None:
            self._failed[id] = usage

    def _fail_all(self) -> list[tuple[int, Piece | GatewayError]]:
        ids = list(self._inside)
        for id in ids:
            self._fail(id)
        return [(id, WorkerLost(BROKEN_OFF)) for id in ids]

    def _lose(self) -> None:
        self._gone.set()
        self._on_lost()

    def _await_ready(self) -> Facts:
        """Poll a server that was started until it is ready; one that runs already must answer at once."""
        limit_s = self._options.ready_timeout_s or self._spec.load_timeout_s
        deadline = time.monotonic() + limit_s
        while True:
            try:
                return self._loop.run(read_facts(self._client, self._url, self._spec, self._options))
            except NotReady as error:
                if self._server is None:
                    log.error("upstream not ready", address=_address(self._url), reason=str(error))
                    raise ModelUnavailable("the server behind this model is not ready: " + str(error)) from None
                reason = str(error)
            if self._gone.wait(POLL_S):
                raise ModelUnavailable(
                    f"the server ended with status {self._server.status} before it was ready; the log has its output"
                )
            if time.monotonic() > deadline:
                raise ModelUnavailable(f"the server was not ready within {limit_s:g} s: {reason}")

    async def _watch_started(self) -> None:
        """Lose a server that runs and says nothing for as long as a step may take. Its end is noticed without this.

        Servers with a bounded number of threads may have none for the question while they answer others.
        """
        limit_s, loop = self._spec.run_limit, asyncio.get_running_loop()
        while True:
            await asyncio.sleep(min(limit_s, LONGEST_LOOK_S))
            asked_at = loop.time()
            if not await answers(self._client, self._url, limit_s) and self._exchange.heard_at < asked_at:
                log.error("upstream stuck", model=self._spec.name, limit_s=limit_s)
                self._lose()
                return

    async def _watch_elsewhere(self) -> None:
        """Lose a server that takes no connection twice in a row."""
        while True:
            await asyncio.sleep(LOOK_S)
            if await is_listening(self._url, self._options.connect_timeout_s):
                continue
            await asyncio.sleep(LOOK_AGAIN_S)
            if not await is_listening(self._url, self._options.connect_timeout_s):
                log.error("upstream gone", model=self._spec.name, address=_address(self._url))
                self._lose()
                return


def _release(taken: Sequence[News]) -> None:
    for news in taken:
        news.outlet.took(news.size_bytes)


def _address(url: str) -> str:
    return urlsplit(url).netloc


def _description(facts: Facts, url: str) -> str:
    """For operators. Some servers name a model by its path, of which the end says enough."""
    window = f", window {facts.window}" if facts.window is not None else ""
    return f"upstream {facts.dialect.name} at {_address(url)} ({PurePath(facts.model).name}{window})"
