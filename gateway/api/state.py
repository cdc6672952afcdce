"""What the routes need of the rest of the process; knows no route."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from starlette.requests import HTTPConnection

from gateway.api.keyring import Keyring
from gateway.api.presence import Presence
from gateway.api.rate import RateLimiter
from gateway.api.remote.media import RemoteMedia
from gateway.api.shares import Shares
from gateway.api.tracing import Tracing
from gateway.config import Settings
from gateway.runtime.batches import Batches
from gateway.runtime.metrics import Metrics
from gateway.runtime.registry import Registry

LARGE_BODIES_AT_ONCE = 2


@dataclass(frozen=True)
class State:
    """The parts a request meets, kept at `app.state.gateway`.

    `parsing` bounds how many large bodies are decoded at once: the decoded form of a body can be many
    times its size. `seats` bounds how many WebSockets are open at once,
    `bodies` how many bytes of bodies are read or worked on. `media` is there if hosts are permitted
    that pictures may be fetched from.
    """

    settings: Settings
    registry: Registry
    metrics: Metrics
    keys: Keyring
    presence: Presence
    batches: Batches
    seats: Shares
    bodies: Shares
    tracing: Tracing | None = None
    media: RemoteMedia | None = None
    parsing: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(LARGE_BODIES_AT_ONCE))
    rates: RateLimiter = field(default_factory=RateLimiter)


def state_of(request: HTTPConnection) -> State:
    """The state of the application that `request` came to."""
    state: State = request.app.state.gateway
    return state
