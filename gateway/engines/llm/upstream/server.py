"""A server that a row's command starts: its words, its environment, its output, its end; speaks no HTTP."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import structlog

from gateway.config import ConfigError, ModelSpec
from gateway.engines import preload
from gateway.engines.llm.upstream import guard
from gateway.engines.llm.upstream.options import FILES, KEY, PORT, UpstreamOptions

MAX_LINE_CHARACTERS = 2000
HOST = "127.0.0.1"
# What programs need to find themselves, their libraries, their devices and a place for scratch files; no secrets.
PASSED = ("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR", "VIRTUAL_ENV")
PASSED_PREFIXES = ("LC_", "LD_LIBRARY_", "CUDA_", "NVIDIA_", "HIP_", "ROCR_", "OMP_", "XDG_")
ENVIRONMENT = {**preload.ENVIRONMENT, "VLLM_NO_USAGE_STATS": "1", "PYTHONUNBUFFERED": "1"}
log = structlog.get_logger("gateway.engines.llm.upstream")


class StartedServer:
    """A running command. It ends when `stop` is called and when this process does, however that happens.

    `key` is the one that was made for it, if the row asks for one. `on_end` is called once, on another thread, when
    the command has ended.
    """

    def __init__(self, spec: ModelSpec, options: UpstreamOptions, files: Path, on_end: Callable[[], None]) -> None:
        if options.uses(FILES) and spec.source is None:
            raise ConfigError(f"row {spec.name}: options.command: says {FILES}, but the row has no source")
        port = _free_port()
        self.url = f"http://{HOST}:{port}/v1"
        self.key = secrets.token_urlsafe(32) if options.uses(KEY) else None
        self.status: int | None = None
        self._log = log.bind(model=spec.name)
        self._on_end = on_end
        values = {PORT: str(port), FILES: str(files), KEY: self.key or ""}
        self._process = subprocess.Popen(  # noqa: S603 - the operator's own command, and no shell
            [sys.executable, "-I", "-S", guard.__file__, *(_filled(word, values) for word in options.command)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=_environment(options, values),
            start_new_session=True,
        )
        self._log.info("upstream started", command=options.command[0], port=port, guard=self._process.pid)
        self._threads = [
            threading.Thread(target=work, name="upstream", daemon=True) for work in (self._read_output, self._await_end)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self, *, wait: bool) -> None:
        """Have the guard end it: it is asked, and after a while killed. With `wait`, return once it has ended."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        for thread in self._threads if wait else ():
            thread.join()

    def _read_output(self) -> None:
        """Each line into the log: bounded, and never with the key."""
        assert self._process.stdout is not None
        line = ""
        with self._process.stdout as output:
            while data := os.read(output.fileno(), 1 << 16):
                *lines, rest = data.decode("utf-8", "replace").split("\n")
                for text in lines:
                    self._note(line + text)
                    line = ""
                line = (line + rest)[: MAX_LINE_CHARACTERS + 1]
        self._note(line)

    def _note(self, line: str) -> None:
        text = line.rstrip()
        if self.key:
            text = text.replace(self.key, "[key]")
        if text:
            self._log.info("upstream says", line=text[:MAX_LINE_CHARACTERS])

    def _await_end(self) -> None:
        self.status = self._process.wait()
        self._log.warning("upstream ended", status=self.status)
        self._on_end()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _filled(text: str, values: dict[str, str]) -> str:
    """Only our own placeholders: other braces are the command's, such as JSON."""
    for placeholder, value in values.items():
        text = text.replace(placeholder, value)
    return text


def _environment(options: UpstreamOptions, values: dict[str, str]) -> dict[str, str]:
    passed = {
        name: value
        for name, value in os.environ.items()
        if name in PASSED or name in options.pass_environment or name.startswith(PASSED_PREFIXES)
    }
    own = {name: _filled(value, values) for name, value in options.environment.items()}
    return {**ENVIRONMENT, **passed, **own}
