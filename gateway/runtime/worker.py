"""The parent's handle on one worker process: start it, talk to it, see its end, end it; knows no queue."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

import structlog

from gateway.config import ModelSpec
from gateway.errors import ModelUnavailable
from gateway.runtime import framing, messages
from gateway.runtime.messages import FromWorker, Load, Loaded, LoadFailed, Ping, Pong, Stop
from gateway.runtime.nursery import Nursery, begin
from gateway.runtime.scratch import Scratch

# Frames larger than this are packed in a thread.
OFF_LOOP_BYTES = 1 << 16
JOIN_S = 5.0
log = structlog.get_logger("gateway.worker")


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
        self._frames = framing.FrameBuffer()
        self._transport: asyncio.Transport | None = None
        self._process: multiprocessing.process.BaseProcess | None = None
        self._scratch: Scratch | None = None
        self._spawning: asyncio.Task[None] | None = None
        self._report: asyncio.Future[Loaded] = asyncio.get_running_loop().create_future()
        self._end_seen = asyncio.Event()
        self._closed = asyncio.Event()
        self._ending: asyncio.Task[None] | None = None
        self._pinged_at: float | None = None

    @property
    def pid(self) -> int | None:
        """The process id, once there is a process."""
        return self._process.pid if self._process is not None else None

    @property
    def is_stopped(self) -> bool:
        """Whether the process was stopped from outside (SIGSTOP) and not continued; known on Linux only."""
        try:
            return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] in "Tt"
        except (OSError, IndexError):
            return False

    def ping(self) -> None:
        """Ask a worker that has nothing to do for a sign of life, unless it still owes one."""
        if self._pinged_at is None and not self.is_lost:
            self._pinged_at = time.monotonic()
            self.send(Ping())

    @property
    def silent_s(self) -> float:
        """How long it has owed a sign of life."""
        return time.monotonic() - self._pinged_at if self._pinged_at is not None else 0.0

    async def start(self, nursery: Nursery, files: Path, *, canary: bool, device: str) -> Loaded:
        """Start the process and load onto `device`; raises `ModelUnavailable` with the reason.

        On any failure call `stop`.
        """
        # Never cancelled half-way: `stop` waits for it and then finds a process and a pipe, or neither.
        self._spawning = asyncio.create_task(self._spawn(nursery))
        try:
            await asyncio.shield(self._spawning)
        except OSError as error:
            raise ModelUnavailable(f"no process for {self.spec.name}: {error.strerror}") from error
        self.send(Load(self.spec.model_dump(mode="json") | {"device": device}, str(files), canary))
        try:
            async with asyncio.timeout(self.spec.load_timeout_s):
                self.loaded = await self._report
        except TimeoutError:
            raise ModelUnavailable(f"{self.spec.name} was not loaded within {self.spec.load_timeout_s:g} s") from None
        except EOFError:
            raise ModelUnavailable(f"the process of {self.spec.name} {await self._end_told()} while loading") from None
        return self.loaded

    async def _end_told(self) -> str:
        if self._process is None:
            return "ended"
        await asyncio.to_thread(self._process.join, JOIN_S)
        return _told(self._process.exitcode)

    async def _spawn(self, nursery: Nursery) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                self._scratch = await asyncio.to_thread(nursery.scratch)
                folder = self._scratch.path if self._scratch is not None else None
                self._process = nursery.process(theirs, self.spec.name, folder)
                await asyncio.to_thread(begin, self._process)
                await asyncio.get_running_loop().create_unix_connection(lambda: self, sock=ours)
            except BaseException:
                ours.close()
                raise

    def send(self, message: messages.Message) -> None:
        """Send a small message; to a lost worker, nothing happens."""
        self.send_frame(framing.to_frame(message))

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
        if self._scratch is not None:
            await asyncio.to_thread(self._scratch.remove)
            self._scratch = None
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
        self._pinged_at = None
        try:
            for payload in self._frames.feed(data):
                self._receive(framing.for_gateway(payload))
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
        elif not isinstance(message, Pong):
            self._on_message(message)

    def _bury(self) -> None:
        if self.is_lost:
            return
        self.is_lost = True
        self._end_seen.set()
        if not self._report.done():
            self._report.set_exception(EOFError())
            self._report.exception()
        self._on_lost()


def _end(process: multiprocessing.process.BaseProcess) -> None:
    process.join(0)
    if process.is_alive():
        process.kill()
        process.join(JOIN_S)
    if not process.is_alive():
        process.close()


def _told(exit_code: int | None) -> str:
    if exit_code is None or exit_code >= 0:
        return "ended"
    name = signal.Signals(-exit_code).name if -exit_code in set(signal.Signals) else f"signal {-exit_code}"
    return f"was killed ({name}{', perhaps for want of memory' if exit_code == -signal.SIGKILL else ''})"
