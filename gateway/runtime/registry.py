"""Every served model, by name and alias; the one place where all of them start, change and stop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace

import structlog

from gateway.config import ConfigError, ModelSpec
from gateway.errors import GatewayError, ModelNotFound
from gateway.models_file import check_names
from gateway.runtime.changes import Changes
from gateway.runtime.means import Means, Weights
from gateway.runtime.model import Model
from gateway.tasks import TASKS, Task, UnknownTask

# How often workers, places and idleness are looked after.
TICK_S = 0.5
log = structlog.get_logger("gateway.registry")


def task_of(spec: ModelSpec) -> Task:
    """The row's task; raises `ConfigError` naming row and field."""
    try:
        return TASKS.get(spec.task, spec.shape)
    except UnknownTask as error:
        raise ConfigError(f"row {spec.name}: {error.detail}") from None


class Registry:
    """Models by name; starts and stops them together, and changes them without losing a request."""

    def __init__(self, specs: Sequence[ModelSpec], means: Means) -> None:
        self._means = means
        self._models: dict[str, Model] = {}
        self._names: dict[str, Model] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._leaving: dict[Model, asyncio.Task[None]] = {}
        self._changing = asyncio.Lock()
        self._install([Model(spec, task_of(spec), means) for spec in specs])

    def get(self, name: str) -> Model:
        """The model of that name or alias; raises `ModelNotFound`."""
        model = self._names.get(name)
        if model is None:
            raise ModelNotFound(name)
        return model

    def __iter__(self) -> Iterator[Model]:
        return iter(self._models.values())

    async def start(self) -> None:
        """Begin to serve; preloading goes on in the background."""
        # The first is never cancelled: a fork server that is half started would be left behind.
        self._tasks = [asyncio.create_task(self._warm()), asyncio.create_task(self._look_after())]
        for model in self._models.values():
            model.start()

    async def stop(self, grace_s: float) -> None:
        """Drain and end every model; afterwards no worker process is left."""
        await asyncio.gather(*(model.stop(grace_s) for model in (*self._models.values(), *self._leaving)))
        for task in self._tasks[1:]:
            task.cancel()
        await asyncio.gather(*self._tasks, *self._leaving.values(), return_exceptions=True)

    def is_ready(self) -> bool:
        """Whether no preloaded model is missing and no worker owes a sign of life."""
        return all(model.is_ready for model in self._models.values())

    def memory(self) -> dict[str, dict[str, int]]:
        """Budget and reservations of each device, in bytes."""
        ledger = self._means.steward.ledger
        return {
            device: {"budget": budget, "reserved": ledger.reserved_bytes(device)}
            for device, budget in ledger.budgets.items()
        }

    async def change(self, specs: Sequence[ModelSpec], weights: Weights) -> Changes:
        """Serve `specs` from now on. New workers first, then the old ones drain; unchanged rows keep theirs.

        Raises `ConfigError` that says why, and then nothing has changed.
        """
        async with self._changing:
            check_names(specs, "models.yaml")
            changes = Changes.between([model.spec for model in self], specs)
            means = replace(self._means, weights=weights)
            fresh = {spec.name: Model(spec, task_of(spec), means) for spec in changes.to_build}
            await self._warm_up([fresh[name] for name in changes.replaced if self._models[name].is_in_use])
            self._means = means
            self._swap(specs, changes, fresh)
            return changes

    async def _warm_up(self, models: list[Model]) -> None:
        """Load the successors of models in use, those that there is room for; all of them or none."""
        outcomes = await asyncio.gather(*(model.warm() for model in models), return_exceptions=True)
        failed = [(model, error) for model, error in zip(models, outcomes, strict=True) if isinstance(error, Exception)]
        if failed:
            await asyncio.gather(*(model.stop(0.0) for model in models))
            model, error = failed[0]
            detail = error.detail if isinstance(error, GatewayError) else repr(error)
            raise ConfigError(f"row {model.spec.name}: {detail}") from error

    def _swap(self, specs: Sequence[ModelSpec], changes: Changes, fresh: dict[str, Model]) -> None:
        before = self._models
        for spec in changes.renamed:
            before[spec.name].adopt(spec)
        self._install([fresh.get(spec.name) or before[spec.name] for spec in specs])
        for name in changes.removed:
            self._means.metrics.forget(name)
        for name in (*changes.replaced, *changes.removed):
            before[name].hand_over(fresh.get(name))
            self._leaving[before[name]] = asyncio.create_task(self._see_off(before[name]))
        for model in fresh.values():
            model.start()

    def _install(self, models: list[Model]) -> None:
        names: dict[str, Model] = {}
        for model in models:
            names |= dict.fromkeys((model.spec.name, *model.spec.aliases), model)
            model.publish()
        self._models, self._names = {model.spec.name: model for model in models}, names

    async def _see_off(self, model: Model) -> None:
        try:
            await model.drained()
            await model.stop(0.0)
        finally:
            del self._leaving[model]

    async def _warm(self) -> None:
        steward, nursery = self._means.steward, self._means.nursery
        gpus: dict[str, int] = {}
        try:
            gpus = await nursery.gpu_budgets()
        finally:
            steward.open(gpus)  # whatever happens: every load waits for it
        with contextlib.suppress(Exception):
            await nursery.warm()

    async def _look_after(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            try:
                for model in (*self._models.values(), *self._leaving):
                    model.tick()
                await self._means.steward.relieve()
            except Exception:
                log.exception("looking after the models failed")
