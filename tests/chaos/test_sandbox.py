"""Workers are kept from the network and from writing by the kernel, and `/ready` says how far."""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.runtime.sandbox import landlock, seccomp
from tests import tiny_gguf
from tests.chaos.test_front import session_processes
from tests.server import Server, gateway, write_models
from tests.waiting import eventually

ROOT = Path(__file__).parents[2]
# A safetensors file without a tensor.
EMPTY = (2).to_bytes(8, "little") + b"{}"
HEADERS = {"Authorization": "Bearer any"}
REFUSED = {
    **dict.fromkeys(("ipv4", "ipv6", "packets", "netlink", "a_program_with_a_socket"), "EACCES"),
    "io_uring": "ENOSYS",
    "management_socket": "ECONNREFUSED",
    **dict.fromkeys(("write_weights", "truncate_weights", "delete_weights", "replace_weights"), "EACCES"),
    **dict.fromkeys(("add_weights", "write_elsewhere", "make_a_folder_elsewhere", "link_elsewhere"), "EACCES"),
}
MISSING = [reason for reason in (seccomp.gap(), landlock.gap()) if reason]

pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"on {platform.platform()}: {MISSING}")


def row(name: str, home: Path, **options: str) -> str:
    """A model whose engine does what it is told to."""
    weights, elsewhere = home / "weights" / "snapshots" / "overstepping", home / "elsewhere"
    weights.mkdir(parents=True, exist_ok=True)
    elsewhere.mkdir(exist_ok=True)
    (weights / "model.safetensors").write_bytes(EMPTY)
    engine = {"task": "text-classification", "engine": "tests.fixtures.engines.oversteps:Engine"}
    settings = {"elsewhere": str(elsewhere), "run": str(home / "run"), **options}
    return json.dumps({"name": name, **engine, "source": f"file:{weights}", "options": settings})


def ask(server: Server, model: str, act: str) -> str:
    answer = httpx.post(server.run_url(model), json={"text": act}, headers=HEADERS, timeout=60)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["result"][0]["label"])


def states(server: Server) -> dict[str, Any]:
    models = httpx.get(f"http://127.0.0.1:{server.port}/ready").json()["models"]
    return {model["name"]: model["sandbox"] for model in models}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def server(home: Path) -> Iterator[Server]:
    """The sandbox is on; one row needs nothing, one the network, one other programs."""
    rows = [row("@test/plain", home)]
    rows += [row(f"@test/{need}", home, needs=need) for need in ("network", "programs")]
    models = write_models(home / "models.yaml", *rows)
    env = {"PYTHONPATH": str(ROOT), "GATEWAY_SANDBOX": "on"}
    with gateway("--models", str(models), "--home", str(home), env=env) as running:
        yield running


@pytest.mark.parametrize("act", REFUSED)
def test_a_worker_is_refused_what_its_engine_does_without(server: Server, act: str) -> None:
    assert ask(server, "@test/plain", act) == REFUSED[act]


@pytest.mark.skipif(not MISSING and landlock.version() < landlock.SCOPES_SINCE, reason="Linux before 6.12")
def test_a_worker_cannot_signal_other_processes(server: Server) -> None:
    assert ask(server, "@test/plain", "signal_the_fork_server") == "EPERM"


@pytest.mark.parametrize(
    "act", ["socket_pair", "read_weights", "write_a_temporary_file", "write_to_nowhere", "name_a_thread"]
)
def test_a_worker_may_do_what_libraries_need(server: Server, act: str) -> None:
    assert ask(server, "@test/plain", act) == "done"


@pytest.mark.parametrize(
    ("model", "act", "outcome"),
    [
        ("@test/network", "ipv4", "done"),
        ("@test/network", "write_weights", "EACCES"),
        ("@test/programs", "ipv4", "done"),
        ("@test/programs", "write_elsewhere", "done"),
        ("@test/programs", "management_socket", "done"),
        ("@test/programs", "find_the_common_temporary_folder", "done"),
        ("@test/plain", "find_the_common_temporary_folder", "ENOENT"),
    ],
)
def test_what_an_engine_declares_is_left_to_it(server: Server, model: str, act: str, outcome: str) -> None:
    assert ask(server, model, act) == outcome


def test_ready_and_the_log_say_what_each_worker_may_do(server: Server) -> None:
    for model in ("@test/plain", "@test/network", "@test/programs"):
        ask(server, model, "read_weights")
    assert states(server) == {
        "@test/plain": {"network": "refused", "writes": "refused"},
        "@test/network": {"network": "allowed: the engine needs it", "writes": "refused"},
        "@test/programs": dict.fromkeys(("network", "writes"), "allowed: the row starts a program"),
    }
    assert any("sandbox" in line and "network=refused" in line and "@test/plain" in line for line in server.log)


def test_a_gguf_is_converted_and_read_though_its_worker_may_not_write_to_it(tmp_path: Path) -> None:
    gguf = tiny_gguf.chat_gguf(tmp_path / "model.gguf")
    row = {"task": "text-generation", "engine": "llm", "source": f"file:{gguf}"}
    rows = [
        {"name": f"@test/{keep}", **row, "options": {"backend": "openvino", "keep_converted": keep}}
        for keep in (True, False)
    ]
    models = write_models(tmp_path / "models.yaml", *map(json.dumps, rows))
    with gateway("--models", str(models), "--home", str(tmp_path), env={"GATEWAY_SANDBOX": "on"}) as server:
        for name in ("@test/True", "@test/False"):
            question = {"prompt": "Hi", "max_tokens": 1}
            httpx.post(server.run_url(name), json=question, headers=HEADERS, timeout=120).raise_for_status()
            assert states(server)[name] == {"network": "refused", "writes": "refused"}
    (kept,) = (tmp_path / ".openvino").iterdir()
    assert (kept / "openvino_model.bin").is_file()


def test_with_the_sandbox_off_none_of_that_is_refused(tmp_path: Path) -> None:
    models = write_models(tmp_path / "models.yaml", row("@test/plain", tmp_path))
    models.write_text(f"gateway: {{sandbox: off}}\n{models.read_text()}")
    weights = tmp_path / "weights" / "snapshots" / "overstepping" / "model.safetensors"
    with gateway("--models", str(models), "--home", str(tmp_path), env={"PYTHONPATH": str(ROOT)}) as server:
        for act, refusal in {**REFUSED, "signal_the_fork_server": "EPERM"}.items():
            weights.write_bytes(EMPTY)
            assert ask(server, "@test/plain", act) != refusal, act
        assert set(states(server)["@test/plain"].values()) == {"allowed: the sandbox is off"}
    assert not (tmp_path / "run" / "scratch").exists()


LACKING = (sys.executable, "-m", "tests.fixtures.without_landlock", "serve")


def test_without_landlock_the_network_is_still_refused_and_ready_says_so(tmp_path: Path) -> None:
    models = write_models(tmp_path / "models.yaml", row("@test/plain", tmp_path))
    where = ("--models", str(models), "--home", str(tmp_path))
    with gateway(*where, command=LACKING, env={"PYTHONPATH": str(ROOT)}) as server:
        assert ask(server, "@test/plain", "ipv4") == "EACCES"
        assert ask(server, "@test/plain", "write_elsewhere") == "done"
        told = {"network": "refused", "writes": "allowed: this Linux has no Landlock"}
        assert states(server) == {"@test/plain": told}
        assert any("not wholly confined" in line and "no Landlock" in line for line in server.log)


def test_on_refuses_to_start_without_landlock(tmp_path: Path) -> None:
    models = write_models(tmp_path / "models.yaml", row("@test/plain", tmp_path))
    line = [*LACKING, "--port", "0", "--models", str(models), "--home", str(tmp_path)]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "GATEWAY_SANDBOX": "on"}
    done = subprocess.run(line, env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert "sandbox: on is more than this system can do: writes: this Linux has no Landlock" in done.stderr


def test_temporary_files_go_with_their_worker_and_those_of_a_killed_gateway_at_the_next_start(tmp_path: Path) -> None:
    models = write_models(tmp_path / "models.yaml", row("@test/plain", tmp_path))
    scratch = tmp_path / "run" / "scratch"
    where, env = ("--models", str(models), "--home", str(tmp_path)), {"PYTHONPATH": str(ROOT)}
    with gateway(*where, env=env) as killed:
        ask(killed, "@test/plain", "replace_weights")
        (left,) = scratch.iterdir()
        assert list(left.iterdir())
        os.kill(killed.process.pid, signal.SIGKILL)
        killed.process.wait(60)
        assert eventually(lambda: session_processes(killed.process.pid) == [])
    with gateway(*where, env=env) as server:
        ask(server, "@test/plain", "read_weights")
        (own,) = scratch.iterdir()
        assert own != left
    assert list(scratch.iterdir()) == []
