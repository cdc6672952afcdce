"""A served gateway under changes and harm: rows are exchanged, workers stopped, and every request gets its answer."""

from __future__ import annotations

import concurrent.futures
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.chaos.test_front import HEADERS, ROOT, eventually, session_processes
from tests.server import Server, gateway, write_models

ENV = {"PYTHONPATH": ROOT}


def row(name: str, engine: str = "echo", more: str = "") -> str:
    path = f"tests.fixtures.engines.{engine}:Engine"
    return f"{{name: '@test/{name}', task: text-classification, engine: '{path}'{more}}}"


@dataclass(frozen=True)
class Caller:
    """A gateway that serves rows of one file, and a client of it."""

    server: Server
    http: httpx.Client
    models: Path

    def ask(self, name: str, text: str, **headers: str) -> httpx.Response:
        return self.http.post(self.server.run_url(f"@test/{name}"), json={"text": text}, headers=headers)

    def ready(self) -> tuple[int, dict[str, Any]]:
        response = self.http.get(f"http://127.0.0.1:{self.server.port}/ready")
        return response.status_code, response.json()

    def state(self, name: str) -> str:
        return next(str(model["state"]) for model in self.ready()[1]["models"] if model["name"] == f"@test/{name}")

    def processes(self) -> set[int]:
        return set(session_processes(self.server.process.pid))


@contextmanager
def serving(folder: Path, *rows: str, **env: str) -> Iterator[Caller]:
    models = write_models(folder / "models.yaml", *rows)
    with (
        gateway("--models", str(models), "--home", str(folder), env={**ENV, **env}) as server,
        httpx.Client(headers=HEADERS, timeout=60) as http,
    ):
        yield Caller(server, http, models)


def reload(home: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gateway.cli.main", "models", "reload", "--home", str(home), *more]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **ENV}, timeout=60, check=False)


def test_a_reload_drops_no_request(tmp_path: Path) -> None:
    with serving(tmp_path, row("a"), row("b")) as gateway:
        over, answers = threading.Event(), list[httpx.Response]()

        def call(number: int) -> None:
            while not over.is_set():
                answers.append(gateway.ask("a", f"text {number}"))

        def goes_on() -> bool:
            before = len(answers)
            return eventually(lambda: len(answers) > before + 20)

        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            callers = [pool.submit(call, number) for number in range(4)]
            assert goes_on()
            write_models(gateway.models, row("a", more=", max_batch_items: 3"), row("c"))
            done = reload(tmp_path)
            assert (done.returncode, done.stdout) == (0, "1 added, 1 changed, 1 removed, 0 unchanged\n")
            assert goes_on()
            write_models(gateway.models, row("a", more=", max_batch_items: 4"), row("d"))
            gateway.server.process.send_signal(signal.SIGHUP)
            assert eventually(lambda: gateway.ask("d", "new").status_code == 200)
            assert goes_on()
            over.set()
            for caller in callers:
                caller.result()
        assert {answer.status_code for answer in answers} == {200}
        gone = gateway.ask("b", "gone")
        assert (gone.status_code, gone.json()["errors"][0]["code"]) == (400, 5007)


def test_a_faulty_file_changes_nothing_and_says_why(tmp_path: Path) -> None:
    with serving(tmp_path, row("a")) as gateway:
        assert gateway.ask("a", "x").status_code == 200
        write_models(gateway.models, row("a"), row("b", more=", replicas: {min: 3, max: 2}"))
        refused = reload(tmp_path)
        assert refused.returncode == 1
        assert "row @test/b: replicas: Value error, max (2) is less than min (3)" in refused.stderr
        gateway.server.process.send_signal(signal.SIGHUP)
        assert eventually(lambda: sum("is not applied" in line for line in list(gateway.server.log)) == 2)
        assert gateway.state("a") == "ready"
        assert gateway.ask("b", "x").status_code == 400


def test_the_management_socket_is_its_owners_alone_and_gone_after_the_stop(tmp_path: Path) -> None:
    with serving(tmp_path, row("a")) as gateway:
        path = tmp_path / "run" / f"gateway-{gateway.server.port}.sock"
        assert eventually(path.is_socket)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        for line in (b"nonsense", b"[]", b'{"command": "exit"}', b'{"command": []}', b"[" * 60000):
            assert b"expected" in said(path, line)
        assert said(path, b"x" * 200_000) == b""
        assert reload(tmp_path, "--port", str(gateway.server.port)).returncode == 0
        gateway.server.stop()
        assert not path.exists()
    nobody = reload(tmp_path)
    assert (nobody.returncode, "no gateway runs on" in nobody.stderr) == (1, True)


def test_the_next_gateway_clears_away_what_a_killed_one_left_and_nobody_elses_socket(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with serving(tmp_path, row("a")) as lives, serving(tmp_path, row("a")) as dies:
        mine, left = (run / f"gateway-{caller.server.port}.sock" for caller in (lives, dies))
        assert eventually(lambda: mine.is_socket() and left.is_socket())
        dies.server.stop(signal.SIGKILL)
        assert left.is_socket()
        with serving(tmp_path, row("a")) as follows:
            third = run / f"gateway-{follows.server.port}.sock"
            assert eventually(third.is_socket)
            assert set(run.glob("*.sock")) == {mine, third}
            assert reload(tmp_path, "--port", str(lives.server.port)).returncode == 0


def said(path: Path, line: bytes) -> bytes:
    """The answer to one line; empty if the connection is closed instead."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))
        try:
            connection.sendall(line + b"\n")
            with connection.makefile("rb") as answer:
                return answer.readline()
        except (BrokenPipeError, ConnectionResetError):
            return b""


def test_ready_turns_false_when_a_worker_is_stopped_and_true_once_it_is_replaced(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    gate.touch()
    preloaded = row("a", "loads_when", f", preload: true, options: {{gate: '{gate}'}}")
    with serving(tmp_path, preloaded, row("b")) as gateway:
        assert eventually(lambda: gateway.ready()[0] == 200)
        before = gateway.processes()
        assert gateway.ask("b", "x").status_code == 200
        (bystander,) = gateway.processes() - before
        for requests in (0, 8):
            (worker,) = [pid for pid in gateway.processes() - {bystander} if is_worker(pid, gateway.server.process.pid)]
            gate.unlink()
            os.kill(worker, signal.SIGSTOP)
            with concurrent.futures.ThreadPoolExecutor() as pool:
                asked = [pool.submit(gateway.ask, "a", f"text {i}") for i in range(requests)]
                assert eventually(lambda: gateway.ready()[0] == 503)
                assert gateway.ask("b", "unharmed").status_code == 200
                gate.touch()
                assert eventually(lambda: gateway.ready()[0] == 200)
                assert {answer.result().status_code for answer in asked} <= {200}
            assert worker not in gateway.processes()
            assert bystander in gateway.processes()


def is_worker(pid: int, front: int) -> bool:
    """Whether the process is neither the front nor one of multiprocessing's own, which are the front's children."""
    parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return pid != front and parent != front


def test_a_caller_says_how_long_the_model_stays(tmp_path: Path) -> None:
    with serving(tmp_path, row("a"), row("b", more=", idle_unload_s: 0.1")) as gateway:
        assert eventually(lambda: len(gateway.processes()) == 3)  # the front, the fork server, the resource tracker
        idle = gateway.processes()
        assert gateway.ask("a", "x").status_code == 200
        assert gateway.ask("b", "x", **{"x-gateway-keep-alive": "-1"}).status_code == 200
        assert gateway.state("a") == "ready"
        assert gateway.ask("a", "x", **{"x-gateway-keep-alive": "0"}).status_code == 200
        assert eventually(lambda: gateway.state("a") == "unloaded")
        assert gateway.state("b") == "ready"
        assert gateway.ask("b", "x").status_code == 200
        assert eventually(lambda: gateway.ready()[1]["memory"]["host"]["reserved"] == 0)
        assert eventually(lambda: gateway.processes() == idle)


def test_models_that_do_not_fit_together_take_turns(tmp_path: Path) -> None:
    rows = [row(name, more=", memory_mib: 600") for name in ("a", "b", "c")]
    huge = row("huge", more=", memory_mib: 9000")
    with serving(tmp_path, *rows, huge, GATEWAY_MEMORY_GIB="1") as gateway:
        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            answers = list(pool.map(lambda i: gateway.ask("abc"[i % 3], f"text {i}"), range(24)))
        assert [answer.json()["result"][0]["label"] for answer in answers] == [f"text {i}" for i in range(24)]
        assert gateway.ready()[1]["memory"]["host"] == {"budget": 1 << 30, "reserved": 600 << 20}
        refused = gateway.ask("huge", "x")
        assert (refused.status_code, refused.json()["errors"][0]["code"]) == (503, 3050)
        assert "8.79 GiB of host memory, more than the whole budget of 1.00 GiB" in refused.text
