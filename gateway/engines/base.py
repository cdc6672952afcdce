"""What an engine is: one set of weights in one process, called on one thread; knows no HTTP, queue or other engine."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.config import ModelSpec
from gateway.errors import GatewayError
from gateway.tasks import Piece, Task, Usage


@dataclass(frozen=True)
class Access:
    """What an engine needs beyond reading files, computing, and a folder for its temporary files.

    `network`: connections to other processes and machines; `folders`: places to write to, made if they are not there;
    `programs`: it starts other programs that need what they need, so the worker is not confined at all.
    """

    network: bool = False
    folders: tuple[Path, ...] = ()
    programs: bool = False


class Weighted(ABC):  # noqa: B024 - its two kinds share no abstract method
    """One set of weights, in memory from its construction to the end of the process."""

    def __init__(self, spec: ModelSpec, task: Task, files: Path) -> None:
        """Load the weights below `files` (a local folder or file; empty path for engines without weights)."""
        self.spec = spec
        self.task = task
        self.files = files
        self.device = "cpu"
        # Bytes that it may take beyond its load by design, as it is used (keys and values), and does not give back.
        self.cache_bytes = 0
        # Whether inputs of a batch are made equally long, which makes those of like length good company.
        self.pads = True
        # The work, in the task's unit of length, that keeps the device busy: more in a batch only makes others wait.
        self.enough: int | None = None
        # What answers, for operators; empty where the engine's name and its device say it.
        self.description = ""

    @classmethod
    def access(cls, spec: ModelSpec, files: Path) -> Access:
        """What the row's engine needs; a sandboxed worker is left nothing else before the weights are opened."""
        return Access()

    def watch(self, on_lost: Callable[[], None]) -> None:  # noqa: B027 - most engines end with their process
        """Call `on_lost`, from any thread, once the engine can answer nothing more: the worker ends then."""

    def close(self) -> None:  # noqa: B027 - most have nothing that does not end with their process
        """Before an orderly end of the process: end what would outlive it."""


class Engine(Weighted):
    """Answers batches: `run(inputs)` gives one output per input, in the same order.

    An output may be a `GatewayError` for an input that cannot be answered (undecodable audio), which spares
    its neighbours. If `run` raises, the batch is run again one input at a time.
    """

    @abstractmethod
    def run(self, inputs: Sequence[Any]) -> Sequence[Any]:
        """Outputs (or `GatewayError`s) for `inputs`, which are instances of `task.input`."""


class StreamEngine(Weighted):
    """Answers piece by piece; continuous batching lives behind `step`.

    Calls come from one thread. `admit` is called only while fewer than `spec.max_streams` ids are inside;
    an id leaves with the piece that `is_last`, with an error, or by `drop`.
    """

    @abstractmethod
    def admit(self, id: int, input: Any) -> None:
        """Take in one input; raises `GatewayError` if it cannot be answered (context exceeded, say)."""

    @abstractmethod
    def step(self) -> Sequence[tuple[int, Piece | GatewayError]]:
        """Advance every stream inside; the pieces that are there now (possibly none). May block briefly."""

    @abstractmethod
    def drop(self, id: int) -> Usage | None:
        """Forget a stream whose caller has left, or that has ended in an error; what it has cost, if that is known.

        Unknown ids are ignored.
        """


def engine_class(name: str) -> type[Engine] | type[StreamEngine]:
    """The engine a row names: `whisper` is `gateway.engines.whisper:Engine`, `my.module:Class` is itself.

    Raises `ImportError` or `AttributeError` with the missing name.
    """
    module, _, attribute = name.partition(":")
    if "." not in module:
        module = f"gateway.engines.{module}"
    found: type[Engine] | type[StreamEngine] = getattr(importlib.import_module(module), attribute or "Engine")
    return found
