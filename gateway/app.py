"""Wires the parts into one application; the only module that knows them all."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from fastapi import FastAPI

from gateway import __version__
from gateway.api import State, install
from gateway.api.keyring import Keyring
from gateway.api.presence import Presence
from gateway.config import ModelSpec, Settings
from gateway.engines.automatic import engine_name
from gateway.engines.outbound import refuse_outbound
from gateway.runtime.batch_store import BatchStore
from gateway.runtime.batches import Batches
from gateway.runtime.keeper import Means
from gateway.runtime.metrics import Metrics
from gateway.runtime.registry import Registry
from gateway.runtime.worker import Nursery
from gateway.weights.lock import Lock
from gateway.weights.store import Store


def create_app(settings: Settings, specs: Sequence[ModelSpec], *, pinned: Lock | None = None) -> FastAPI:
    """The application that serves `specs`. Its lifespan starts the models and stops them.

    Raises `ConfigError` for a row whose task does not exist, that no engine can be chosen for, or that needs another
    machine though the gateway is offline.
    """
    metrics = Metrics()
    if settings.offline:
        refuse_outbound(specs)
    keys = Keyring.of(settings)
    specs = [_settled(spec, alone=not keys.has_keys() or len(settings.accounts) == 1) for spec in specs]
    nursery = Nursery([engine_name(spec) for spec in specs], settings.log_format, settings.log_level)
    store = Store(settings.home, offline=settings.offline, pinned=pinned)
    registry = Registry(specs, Means(store, nursery, metrics))
    batches = Batches(BatchStore(settings.home / "batches"), registry.get)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await registry.start()
        await batches.start()
        try:
            yield
        finally:
            await batches.stop()
            await registry.stop(settings.grace_s)

    app = FastAPI(title="Gateway", version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None)
    state = State(
        settings=settings,
        registry=registry,
        metrics=metrics,
        keys=keys,
        presence=Presence(store, specs),
        batches=batches,
    )
    install(app, state)
    return app


def _settled(spec: ModelSpec, *, alone: bool) -> ModelSpec:
    """The row with `prefix_cache: auto` decided: `alone` says that all callers are one tenant."""
    if spec.prefix_cache != "auto":
        return spec
    return spec.model_copy(update={"prefix_cache": "shared" if alone else "account"})
