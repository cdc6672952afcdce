"""The front process is stopped or killed: nothing is left behind, and what was accepted is answered."""

from __future__ import annotations

import concurrent.futures
import os
import signal
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.server import Server, gateway, write_models
from tests.waiting import eventually

ROOT = str(Path(__file__).parents[2])
HEADERS = {"Authorization": "Bearer any"}


def session_processes(session: int) -> list[int]:
    """The processes of a session that are alive."""
    alive = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == session and fields[0] != "Z":
                alive.append(int(entry.name))
    return alive


def waiting_row(gate: Path) -> str:
    return (
        "{name: '@test/waits', task: text-classification, engine: 'tests.fixtures.engines.waits:Engine', "
        f"options: {{gate: '{gate}'}}}}"
    )


def ask(server: Server, text: str) -> httpx.Response:
    return httpx.post(server.run_url("@test/waits"), json={"text": text}, headers=HEADERS, timeout=60)


def running(server: Server) -> int:
    models = httpx.get(f"http://127.0.0.1:{server.port}/ready").json()["models"]
    return int(models[0]["running"])


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_answers_what_was_accepted_and_leaves_no_process(tmp_path: Path, stop: signal.Signals) -> None:
    gate = tmp_path / "gate"
    models = write_models(tmp_path / "models.yaml", waiting_row(gate))
    with (
        gateway("--models", str(models), "--home", str(tmp_path), env={"PYTHONPATH": ROOT}) as server,
        concurrent.futures.ThreadPoolExecutor() as pool,
    ):
        accepted = pool.submit(ask, server, "accepted")
        assert eventually(lambda: running(server) == 1)
        server.process.send_signal(stop)
        gate.touch()
        assert accepted.result().json()["result"][0]["label"] == "accepted"
        assert server.process.wait(60) is not None
        assert eventually(lambda: session_processes(server.process.pid) == [])


def test_a_killed_front_takes_its_workers_with_it(tmp_path: Path) -> None:
    models = write_models(tmp_path / "models.yaml", waiting_row(tmp_path / "gate"))
    with (
        gateway("--models", str(models), "--home", str(tmp_path), env={"PYTHONPATH": ROOT}) as server,
        concurrent.futures.ThreadPoolExecutor() as pool,
    ):
        lost = pool.submit(ask, server, "lost")
        assert eventually(lambda: running(server) == 1)
        os.kill(server.process.pid, signal.SIGKILL)
        with pytest.raises(httpx.TransportError):
            lost.result()
        server.process.wait(60)
        assert eventually(lambda: session_processes(server.process.pid) == [])


def test_two_hundred_requests_of_which_twenty_are_poisonous_are_all_accounted_for(tmp_path: Path) -> None:
    row = "{name: '@test/raises', task: text-classification, engine: 'tests.fixtures.engines.raises:Engine'}"
    models = write_models(tmp_path / "models.yaml", row)
    texts = ["poison" if i % 10 == 0 else f"text {i}" for i in range(200)]
    with gateway("--models", str(models), "--home", str(tmp_path), env={"PYTHONPATH": ROOT}) as server:
        with httpx.Client(headers=HEADERS, timeout=60) as http, concurrent.futures.ThreadPoolExecutor(32) as pool:
            url = server.run_url("@test/raises")
            answers = list(pool.map(lambda text: http.post(url, json={"text": text}), texts))
        metrics = httpx.get(f"http://127.0.0.1:{server.port}/metrics").text
    for text, answer in zip(texts, answers, strict=True):
        if text == "poison":
            assert (answer.status_code, answer.json()["errors"][0]["code"]) == (500, 3043)
            assert answer.headers["x-should-retry"] == "false"
        else:
            assert answer.json()["result"] == [{"label": text, "score": 1.0}]
    by_status = {"200": 0.0, "500": 0.0}
    for family in text_string_to_metric_families(metrics):
        for sample in family.samples:
            if sample.name == "gateway_requests_total" and sample.labels["model"] == "@test/raises":
                by_status[sample.labels["status"]] += sample.value
    assert by_status == {"200": 180, "500": 20}
