"""What loaded models were measured to take, kept beside the weights; knows no process and no device."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from pydantic import Field, ValidationError

from gateway.config import Frozen, ModelSpec

# What a row says that changes neither what is loaded nor how much of it is inside at once.
_IRRELEVANT = {
    "name",
    "aliases",
    "description",
    "license",
    "created_at",
    "properties",
    "starter",
    "preload",
    "pin",
    "idle_unload_s",
    "replicas",
    "device",
    "memory_mib",
    "growth_mib",
    "memory_patience_s",
    "max_queue_items",
    "max_queue_bytes",
    "timeout_s",
    "run_limit_s",
    "load_timeout_s",
}


class Span(NamedTuple):
    """Bytes that it takes at least, to be there at all, and those it is seen to take at most."""

    least: int
    most: int


class Footprint(Frozen):
    """One replica's highest use so far, in bytes, and of its last load the highest use and the time.

    An earlier version did not tell the load apart.
    """

    host_bytes: int = Field(ge=0)
    gpu_bytes: int = Field(default=0, ge=0)
    load_host_bytes: int = Field(default=0, ge=0)
    load_gpu_bytes: int = Field(default=0, ge=0)
    load_s: float = Field(ge=0)

    @property
    def host(self) -> Span:
        """Of the host's memory."""
        return Span(self.load_host_bytes, max(self.load_host_bytes, self.host_bytes))

    @property
    def gpu(self) -> Span:
        """Of a GPU's memory."""
        return Span(self.load_gpu_bytes, max(self.load_gpu_bytes, self.gpu_bytes))


class Measured(Frozen):
    """The footprints of a row on the CPU and on a GPU, as far as they are known."""

    cpu: Footprint | None = None
    cuda: Footprint | None = None
    ignores_gpus: bool = Field(default=False, description="offered a GPU, its engine ran on the CPU")


class Footprints:
    """One small JSON file per way of loading below `home`; what cannot be read counts as not measured."""

    def __init__(self, home: Path) -> None:
        self._folder = home / "weights" / "measured"

    def read(self, spec: ModelSpec) -> Measured:
        """What is known of the row."""
        try:
            return Measured.model_validate_json(self._file(spec).read_bytes())
        except (OSError, ValidationError):
            return Measured()

    def write(self, spec: ModelSpec, measured: Measured) -> None:
        """Replace what is known of the row, whole or not at all. Raises `OSError`."""
        self._folder.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=".making-", dir=self._folder)
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(measured.model_dump_json(exclude_none=True))
            Path(name).replace(self._file(spec))
        except OSError:
            with suppress(OSError):
                Path(name).unlink()
            raise

    def _file(self, spec: ModelSpec) -> Path:
        relevant = spec.model_dump_json(exclude=_IRRELEVANT)
        readable = re.sub(r"[^A-Za-z0-9.]+", "-", (spec.source or spec.engine).partition(":")[2] or spec.engine)
        return self._folder / f"{readable.strip('-.')[:80]}-{hashlib.sha256(relevant.encode()).hexdigest()[:16]}.json"
