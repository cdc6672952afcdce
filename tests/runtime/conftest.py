"""A runtime with real processes and engines from tests/fixtures."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.config import ModelSpec
from gateway.runtime.keeper import Means
from gateway.runtime.metrics import Metrics
from gateway.runtime.model import Model
from gateway.runtime.registry import Registry
from gateway.runtime.worker import Nursery


class NoWeights:
    """The misbehaving engines have none."""

    def path(self, spec: ModelSpec) -> Path:
        return Path()

    def resolved(self, spec: ModelSpec) -> ModelSpec:
        return spec


Serve = Callable[..., AbstractAsyncContextManager[Model]]


def spec(engine: str, **fields: Any) -> ModelSpec:
    """A row for an engine of tests/fixtures/engines."""
    task = "text-generation" if engine == "counts" else "text-classification"
    return ModelSpec.model_validate(
        {"name": engine, "task": task, "engine": f"tests.fixtures.engines.{engine}:Engine", **fields}
    )


@asynccontextmanager
async def serving(*specs: ModelSpec, grace_s: float = 10.0) -> AsyncIterator[Registry]:
    """A started registry, stopped at the end."""
    registry = Registry(specs, Means(NoWeights(), Nursery([]), Metrics()))
    await registry.start()
    try:
        yield registry
    finally:
        await registry.stop(grace_s)


@pytest.fixture
def serve() -> Serve:
    """`async with serve("dies", timeout_s=5) as model`."""

    @asynccontextmanager
    async def one(engine: str, **fields: Any) -> AsyncIterator[Model]:
        async with serving(spec(engine, **fields)) as registry:
            yield registry.get(engine)

    return one


async def until(condition: Callable[[], bool]) -> None:
    """Let the event loop turn until `condition` holds; the test's own time-out is the bound."""
    while not condition():  # noqa: ASYNC110 - the condition is another object's plain state
        await asyncio.sleep(0)


def label(answer: Any) -> str:
    """The text an echoing engine was given."""
    import orjson

    return str(orjson.loads(answer.body)[0]["label"])
