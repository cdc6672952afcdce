"""Applies a changed models.yaml to a running gateway; knows neither HTTP nor sockets."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog

from gateway.api.keyring import Keyring
from gateway.api.presence import Presence
from gateway.config import ConfigError, ModelSpec, Settings
from gateway.engines.automatic import check_own_engines
from gateway.engines.outbound import refuse_outbound
from gateway.errors import GatewayError
from gateway.models_file import load_specs
from gateway.runtime.metrics import Metrics
from gateway.runtime.registry import Registry
from gateway.weights.lock import Lock
from gateway.weights.parse import parse_source
from gateway.weights.store import Store

log = structlog.get_logger("gateway.reload")


def settled(settings: Settings, keys: Keyring, specs: Sequence[ModelSpec]) -> list[ModelSpec]:
    """The rows as they are served, with `prefix_cache: auto` decided by whether all callers are one tenant.

    Raises `ConfigError` for a row whose engine does not exist, whose source is none, or that needs another machine
    though the gateway is offline.
    """
    check_own_engines(specs)
    _check_sources(specs)
    if settings.offline:
        refuse_outbound(specs)
    shared = "shared" if not keys.has_keys() or len(settings.accounts) == 1 else "account"
    return [spec.model_copy(update={"prefix_cache": shared}) if spec.prefix_cache == "auto" else spec for spec in specs]


def _check_sources(specs: Sequence[ModelSpec]) -> None:
    for spec in specs:
        try:
            if spec.source is not None:
                parse_source(spec.source)
        except ConfigError as error:
            raise ConfigError(f"row {spec.name}: source: {error.detail}") from error


@dataclass(frozen=True)
class Reload:
    """Reads the file again when called; a file that cannot be applied changes nothing."""

    file: Path
    settings: Settings
    keys: Keyring
    registry: Registry
    presence: Presence
    metrics: Metrics

    async def __call__(self) -> dict[str, int]:
        """How many rows were added, changed, removed and left. Raises `GatewayError` that says why not."""
        try:
            counts = await self._apply()
        except GatewayError as error:
            self.metrics.reloads.labels("refused").inc()
            log.error("models.yaml is not applied, nothing has changed", file=str(self.file), reason=error.detail)
            raise
        self.metrics.reloads.labels("applied").inc()
        log.info("models.yaml is applied", file=str(self.file), **counts)
        return counts

    async def _apply(self) -> dict[str, int]:
        self.keys.refresh()
        specs = await asyncio.to_thread(load_specs, self.file)
        specs = settled(self.settings, self.keys, specs)
        pinned = await asyncio.to_thread(Lock.for_models, self.file)
        store = Store(self.settings.home, offline=self.settings.offline, pinned=pinned)
        changes = await self.registry.change(specs, store)
        self.presence.follow(store, specs)
        return changes.counts()

    @contextmanager
    def on_hangup(self) -> Iterator[None]:
        """Reload on SIGHUP, within this block."""
        loop, running = asyncio.get_running_loop(), set[asyncio.Task[None]]()

        async def quietly() -> None:
            try:
                await self()
            except GatewayError:
                return  # it is in the log
            except Exception:
                log.exception("reload failed", file=str(self.file))

        def begin() -> None:
            task = loop.create_task(quietly())
            running.add(task)
            task.add_done_callback(running.discard)

        loop.add_signal_handler(signal.SIGHUP, begin)
        try:
            yield
        finally:
            loop.remove_signal_handler(signal.SIGHUP)
            for task in running:
                task.cancel()
