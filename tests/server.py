"""A real `gateway serve` in a process of its own, for tests over a real socket."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

ACCOUNT = "023e105f4ecef8ad9ca31a8372d0c353"


@dataclass
class Server:
    """A running gateway; `log` grows as it writes."""

    process: subprocess.Popen[str]
    log: list[str] = field(default_factory=list)
    port: int = 0

    @property
    def base_url(self) -> str:
        """What a Cloudflare client takes as its base URL."""
        return f"http://127.0.0.1:{self.port}/client/v4"

    def run_url(self, model: str) -> str:
        """The run route of a model."""
        return f"{self.base_url}/accounts/{ACCOUNT}/ai/run/{model}"

    def stop(self, signal_number: int = signal.SIGTERM) -> int:
        """End the server and give its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal_number)
        return self.process.wait(60)


@contextmanager
def gateway(
    *arguments: str,
    command: tuple[str, ...] = (),
    env: dict[str, str] | None = None,
    cwd: Path | None = None,
    inherit: bool = True,
) -> Iterator[Server]:
    """A gateway on a free port; it has printed its address, its models load when asked.

    Its environment is this process's and `env` on top; without `inherit` it is `env` alone.
    """
    line = [*(command or (sys.executable, "-m", "gateway.cli.main", "serve")), "--port", "0", *arguments]
    process = subprocess.Popen(
        line,
        stderr=subprocess.PIPE,
        text=True,
        env={**(os.environ if inherit else {}), **(env or {})},
        start_new_session=True,
        cwd=cwd,
    )
    server = Server(process)
    listening = threading.Event()

    def read() -> None:
        assert process.stderr is not None
        for text in process.stderr:
            server.log.append(text)
            if found := re.search(r"listens on https?://\S+:(\d+)", text):
                server.port = int(found[1])
                listening.set()
        listening.set()

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        assert listening.wait(600), "the server did not start"
        assert server.port, "the server ended:\n" + "".join(server.log)
        yield server
    finally:
        server.stop()
        reader.join(10)
        if process.stderr is not None:
            process.stderr.close()


def write_models(path: Path, *rows: str) -> Path:
    """A models.yaml with these rows in YAML's flow form."""
    path.write_text("models:\n" + "".join(f"  - {row}\n" for row in rows))
    return path
