"""A gateway on a real socket whose recogniser hears numbers, and the websockets client."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest_asyncio
import uvicorn
import websockets

from gateway.api.live.socket import MAX_FRAME_BYTES
from gateway.api.upgrade import AnsweredUpgrade
from gateway.app import create_app
from gateway.config import Settings
from tests.api.conftest import ACCOUNT, FIXTURES, row, until

RATE_HZ = 8_000
PCM = {"encoding": "linear16", "sample_rate": str(RATE_HZ)}
LISTEN = "automatic-speech-recognition"


def sound(*values: int, each_s: float = 0.5) -> bytes:
    """Samples that say `wordN` for each value, and nothing for 0."""
    return np.repeat(np.array(values, "<i2"), round(each_s * RATE_HZ)).tobytes()


@dataclass(frozen=True)
class Live:
    """Where the gateway listens."""

    port: int
    app: Any
    folder: Path

    def url(self, name: str, **query: Any) -> str:
        pairs = [(key, value) for key, values in query.items() for value in _listed(values)]
        path = f"/client/v4/accounts/{ACCOUNT}/ai/run/@cf/test/{name}"
        return f"ws://127.0.0.1:{self.port}{path}?" + "&".join(f"{key}={value}" for key, value in pairs)

    def connect(self, name: str, authorization: str = "Bearer any", **query: Any) -> websockets.connect:
        headers = {"authorization": authorization}
        return websockets.connect(self.url(name, **query), additional_headers=headers, proxy=None, close_timeout=1)


def _listed(values: Any) -> Sequence[Any]:
    return values if isinstance(values, list) else [values]


async def rest(client: Any) -> list[Any]:
    """All messages until the other side closes."""
    return [json.loads(message) if isinstance(message, str) else message async for message in client]


@asynccontextmanager
async def serving(app: Any) -> AsyncIterator[Live]:
    """The application on a free port, with the limits of `gateway serve`."""
    config = uvicorn.Config(
        app,
        http="httptools",
        ws=AnsweredUpgrade,
        ws_max_size=MAX_FRAME_BYTES,
        ws_per_message_deflate=False,
        lifespan="off",
        log_config=None,
    )
    server = uvicorn.Server(config)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        async with app.router.lifespan_context(app):
            task = asyncio.create_task(server.serve(sockets=[listener]))
            await until(lambda: server.started)
            try:
                yield Live(listener.getsockname()[1], app, app.state.gateway.settings.home)
            finally:
                server.should_exit = True
                await task


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def live(tmp_path_factory: Any) -> AsyncIterator[Live]:
    """Every form that is spoken over WebSocket, and one that is not."""
    folder: Path = tmp_path_factory.mktemp("live")
    hears = f"{FIXTURES}.hears:Engine"
    spells = f"{FIXTURES}.spells:Engine"
    models = [
        row("flux", LISTEN, hears, shape="flux"),
        row("nova", LISTEN, hears, shape="nova-3"),
        row("turn", "voice-activity-detection", "silero_turn"),
        row("spell", "text-to-speech", spells, shape="aura", options={"gate": str(folder / "gate")}),
        row("classify", "text-classification", "fake"),
    ]
    async with serving(create_app(Settings(home=folder, grace_s=0.0), models)) as found:
        yield found
