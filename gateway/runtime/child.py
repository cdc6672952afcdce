"""A worker process: load one row's weights, answer what arrives, end when the pipe does; knows no HTTP and no queue."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import time
from dataclasses import dataclass
from pathlib import Path

import structlog

from gateway import logs
from gateway.config import ModelSpec, SandboxMode
from gateway.engines import automatic, device, preload
from gateway.engines.base import Access, Engine, StreamEngine, engine_class
from gateway.errors import GatewayError
from gateway.runtime import sandbox
from gateway.runtime.batch_loop import BatchLoop
from gateway.runtime.messages import Load, Loaded, LoadFailed
from gateway.runtime.meter import Meter
from gateway.runtime.pipe import Pipe
from gateway.runtime.pricing import Till
from gateway.runtime.stream_loop import StreamLoop
from gateway.tasks import TASKS, Task

log = structlog.get_logger("gateway.worker")
# The folders of an absolute path; not those of an address, a model's name or a relative path.
_WAY = re.compile(r"(?<![\w:/.@~-])/(?:[^\s/'\"]+/)+")


@dataclass(frozen=True)
class Birth:
    """What a worker is told by its parent before the first frame; `born_at` is in the machine's monotonic time."""

    name: str
    born_at: float
    log_format: logs.Format
    log_level: str
    sandbox: SandboxMode = "off"
    scratch: Path | None = None


def main(pipe: socket.socket, birth: Birth) -> None:
    """Run a worker over `pipe` until it is told to stop or the gateway is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    preload.settle()
    logs.configure(birth.log_format, birth.log_level)
    structlog.contextvars.bind_contextvars(model=birth.name, worker=os.getpid())
    Child(pipe, birth).serve()


def tell_gpus(pipe: socket.socket) -> None:
    """In a process of its own: write each GPU's total bytes as JSON to `pipe`."""
    preload.settle()
    pipe.sendall(json.dumps(device.gpu_budgets()).encode())
    pipe.close()


class Child:
    """One engine behind one pipe."""

    def __init__(self, connection: socket.socket, birth: Birth) -> None:
        self._meter = Meter()
        self._pipe = Pipe(connection)
        self._birth = birth

    def serve(self) -> None:
        """Load, report, then answer until told to stop."""
        message = self._pipe.first()
        if not isinstance(message, Load):
            return
        try:
            engine, task, loaded = self._load(message)
        except BaseException as error:
            log.exception("load failed")
            self._pipe.send(LoadFailed(_reason(error, Path(message.files))))
            return
        self._pipe.send(loaded)
        engine.watch(self._pipe.stop)
        till = Till(engine.spec)
        if isinstance(engine, StreamEngine):
            StreamLoop(self._pipe, engine, task, self._meter, till).run()
        else:
            BatchLoop(self._pipe, engine, task, self._meter, till).run()
        engine.close()

    def _load(self, message: Load) -> tuple[Engine | StreamEngine, Task, Loaded]:
        started = time.monotonic()
        seconds = {"process": started - self._birth.born_at}
        spec = ModelSpec.model_validate(message.spec)
        task = TASKS.get(spec.task, spec.shape)
        name = automatic.engine_name(spec)
        cls = engine_class(name)
        imported = time.monotonic()
        confinement = self._confine(cls.access(spec, Path(message.files)))
        engine = cls(spec, task, Path(message.files))
        weights = time.monotonic()
        seconds |= {"import": imported - started, "weights": weights - imported}
        if message.canary:
            _answer_canary(engine, task)
            seconds["canary"] = time.monotonic() - weights
        served_by = engine.description or f"{name} on {engine.device}"
        streams, taken = isinstance(engine, StreamEngine), self._meter.read_load()
        own = engine.cache_bytes, confinement, engine.pads, engine.enough
        return engine, task, Loaded(streams, engine.device, seconds, name, served_by, taken, *own)

    def _confine(self, access: Access) -> dict[str, str]:
        """Before the weights are opened, and before there is a second thread: Landlock confines one."""
        scratch = self._birth.scratch
        if scratch is not None and not access.programs:
            preload.settle_in(scratch)
        confinement = sandbox.confine(self._birth.sandbox, access, scratch)
        log.info("sandbox", **confinement)
        self._pipe.watch()
        return confinement


def _reason(error: BaseException, files: Path) -> str:
    """The reason for a caller: the last line of a traceback, without the frames and without the way to any file."""
    text = error.detail if isinstance(error, GatewayError) else f"{type(error).__name__}: {error}"
    if files.is_absolute():
        text = text.replace(str(files), files.name)
    text = _WAY.sub("", text)
    return (text.strip().splitlines() or [type(error).__name__])[0][:500]


def _answer_canary(engine: Engine | StreamEngine, task: Task) -> None:
    canary = task.parse(task.canary)
    if isinstance(engine, Engine):
        (output,) = engine.run([canary])
        if isinstance(output, GatewayError):
            raise output
        task.encode(output)
        return
    engine.admit(0, canary)
    while True:
        for _, piece in engine.step():
            if isinstance(piece, GatewayError):
                raise piece
            if piece.is_last:
                return
