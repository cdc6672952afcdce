"""One application with real workers and engines without weights, reached over ASGI and over a real socket."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest_asyncio
import uvicorn
from fastapi import FastAPI

from gateway import logs
from gateway.app import create_app
from gateway.config import ModelSpec, Settings
from gateway.runtime.model import Model

ACCOUNT = "023e105f4ecef8ad9ca31a8372d0c353"
BEARER = {"authorization": "Bearer any"}
FIXTURES = "tests.fixtures.engines"
SMALL_SOCKET_BYTES = 16 * 1024


def run_path(name: str) -> str:
    """The path of the run route for a model of these tests."""
    return f"/client/v4/accounts/{ACCOUNT}/ai/run/@cf/test/{name}"


def row(name: str, task: str, engine: str, **fields: Any) -> ModelSpec:
    """A row of models.yaml."""
    return ModelSpec.model_validate({"name": f"@cf/test/{name}", "task": task, "engine": engine, **fields})


def rows(folder: Path) -> list[ModelSpec]:
    """Every task once, and every misbehaviour that has a code of its own."""
    classify, generate, listen, speak = (
        "text-classification",
        "text-generation",
        "automatic-speech-recognition",
        "text-to-speech",
    )
    return [
        row("classify", classify, "fake", aliases=["@cf/test/alias"]),
        row("embed", "text-embeddings", "fake"),
        row("embed-cut", "text-embeddings", "fake", shape="embeddinggemma", properties={"async_queue": True}),
        row("listen", listen, "fake", shape="whisper"),
        row("listen-turbo", listen, "fake", shape="whisper-large-v3-turbo"),
        row("listen-nova", listen, "fake", shape="nova-3"),
        row("speak", speak, "fake", shape="melotts"),
        row("speak-raw", speak, "fake", shape="aura"),
        row("spell", speak, f"{FIXTURES}.spells:Engine", shape="aura", options={"gate": str(folder / "spelling")}),
        row("draw", "text-to-image", "fake", shape="stable-diffusion"),
        row("draw-flux-2", "text-to-image", "fake", shape="flux-2"),
        row("chat", generate, "fake_chat", context_window=512),
        row("say", generate, f"{FIXTURES}.scripted:Engine", max_streams=2),
        row("say-chat", generate, f"{FIXTURES}.scripted:Engine", shape="chat-completion"),
        row("say-native", generate, f"{FIXTURES}.scripted:Engine", shape="chat-completion-native"),
        row("say-oss", generate, f"{FIXTURES}.scripted:Engine", shape="gpt-oss", aliases=["@cf/test/oss-alias"]),
        row("count", generate, f"{FIXTURES}.counts:Engine", max_streams=1, options={"notes": str(folder / "count")}),
        row("flood", generate, f"{FIXTURES}.counts:Engine", options={"notes": str(folder / "flood")}),
        row("fragile", generate, f"{FIXTURES}.counts:Engine"),
        row("raises", classify, f"{FIXTURES}.raises:Engine"),
        row("dies", classify, f"{FIXTURES}.dies:Engine"),
        row("hangs", classify, f"{FIXTURES}.hangs:Engine", timeout_s=1.0),
        row("unloadable", classify, f"{FIXTURES}.fails_to_load:Engine", options={"fault": str(folder)}),
        row("gated", classify, f"{FIXTURES}.waits:Engine", max_batch_items=1, options={"gate": str(folder / "gate")}),
        row(
            "crowded",
            classify,
            f"{FIXTURES}.waits:Engine",
            max_batch_items=1,
            max_queue_items=1,
            options={"gate": str(folder / "crowd")},
        ),
    ]


@dataclass(frozen=True)
class Served:
    """The application, a client that calls it directly, and where it listens."""

    app: FastAPI
    http: httpx.AsyncClient
    folder: Path
    server: uvicorn.Server
    port: int

    def model(self, name: str) -> Model:
        found: Model = self.app.state.gateway.registry.get(f"@cf/test/{name}")
        return found

    async def run(self, name: str, **request: Any) -> httpx.Response:
        return await self.http.post(run_path(name), **request)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection whose buffers are small."""
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_SOCKET_BYTES)
        client.setblocking(False)
        await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", self.port))
        return await asyncio.open_connection(sock=client, limit=SMALL_SOCKET_BYTES)

    async def post(
        self, name: str, body: bytes, headers: str = ""
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Send a request by hand; with `headers`, the body's framing is up to them."""
        reader, writer = await self.connect()
        framing = headers or f"content-length: {len(body)}\r\n"
        head = f"POST {run_path(name)} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer any\r\n{framing}\r\n"
        writer.write(head.encode() + body)
        await writer.drain()
        return reader, writer


async def until(condition: Callable[[], bool]) -> None:
    """Let the event loop turn until `condition` holds."""
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - the condition is another object's plain state
            await asyncio.sleep(0.002)


async def close(writer: asyncio.StreamWriter) -> None:
    """Leave, without waiting for the other side."""
    writer.transport.abort()
    await asyncio.sleep(0)


def client_of(app: FastAPI, **options: Any) -> httpx.AsyncClient:
    """A client that calls `app` as if from this machine."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1", **options)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def served(tmp_path_factory: Any) -> AsyncIterator[Served]:
    """The application of `rows`, started once for all tests."""
    folder: Path = tmp_path_factory.mktemp("api")
    logs.configure("json", "info")
    app = create_app(Settings(home=folder, grace_s=0.0), rows(folder))
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL_SOCKET_BYTES)
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(
            uvicorn.Config(app, http="httptools", lifespan="off", log_config=None, access_log=False)
        )
        async with app.router.lifespan_context(app), client_of(app, headers=BEARER, timeout=60) as http:
            serving = asyncio.create_task(server.serve(sockets=[listener]))
            await until(lambda: server.started)
            yield Served(app, http, folder, server, listener.getsockname()[1])
            server.should_exit = True
            await serving
