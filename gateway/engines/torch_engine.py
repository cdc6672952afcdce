"""An engine that computes with torch, on the device and in the numbers that its row asks for; knows no task."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import ClassVar

from gateway.config import ModelSpec
from gateway.engines.base import Engine
from gateway.engines.passes import pass_tokens
from gateway.engines.precision import FLOATS, choose, use_threads
from gateway.tasks import Task


class TorchEngine(Engine):
    """Has settled `threads`, `precision` and `device` before its weights are loaded; `offered` are its number types."""

    offered: ClassVar[Collection[str]] = FLOATS

    def __init__(self, spec: ModelSpec, task: Task, files: Path) -> None:
        """Raises `ConfigError` if the row asks for a device or a number type that is not to be had."""
        super().__init__(spec, task, files)
        self.threads = use_threads(spec)
        self.precision = choose(spec, self.offered)
        self.device = self.precision.device

    def fill_passes(self, *, pads: bool) -> None:
        """Have batches collect the tokens that keep the device busy; `pads`: texts of a pass are made equally long."""
        self.pads = pads
        self.enough = pass_tokens(self.device, pads=pads)
