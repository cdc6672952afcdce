"""Wires the parts into one application; the only module that knows them all."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from fastapi import FastAPI

from gateway import __version__
from gateway.api import State, install
from gateway.api.control import Command, control
from gateway.api.keyring import Keyring
from gateway.api.presence import Presence
from gateway.api.remote.deferred import Deferred
from gateway.api.remote.media import RemoteMedia
from gateway.api.shares import Shares
from gateway.api.tracing import Tracing, framework_telemetry
from gateway.config import GIB, ModelSpec, Settings
from gateway.engines.automatic import engine_name
from gateway.reload import Reload, settled
from gateway.runtime import sandbox
from gateway.runtime.batch_store import BatchStore
from gateway.runtime.batches import Batches
from gateway.runtime.capacity import HOST_SHARE, host_limit_bytes
from gateway.runtime.means import Means
from gateway.runtime.memory import HOST, Ledger
from gateway.runtime.metrics import Metrics
from gateway.runtime.nursery import Nursery
from gateway.runtime.registry import Registry
from gateway.runtime.steward import Steward
from gateway.weights.footprint import Footprints
from gateway.weights.lock import Lock
from gateway.weights.store import Store

BODY_SHARE = 1 / 16


@dataclass(frozen=True)
class Management:
    """How an operator reaches a running gateway: the file that is read again, and the socket to say so."""

    models_file: Path
    socket: Path


def create_app(
    settings: Settings,
    specs: Sequence[ModelSpec],
    *,
    pinned: Lock | None = None,
    management: Management | None = None,
) -> FastAPI:
    """The application that serves `specs`. Its lifespan starts the models and stops them.

    With `management`, SIGHUP and the command `reload` apply the file anew; that needs the main thread.
    Raises `ConfigError` for a row whose task or engine does not exist, that no engine can be chosen for, whose source
    is none, or that needs another machine though the gateway is offline; for hosts of media that cannot be used; and
    for a sandbox that this system does not have.
    """
    state = _parts(settings, specs, pinned)
    app = FastAPI(
        title="Gateway",
        version=__version__,
        lifespan=_lifespan(state, management),
        docs_url=None,
        redoc_url=None,
        telemetry=framework_telemetry(state.tracing),
    )
    install(app, state)
    return app


def _parts(settings: Settings, specs: Sequence[ModelSpec], pinned: Lock | None) -> State:
    """What the routes need, none of it started. Raises as `create_app` does."""
    metrics = Metrics()
    keys = Keyring.of(settings)
    specs = settled(settings, keys, specs)
    sandbox.check(settings.sandbox)
    engines = [engine_name(spec) for spec in specs]
    scratch = settings.home.resolve() / "run" / "scratch"
    nursery = Nursery(engines, settings.log_format, settings.log_level, settings.sandbox, scratch)
    store = Store(settings.home, offline=settings.offline, pinned=pinned)
    steward = new_steward(settings)
    metrics.watch(steward.ledger)
    registry = Registry(specs, Means(store, nursery, metrics, steward))
    media = RemoteMedia.of(settings, metrics)
    return State(
        settings=settings,
        registry=registry,
        metrics=metrics,
        keys=keys,
        presence=Presence(store, specs),
        seats=Shares(settings.max_sessions),
        bodies=Shares(body_budget_bytes(settings)),
        batches=Batches(BatchStore(settings.home / "batches"), registry.get, Deferred(media).completed),
        media=media,
        tracing=Tracing.of(settings),
    )


def _lifespan(state: State, management: Management | None) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    """Starts models and batches, listens for management, and stops all of it."""
    registry = state.registry

    async def is_ready() -> bool:
        return registry.is_ready()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await registry.start()
        await state.batches.start()
        try:
            async with AsyncExitStack() as stack:
                if management is not None:
                    parts = state.settings, state.keys, registry, state.presence, state.metrics
                    reload = Reload(management.models_file, *parts)
                    commands: dict[str, Command] = {"reload": reload, "ready": is_ready}
                    stack.enter_context(reload.on_hangup())
                    await stack.enter_async_context(control(management.socket, commands))
                yield
        finally:
            await state.batches.stop()
            await registry.stop(state.settings.grace_s)
            if state.tracing is not None:
                await state.tracing.stop()

    return lifespan


def body_budget_bytes(settings: Settings) -> int:
    """How much of requests' bodies the front holds at once, unless it is set: a part of what models do not get."""
    if settings.body_budget_bytes is not None:
        return settings.body_budget_bytes
    return max(2 * settings.max_body_bytes, min(int(host_limit_bytes() * BODY_SHARE), GIB))


def new_steward(settings: Settings) -> Steward:
    """An empty ledger with the budgets that the settings allow, and what was measured in earlier lives."""
    host = settings.memory_gib * GIB if settings.memory_gib is not None else host_limit_bytes() * HOST_SHARE
    gpu = int(settings.gpu_memory_gib * GIB) if settings.gpu_memory_gib is not None else None
    return Steward(Ledger({HOST: int(host)}), Footprints(settings.home), gpu)
