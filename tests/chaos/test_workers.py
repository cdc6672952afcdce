"""Each way in which a worker can end: its callers are told, its model comes back, its neighbours notice nothing."""

from __future__ import annotations

import concurrent.futures
import contextlib
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.chaos.cgroup import little_memory
from tests.chaos.test_life import Caller, row
from tests.chaos.witness import belongings, bystander, events, left_behind, watched, worker_of
from tests.waiting import eventually

LOST, STUCK = (500, 3043), (408, 3046)


@dataclass(frozen=True)
class Ward:
    """A gateway with a model that can be harmed and one that must not notice; without the gate nothing is loaded."""

    gateway: Caller
    gate: Path
    folder: Path

    @contextlib.contextmanager
    def harmed(self, loss: str) -> Iterator[None]:
        """Within, the model is lost for that reason; afterwards it is back and nothing is left of the loss."""
        victim, before = worker_of(self.gateway, "a"), belongings(self.gateway, self.folder)
        losses = len(events(self.gateway, "worker lost"))
        self.gate.unlink()
        with bystander(self.gateway, "b"):
            with concurrent.futures.ThreadPoolExecutor() as pool:
                recovered = pool.submit(self._see_it_fall_and_rise)
                yield
                recovered.result()
            assert self.gateway.ask("a", "after").status_code == 200
        assert events(self.gateway, "worker lost")[losses]["reason"] == loss
        assert worker_of(self.gateway, "a") != victim
        assert not Path(f"/proc/{victim}").exists()
        assert not left_behind(self.gateway, before, self.folder)

    def _see_it_fall_and_rise(self) -> None:
        try:
            assert eventually(lambda: self.gateway.ready()[0] == 503)
        finally:
            self.gate.touch()
        assert eventually(lambda: self.gateway.ready()[0] == 200)


@pytest.fixture(scope="module")
def ward(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ward]:
    """Both models are loaded."""
    folder = tmp_path_factory.mktemp("ward")
    gate = folder / "gate"
    gate.touch()
    fragile = row("a", "suffers", f", preload: true, run_limit_s: 1, options: {{gate: '{gate}'}}")
    steps = row("s", "counts").replace("text-classification", "text-generation")
    with watched(folder, fragile, row("b"), row("c", "raises"), row("d", "miscounts"), steps) as gateway:
        assert eventually(lambda: gateway.ready()[0] == 200)
        for name in "abcd":
            assert gateway.ask(name, "warm").status_code == 200
        yield Ward(gateway, gate, folder)


@pytest.mark.parametrize(
    ("text", "told", "loss"),
    [
        ("kill", LOST, "died"),
        ("segfault", LOST, "died"),
        ("exit", LOST, "died"),
        ("garble", LOST, "died"),
        ("stop", STUCK, "stopped"),
        ("spin", STUCK, "stuck"),
    ],
)
def test_an_input_that_ends_its_worker_costs_nobody_else(
    ward: Ward, text: str, told: tuple[int, int], loss: str
) -> None:
    with ward.harmed(loss):
        answer = ward.gateway.ask("a", text)
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == told


def test_an_input_that_takes_all_memory_ends_its_worker_alone(ward: Ward) -> None:
    with little_memory(worker_of(ward.gateway, "a"), limit_mib=64), ward.harmed("died"):
        answer = ward.gateway.ask("a", "devour")
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == LOST


@pytest.mark.parametrize(
    ("harm", "loss"),
    [
        (signal.SIGKILL, "died"),
        (signal.SIGSEGV, "died"),
        (signal.SIGABRT, "died"),
        (signal.SIGTERM, "died"),
        (signal.SIGSTOP, "stopped"),
    ],
)
def test_an_idle_worker_that_is_ended_is_replaced_before_anyone_asks(
    ward: Ward, harm: signal.Signals, loss: str
) -> None:
    with ward.harmed(loss):
        os.kill(worker_of(ward.gateway, "a"), harm)


@pytest.mark.parametrize(("name", "text"), [("c", "poison"), ("d", "short")])
def test_an_exception_or_a_wrong_count_costs_one_answer_and_no_worker(ward: Ward, name: str, text: str) -> None:
    worker = worker_of(ward.gateway, name)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        texts = [text if number % 5 == 0 else f"text {number}" for number in range(50)]
        answers = list(pool.map(lambda asked: ward.gateway.ask(name, asked), texts))
    for asked, answer in zip(texts, answers, strict=True):
        if asked == text:
            assert (answer.status_code, answer.json()["errors"][0]["code"]) == LOST
        else:
            assert answer.json()["result"][0]["label"] == asked
    assert worker_of(ward.gateway, name) == worker


def test_an_exception_in_a_step_fails_who_is_inside_and_no_worker(ward: Ward) -> None:
    def ask(prompt: str) -> int:
        url = ward.gateway.server.run_url("@test/s")
        return ward.gateway.http.post(url, json={"prompt": prompt, "max_tokens": 10}).status_code

    assert ask("warm") == 200
    worker = worker_of(ward.gateway, "s")
    assert ask("raise") == 500
    assert ask("after") == 200
    assert worker_of(ward.gateway, "s") == worker


def test_a_worker_that_is_killed_while_it_loads_is_told_as_that(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    with (
        watched(tmp_path, row("a", "loads_when", f", options: {{gate: '{gate}'}}")) as gateway,
        concurrent.futures.ThreadPoolExecutor() as pool,
    ):
        assert eventually(lambda: len(gateway.processes()) == 3)  # the front, the fork server, the resource tracker
        before = gateway.processes()
        asked = pool.submit(gateway.ask, "a", "text")
        assert eventually(lambda: bool(gateway.processes() - before))
        (worker,) = gateway.processes() - before
        os.kill(worker, signal.SIGKILL)
        answer = asked.result()
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (503, 3050)
        assert "was killed (SIGKILL, perhaps for want of memory) while loading" in answer.text
        gate.touch()
        assert eventually(lambda: gateway.ask("a", "again").status_code == 200)
