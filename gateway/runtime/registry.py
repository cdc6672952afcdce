"""Every served model, by name and alias; the one place where all of them start and stop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Sequence

from gateway.config import ConfigError, ModelSpec
from gateway.errors import ModelNotFound
from gateway.runtime.keeper import Means
from gateway.runtime.model import Model
from gateway.tasks import TASKS, Task, UnknownTask


def task_of(spec: ModelSpec) -> Task:
    """The row's task; raises `ConfigError` naming row and field."""
    try:
        return TASKS.get(spec.task, spec.shape)
    except UnknownTask as error:
        raise ConfigError(f"row {spec.name}: {error.detail}") from None


class Registry:
    """Models by name; starts and stops them together."""

    def __init__(self, specs: Sequence[ModelSpec], means: Means) -> None:
        self._means = means
        self._models = {spec.name: Model(spec, task_of(spec), means) for spec in specs}
        self._names = dict(self._models)
        for model in self._models.values():
            self._names.update(dict.fromkeys(model.spec.aliases, model))
        self._warming: asyncio.Task[None] | None = None

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
        self._warming = asyncio.create_task(self._means.nursery.warm())
        for model in self._models.values():
            model.start()

    async def stop(self, grace_s: float) -> None:
        """Drain and end every model; afterwards no worker process is left."""
        await asyncio.gather(*(model.stop(grace_s) for model in self._models.values()))
        if self._warming is not None:
            with contextlib.suppress(Exception):
                await self._warming

    def is_ready(self) -> bool:
        """Whether every preloaded model has answered its canary."""
        return all(model.state == "ready" for model in self._models.values() if model.spec.preload)
