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
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.chaos.test_front import HEADERS, ROOT, eventually, session_processes
from tests.server import Server, gateway, write_models

ENV = {"PYTHONPATH": ROOT}


def row(name: str, engine: str = "echo", more: str = "") -> str:
    path = f"tests.fixtures.engines.{engine}:Engine"
    return f"{{name: '@test/{name}', task: text-classification, engine: '{path}'{more}}}"


def ask(server: Server, name: str, text: str, **headers: str) -> httpx.Response:
    headers = {**HEADERS, **headers}
    return httpx.post(server.run_url(f"@test/{name}"), json={"text": text}, headers=headers, timeout=60)


def ready(server: Server) -> tuple[int, dict[str, Any]]:
    response = httpx.get(f"http://127.0.0.1:{server.port}/ready")
    return response.status_code, response.json()


def state(server: Server, name: str) -> str:
    return next(str(model["state"]) for model in ready(server)[1]["models"] if model["name"] == f"@test/{name}")


def reload(home: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gateway.cli.main", "models", "reload", "--home", str(home), *more]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **ENV}, timeout=60, check=False)


@pytest.mark.parametrize("how", ["command", "SIGHUP"])
def test_a_reload_drops_no_request(tmp_path: Path, how: str) -> None:
    models = write_models(tmp_path / "models.yaml", row("a"), row("b"))
    with gateway("--models", str(models), "--home", str(tmp_path), env=ENV) as server:
        over, answers = threading.Event(), list[httpx.Response]()

        def call(number: int) -> None:
            while not over.is_set():
                answers.append(ask(server, "a", f"text {number}"))

        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            callers = [pool.submit(call, number) for number in range(4)]
            assert eventually(lambda: len(answers) > 20)
            write_models(models, row("a", more=", max_batch_items: 3"), row("c"))
            if how == "command":
                done = reload(tmp_path)
                assert (done.returncode, done.stdout) == (0, "1 added, 1 changed, 1 removed, 0 unchanged\n")
            else:
                server.process.send_signal(signal.SIGHUP)
            assert eventually(lambda: ask(server, "c", "new").status_code == 200)
            before = len(answers)
            assert eventually(lambda: len(answers) > before + 20)
            over.set()
            for caller in callers:
                caller.result()
        assert {answer.status_code for answer in answers} == {200}
        gone = ask(server, "b", "gone")
        assert (gone.status_code, gone.json()["errors"][0]["code"]) == (400, 5007)


def test_a_faulty_file_changes_nothing_and_says_why(tmp_path: Path) -> None:
    models = write_models(tmp_path / "models.yaml", row("a"))
    with gateway("--models", str(models), "--home", str(tmp_path), env=ENV) as server:
        assert ask(server, "a", "x").status_code == 200
        write_models(models, row("a"), row("b", more=", replicas: {min: 3, max: 2}"))
        refused = reload(tmp_path)
        assert refused.returncode == 1
        assert "row @test/b: replicas: Value error, max (2) is less than min (3)" in refused.stderr
        server.process.send_signal(signal.SIGHUP)
        assert eventually(lambda: sum("is not applied" in line for line in list(server.log)) == 2)
        assert state(server, "a") == "ready"
        assert ask(server, "b", "x").status_code == 400


def test_the_management_socket_is_its_owners_alone_and_gone_after_the_stop(tmp_path: Path) -> None:
    models = write_models(tmp_path / "models.yaml", row("a"))
    with gateway("--models", str(models), "--home", str(tmp_path), env=ENV) as server:
        path = tmp_path / "run" / f"gateway-{server.port}.sock"
        assert eventually(path.is_socket)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        for line in (b"nonsense\n", b"[]\n", b'{"command": "exit"}\n', b"[" * 60000 + b"\n", b"x" * 200_000):
            with socket.socket(socket.AF_UNIX) as connection, connection.makefile("rwb") as talk:
                connection.connect(str(path))
                try:
                    talk.write(line)
                    talk.flush()
                    assert b"expected" in (talk.readline() or b"expected")
                except (BrokenPipeError, ConnectionResetError):
                    continue
        assert reload(tmp_path, "--port", str(server.port)).returncode == 0
        server.stop()
        assert not path.exists()
    nobody = reload(tmp_path)
    assert (nobody.returncode, "no gateway runs on" in nobody.stderr) == (1, True)


@pytest.mark.parametrize("is_asked", [False, True])
def test_ready_turns_false_when_a_worker_is_stopped_and_true_once_it_is_replaced(
    tmp_path: Path, is_asked: bool
) -> None:
    models = write_models(tmp_path / "models.yaml", row("a", more=", preload: true"), row("b"))
    with gateway("--models", str(models), "--home", str(tmp_path), env=ENV) as server:
        assert eventually(lambda: ready(server)[0] == 200)
        before = set(session_processes(server.process.pid))
        assert ask(server, "b", "x").status_code == 200
        bystander = (set(session_processes(server.process.pid)) - before).pop()
        (worker,) = [pid for pid in before if is_worker(pid, server.process.pid)]
        os.kill(worker, signal.SIGSTOP)
        with concurrent.futures.ThreadPoolExecutor() as pool:
            asked = [pool.submit(ask, server, "a", f"text {i}") for i in range(8)] if is_asked else []
            assert eventually(lambda: ready(server)[0] == 503)
            assert ask(server, "b", "unharmed").status_code == 200
            assert eventually(lambda: ready(server)[0] == 200)
            assert {answer.result().status_code for answer in asked} <= {200}
        assert worker not in session_processes(server.process.pid)
        assert bystander in session_processes(server.process.pid)


def is_worker(pid: int, front: int) -> bool:
    """Whether the process is neither the front nor one of multiprocessing's own, which are the front's children."""
    parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return pid != front and parent != front


def test_a_caller_says_how_long_the_model_stays(tmp_path: Path) -> None:
    models = write_models(tmp_path / "models.yaml", row("a"), row("b", more=", idle_unload_s: 0.1"))
    with gateway("--models", str(models), "--home", str(tmp_path), env=ENV) as server:
        idle = len(session_processes(server.process.pid))
        assert ask(server, "a", "x").status_code == 200
        assert ask(server, "b", "x", **{"x-gateway-keep-alive": "-1"}).status_code == 200
        assert state(server, "a") == "ready"
        assert ask(server, "a", "x", **{"x-gateway-keep-alive": "0"}).status_code == 200
        assert eventually(lambda: state(server, "a") == "unloaded")
        assert state(server, "b") == "ready"
        assert ask(server, "b", "x").status_code == 200
        assert eventually(lambda: state(server, "b") == "unloaded")
        assert eventually(lambda: ready(server)[1]["memory"]["host"]["reserved"] == 0)
        # The fork server started with the first load; nothing else may have stayed.
        assert eventually(lambda: len(session_processes(server.process.pid)) <= idle + 2)


def test_models_that_do_not_fit_together_take_turns(tmp_path: Path) -> None:
    rows = [row(name, more=", memory_mib: 600") for name in ("a", "b", "c")]
    models = write_models(tmp_path / "models.yaml", *rows, row("huge", more=", memory_mib: 9000"))
    env = {**ENV, "GATEWAY_MEMORY_GIB": "1"}
    with gateway("--models", str(models), "--home", str(tmp_path), env=env) as server:
        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            answers = list(pool.map(lambda i: ask(server, "abc"[i % 3], f"text {i}"), range(24)))
        assert [answer.json()["result"][0]["label"] for answer in answers] == [f"text {i}" for i in range(24)]
        memory = ready(server)[1]["memory"]["host"]
        assert memory == {"budget": 1 << 30, "reserved": 600 << 20}
        refused = ask(server, "huge", "x")
        assert (refused.status_code, refused.json()["errors"][0]["code"]) == (503, 3050)
        assert "8.79 GiB of host memory, more than the whole budget of 1.00 GiB" in refused.text
