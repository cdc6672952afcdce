"""Where worker processes come from: a fork server with the model libraries imported, else fresh interpreters."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import ModuleType

import structlog

from gateway import logs
from gateway.config import SandboxMode
from gateway.engines import preload
from gateway.runtime import child
from gateway.runtime.scratch import Scratch

PREFORK = "gateway.engines.prefork"
PROBE_S = 120.0
# One of these is there wherever CUDA works; without them no process is started to ask.
GPU_SIGNS = (Path("/dev/nvidiactl"), Path("/dev/dxg"))
_MAIN = threading.Lock()
log = structlog.get_logger("gateway.worker")


class Nursery:
    """Makes processes, not yet started; the first one that is started waits for the fork server."""

    def __init__(
        self,
        engines: Sequence[str],
        log_format: logs.Format = "text",
        log_level: str = "info",
        sandbox: SandboxMode = "off",
        scratch: Path | None = None,
    ) -> None:
        """`scratch` is where sandboxed workers get folders for their temporary files."""
        self.log_format = log_format
        self.log_level = log_level
        self._sandbox = sandbox
        self._scratch = scratch
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

    def scratch(self) -> Scratch | None:
        """A folder for one worker's temporary files; None without a sandbox, and where none can be made."""
        if self._sandbox == "off" or self._scratch is None:
            return None
        try:
            return Scratch(self._scratch)
        except OSError as error:
            log.warning("workers have no folder for temporary files", reason=error.strerror)
            return None

    def process(self, pipe: socket.socket, name: str, scratch: Path | None = None) -> BaseProcess:
        """A process, to be started by `begin`, that will serve `pipe`, with that folder for temporary files."""
        birth = child.Birth(name, time.monotonic(), self.log_format, self.log_level, self._sandbox, scratch)
        process: BaseProcess = self._context.Process(  # type: ignore[attr-defined]
            target=child.main, args=(pipe, birth), name=f"gateway:{name}", daemon=True
        )
        return process

    async def gpu_budgets(self) -> dict[str, int]:
        """Total bytes of each GPU as the workers see it; empty if the machine has none or they cannot say."""
        if not any(path.exists() for path in GPU_SIGNS):
            return {}
        try:
            return await asyncio.to_thread(self._probe)
        except (OSError, EOFError, ValueError) as error:
            log.warning("the GPUs could not be asked for their memory", reason=repr(error))
            return {}

    def _probe(self) -> dict[str, int]:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.settimeout(PROBE_S)
            process = self._context.Process(target=child.tell_gpus, args=(theirs,), daemon=True)  # type: ignore[attr-defined]
            begin(process)
            theirs.close()
            try:
                with ours.makefile("rb") as told:
                    return {str(name): int(size) for name, size in json.load(told).items()}
            finally:
                process.kill()
                process.join()


def begin(process: BaseProcess) -> None:
    """Start a process of this program's own modules alone.

    multiprocessing would first import what the program was started as, for what might be pickled from it: the whole
    front, which takes each worker a third of a second.
    """
    with _no_main():
        process.start()


@contextmanager
def _no_main() -> Iterator[None]:
    with _MAIN:
        main = sys.modules["__main__"]
        sys.modules["__main__"] = ModuleType("__main__")
        try:
            yield
        finally:
            sys.modules["__main__"] = main


def _modules(engine: str) -> list[str]:
    """The modules to import ahead for an engine: its file, and `preload` of its folder if it is a package."""
    if "." in engine:
        return []
    folder = Path(preload.__file__).parent / engine
    package = f"gateway.engines.{engine}"
    return [package, f"{package}.preload"] if (folder / "preload.py").is_file() else [package]
