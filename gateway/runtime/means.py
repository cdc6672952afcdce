"""What the models of a gateway share, and what the keepers of one model share with it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from gateway.config import ModelSpec
from gateway.runtime.loads import Loads
from gateway.runtime.metrics import Metrics
from gateway.runtime.nursery import Nursery
from gateway.runtime.queue import BatchQueue
from gateway.runtime.steward import Steward


class Weights(Protocol):
    """Where a row's weights are on this machine."""

    def path(self, spec: ModelSpec) -> Path:
        """The folder or file to load; raises `ModelUnavailable` that says what to run."""

    def resolved(self, spec: ModelSpec) -> ModelSpec:
        """The row with its adapters as folders on this machine; raises as `path` does."""


@dataclass(frozen=True)
class Means:
    """What every model of a gateway shares."""

    weights: Weights
    nursery: Nursery
    metrics: Metrics
    steward: Steward

    async def find(self, spec: ModelSpec) -> tuple[Path, ModelSpec]:
        """Where the row's weights are (an empty path for a row without), and the row as its worker needs it.

        Raises `ModelUnavailable`.
        """
        files = await asyncio.to_thread(self.weights.path, spec) if spec.source else Path()
        return files, await asyncio.to_thread(self.weights.resolved, spec) if spec.loras else spec


@dataclass(frozen=True)
class Household:
    """What the keepers of one model share with it: who waits, and what they are told of its loads."""

    queue: BatchQueue
    means: Means
    loads: Loads
