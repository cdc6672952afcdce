"""The parent's handle on one worker process: start it, talk to it, see its end, end it; knows no queue."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import socket
import time
from collections.abc import Callable, Sequence
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import cast

import structlog

from gateway import logs
from gateway.config import ModelSpec
from gateway.engines import preload
from gateway.errors import ModelUnavailable
from gateway.runtime import child, messages
from gateway.runtime.messages import FromWorker, Load, Loaded, LoadFailed, Stop

# Frames larger than this are packed in a thread.
OFF_LOOP_BYTES = 1 << 16
JOIN_S = 5.0
PREFORK = "gateway.engines.prefork"
log = structlog.get_logger("gateway.worker")


class Nursery:
    """Where workers come from: a fork server with the model libraries imported, else fresh interpreters."""

    def __init__(self, engines: Sequence[str], log_format: logs.Format = "text", log_level: str = "info") -> None:
        self.log_format = log_format
        self.log_level = log_level
        self._modules = ",".join(dict.fromkeys(module for name in engines for module in _modules(name)))
        method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
        self._context: BaseContext = multiprocessing.get_context(method)
        os.environ[preload.NAMES] = self._modules
        if method == "forkserver":
            self._context.set_forkserver_preload([PREFORK, child.__name__])

    async def warm(self) -> None:
        """Start the fork server, which takes as long as importing the model libraries does."""
        if self._context.get_start_method() == "forkserver":
            from multiprocessing import forkserver

            await asyncio.to_thread(forkserver.ensure_running)

    def process(self, pipe: socket.socket, name: str) -> multiprocessing.process.BaseProcess:
        """A process, not yet started, that will serve `pipe`."""
        birth = child.Birth(name, time.time(), self.log_format, self.log_level)
        process: multiprocessing.process.BaseProcess = self._context.Process(  # type: ignore[attr-defined]
            target=child.main, args=(pipe, birth), name=f"gateway:{name}", daemon=True
        )
        return process


def _modules(engine: str) -> list[str]:
    """The modules to import ahead for an engine: its file, and `preload` of its folder if it is a package."""
    if "." in engine:
        return []
    folder = Path(preload.__file__).parent / engine
    package = f"gateway.engines.{engine}"
    return [package, f"{package}.preload"] if (folder / "preload.py").is_file() else [package]


class Worker(asyncio.Protocol):
    """One process and its pipe. The end of the pipe is the end of the worker, whatever the reason.

    `on_message` gets every message after loading; `on_lost` is called once, when the worker can answer no more.
    """

    def __init__(
        self,
        spec: ModelSpec,
        on_message: Callable[[FromWorker], None],
        on_lost: Callable[[], None],
    ) -> None:
        self.spec = spec
        self.loaded: Loaded | None = None
        self.is_lost = False
        self.heard_at = time.monotonic()
        self._on_message = on_message
        self._on_lost = on_lost
        self._frames = messages.FrameBuffer()
        self._transport: asyncio.Transport | None = None
        self._process: multiprocessing.process.BaseProcess | None = None
        self._spawning: asyncio.Task[None] | None = None
        self._report: asyncio.Future[Loaded] = asyncio.get_running_loop().create_future()
        self._end_seen = asyncio.Event()
        self._closed = asyncio.Event()
        self._ending: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The process id, once there is a process."""
        return self._process.pid if self._process is not None else None

    async def start(self, nursery: Nursery, files: Path, *, canary: bool) -> Loaded:
        """Start the process and load; raises `ModelUnavailable` with the reason. On any failure call `stop`."""
        # Never cancelled half-way: `stop` waits for it and then finds a process and a pipe, or neither.
        self._spawning = asyncio.create_task(self._spawn(nursery))
        try:
            await asyncio.shield(self._spawning)
        except OSError as error:
            raise ModelUnavailable(f"no process for {self.spec.name}: {error.strerror}") from error
        self.send(Load(self.spec.model_dump(mode="json"), str(files), canary))
        try:
            async with asyncio.timeout(self.spec.load_timeout_s):
                self.loaded = await self._report
        except TimeoutError:
            raise ModelUnavailable(f"{self.spec.name} was not loaded within {self.spec.load_timeout_s:g} s") from None
        return self.loaded

    async def _spawn(self, nursery: Nursery) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                self._process = nursery.process(theirs, self.spec.name)
                await asyncio.to_thread(self._process.start)
                await asyncio.get_running_loop().create_unix_connection(lambda: self, sock=ours)
            except BaseException:
                ours.close()
                raise

    def send(self, message: messages.Message) -> None:
        """Send a small message; to a lost worker, nothing happens."""
        self.send_frame(messages.to_frame(message))

    def send_frame(self, frame: bytes) -> None:
        """Send a packed message."""
        if self._transport is not None and not self.is_lost:
            self._transport.write(frame)

    async def stop(self, grace_s: float) -> None:
        """End the process, in whatever state it is: ask, wait up to `grace_s`, kill. Nothing is left of it.

        Being cancelled does not leave it half done: it goes on, and a second call waits for the end of the first.
        """
        if self._ending is None:
            self._ending = asyncio.create_task(self._stop(grace_s))
        await asyncio.shield(self._ending)

    async def _stop(self, grace_s: float) -> None:
        if self._spawning is not None:
            with contextlib.suppress(Exception):
                await asyncio.shield(self._spawning)
        process = self._process
        if process is not None and process.pid is not None:
            if self.loaded is not None and not self.is_lost and grace_s > 0:
                self.send(Stop())
                await asyncio.to_thread(process.join, grace_s)
            await asyncio.to_thread(_end, process)
        self._process = None
        self._bury()
        if self._transport is not None:
            self._transport.abort()
            await self._closed.wait()

    def kill(self) -> None:
        """End the process at once; the pipe's end reports it like any other death."""
        if self._process is not None and self._process.pid is not None:
            self._process.kill()

    async def lost(self) -> None:
        """Return once the worker is lost."""
        await self._end_seen.wait()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The pipe is open."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's do not inherit from asyncio's

    def data_received(self, data: bytes) -> None:
        """Bytes from the worker; garbage costs it its life."""
        self.heard_at = time.monotonic()
        try:
            for payload in self._frames.feed(data):
                self._receive(messages.for_gateway(payload))
        except Exception:
            log.exception("worker unreadable", model=self.spec.name, worker=self.pid)
            self.kill()
            self._bury()

    def connection_lost(self, error: Exception | None) -> None:
        """The pipe's end is the worker's."""
        self._closed.set()
        self._bury()

    def _receive(self, message: FromWorker) -> None:
        if isinstance(message, Loaded):
            if not self._report.done():
                self._report.set_result(message)
        elif isinstance(message, LoadFailed):
            if not self._report.done():
                self._report.set_exception(ModelUnavailable(f"{self.spec.name} cannot be loaded: {message.reason}"))
        else:
            self._on_message(message)

    def _bury(self) -> None:
        if self.is_lost:
            return
        self.is_lost = True
        self._end_seen.set()
        if not self._report.done():
            self._report.set_exception(ModelUnavailable(f"the process of {self.spec.name} ended while loading"))
            self._report.exception()
        self._on_lost()


def _end(process: multiprocessing.process.BaseProcess) -> None:
    process.join(0)
    if process.is_alive():
        process.kill()
        process.join(JOIN_S)
    if not process.is_alive():
        process.close()
